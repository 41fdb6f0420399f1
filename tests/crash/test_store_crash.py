"""Whatever hits the state directory, nothing that was accepted is lost and nothing half-made used.

The children are killed with signal 9 in the very line that the failpoint names; then the same life
is run again and must end as if nothing had happened.
"""

import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from memory.durable import FAILPOINTS, StateLock
from memory.errors import DiskFull, StateCorrupt, StateLocked
from memory.store import Store
from tests.crash import store_life
from tests.crash.children import CHILDREN, exit_code
from tests.helpers.stores import add, learn

MEMORY_FAILPOINTS = sorted(
    name for name in FAILPOINTS if name.split(".")[0] in {"artifacts", "index", "publish", "store"}
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    state = tmp_path_factory.mktemp("undisturbed")
    store_life.live(state)
    return store_life.remains(state)


def live_in_child(state: Path, failpoint: str = "") -> int | None:
    """Exit code of a child that lives the life; -9 if the failpoint killed it."""
    return exit_code(store_life.live, state, failpoint)


def test_the_undisturbed_life(undisturbed: dict[str, Any]) -> None:
    assert [f"{path} v{version} {state}" for path, version, state in undisturbed["documents"]] == [
        "a.md v1 retired",
        "b.md v1 learned",
        "junk.md v1 quarantined",
        "a.md v2 retired",
        "c.md v1 quarantined",
        "a.md v3 retired",
        "a.md v4 quarantined",
    ]


@pytest.mark.parametrize("failpoint", MEMORY_FAILPOINTS)
def test_kill_at_every_failpoint(state: Path, undisturbed: dict[str, Any], failpoint: str) -> None:
    assert live_in_child(state, failpoint) == -SIGKILL, "the failpoint was never reached"
    assert live_in_child(state, failpoint) in (-SIGKILL, 0)  # struck again at the same place
    assert live_in_child(state) == 0
    assert store_life.remains(state) == undisturbed


@pytest.mark.parametrize("failpoint", MEMORY_FAILPOINTS)
def test_disk_full_at_every_failpoint(
    state: Path, undisturbed: dict[str, Any], failpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARND_FAILPOINT", f"{failpoint}=raise")
    with pytest.raises(DiskFull):
        store_life.live(state)
    monkeypatch.delenv("LEARND_FAILPOINT")
    store_life.live(state)
    assert store_life.remains(state) == undisturbed


def test_kill_at_every_promotion_and_publication(state: Path, undisturbed: dict[str, Any]) -> None:
    """The same life, struck at every hit of the two points where most is at stake."""
    strikes = 0
    for failpoint in ("publish.renamed", "store.promote"):
        while live_in_child(state, f"{failpoint}:1") == -SIGKILL:
            strikes += 1
            assert live_in_child(state, f"{failpoint}:2") in (-SIGKILL, 0)
    assert strikes >= 1
    assert live_in_child(state) == 0
    assert store_life.remains(state) == undisturbed


def _garble_header(path: Path) -> None:
    path.write_bytes(b"garbled!" * 2 + path.read_bytes()[16:])


def _garble_pages(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * 8192 + data[12288:])


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:10_000])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_garble_header, _garble_pages, _truncate, _empty])
def test_a_damaged_database_is_refused_and_left_alone(
    state: Path, damage: Callable[[Path], None]
) -> None:
    path = state / "learnd.db"
    with Store.open(path) as store:
        learn(store, add(store, "a.md"))
    damage(path)
    before = path.read_bytes()
    with pytest.raises(StateCorrupt, match="database"):
        Store.open(path)
    assert path.read_bytes() == before


def _hold_the_lock(state: Path, ready: Pipe) -> None:
    with StateLock(state):
        ready.send(os.getpid())
        ready.recv()  # never comes


def test_a_second_owner_is_refused_at_once_and_a_killed_one_leaves_no_lock(state: Path) -> None:
    ours, theirs = CHILDREN.Pipe()
    holder = CHILDREN.Process(target=_hold_the_lock, args=(state, theirs))
    holder.start()
    pid = ours.recv()
    begin = time.monotonic()
    with pytest.raises(StateLocked, match=f"process {pid}$"):
        StateLock(state).__enter__()
    assert time.monotonic() - begin < 1
    holder.kill()
    holder.join(30)
    with StateLock(state):
        pass
