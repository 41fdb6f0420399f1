"""Kill -9 as each stage begins, then start again: the batch goes on, its effect happens once."""

from pathlib import Path
from signal import SIGKILL

import pytest

from memory.artifacts import Artifacts
from memory.durable import FAILPOINTS
from memory.errors import DiskFull
from memory.records import DocumentState
from memory.store import Store
from tests.crash.children import exit_code
from tests.crash.cycle_life import live

POINTS = sorted(name for name in FAILPOINTS if name.startswith("cycle."))


def assert_learned_once(state: Path) -> None:
    with Store.open(state / "learnd.db") as store:
        assert store.check(Artifacts(state)) == []
        assert [one.state for one in store.documents()] == [DocumentState.LEARNED] * 4
        assert [one.number for one in store.generations()] == [0, 1, 3, 4]
        first, copy = store.generation(1), store.generation(3)
        assert copy.adapter == first.adapter
        assert [(one.number, one.task) for one in store.tasks()] == [(2, "odd")]
        assert [one.consolidates for one in store.batches()] == [False, False, False, True]


def test_there_is_a_failpoint_for_every_stage_that_works() -> None:
    assert len(POINTS) == 6


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_daemon_goes_on_where_it_was(state: Path, point: str) -> None:
    assert exit_code(live, state, point) == -SIGKILL
    assert exit_code(live, state, point) == -SIGKILL  # and again at the same place
    assert exit_code(live, state) == 0
    assert_learned_once(state)


@pytest.mark.parametrize("turn", [2, 3])  # the task; the copy, or the consolidation
@pytest.mark.parametrize("point", POINTS)
def test_what_was_killed_later_goes_on_where_it_was(state: Path, point: str, turn: int) -> None:
    assert exit_code(live, state, f"{point}:{turn}") == -SIGKILL
    assert exit_code(live, state) == 0
    assert_learned_once(state)


@pytest.mark.parametrize("point", POINTS)
def test_a_full_disk_stops_the_work_and_loses_nothing(
    state: Path, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARND_FAILPOINT", f"{point}=raise")
    with pytest.raises(DiskFull):
        live(state)
    monkeypatch.delenv("LEARND_FAILPOINT")
    live(state)
    assert_learned_once(state)
