"""Kill -9 as each stage begins, then start again: the batch goes on, its effect happens once."""

import multiprocessing
import os
from pathlib import Path
from signal import SIGKILL

import pytest

from agent.cycle import Cycle
from agent.settings import PipelineSettings
from memory.artifacts import Artifacts
from memory.durable import FAILPOINTS
from memory.errors import DiskFull
from memory.probes import ProbeIndex
from memory.records import DocumentState, Progress
from memory.store import Store
from tests.agent.test_cycle import Scripted
from tests.helpers.embedding import DIMENSION, embed
from tests.helpers.stores import digest_of, stamp_of

CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["tests.crash.test_cycle_crash"])
POINTS = sorted(name for name in FAILPOINTS if name.startswith("cycle."))


def quiet(progress: Progress) -> None:
    pass


def live(state: Path, failpoint: str = "") -> None:
    """Take two files in and learn them, as the daemon does after a start."""
    if failpoint:
        os.environ["LEARND_FAILPOINT"] = failpoint
    with Store.open(state / "learnd.db") as store:
        artifacts = Artifacts(state)
        artifacts.empty_staging()
        for name in ("a.md", "b.md"):
            store.add_document(name, stamp_of(name), digest_of(name), name, f"text of {name}")
        Cycle(
            store=store,
            artifacts=artifacts,
            index=ProbeIndex(state, embed, DIMENSION),
            executor=Scripted(),
            settings=PipelineSettings(),
            base=Path("base"),
        ).run_pending(quiet)


def in_child(state: Path, failpoint: str = "") -> int | None:
    child = CHILDREN.Process(target=live, args=(state, failpoint))
    child.start()
    child.join(60)
    return child.exitcode


def assert_learned_once(state: Path) -> None:
    with Store.open(state / "learnd.db") as store:
        assert store.check(Artifacts(state)) == []
        assert [one.state for one in store.documents()] == [DocumentState.LEARNED] * 2
        assert [one.number for one in store.generations()] == [0, 1]


def test_there_is_a_failpoint_for_every_stage_that_works() -> None:
    assert len(POINTS) == 6


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_daemon_goes_on_where_it_was(state: Path, point: str) -> None:
    assert in_child(state, point) == -SIGKILL
    assert in_child(state, point) == -SIGKILL  # and again at the same place
    assert in_child(state) == 0
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
