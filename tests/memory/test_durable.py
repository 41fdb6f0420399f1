"""Failpoints bite, directories appear whole, one process owns a state directory."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import memory.durable
from memory.durable import (
    FAILPOINTS,
    StateLock,
    disk_full_named,
    failpoint,
    publish_bytes,
    publish_directory,
)
from memory.errors import DiskFull, StateLocked
from memory.records import Stage


def hit(spec: str, name: str, times: int) -> int:
    """Exit status of a fresh process that passes a failpoint so often."""
    code = f"from memory.durable import failpoint\nfor _ in range({times}): failpoint({name!r})"
    environment = os.environ | {"LEARND_FAILPOINT": spec}
    return subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode


@pytest.mark.parametrize(
    ("spec", "times", "status"),
    [
        ("publish.start", 1, -9),
        ("publish.start:2", 1, 0),
        ("publish.start:2", 2, -9),
        ("publish.synced", 3, 0),
        ("", 3, 0),
    ],
)
def test_failpoint_kills_at_the_nth_hit(spec: str, times: int, status: int) -> None:
    assert hit(spec, "publish.start", times) == status


def test_failpoint_can_fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARND_FAILPOINT", "publish.start=raise")
    failpoint("publish.synced")
    with pytest.raises(OSError, match="No space left") as caught:
        failpoint("publish.start")
    assert caught.value.errno == errno.ENOSPC


def test_an_unknown_failpoint_is_a_programmer_error() -> None:
    with pytest.raises(ValueError, match=r"no\.such"):
        failpoint("no.such")


def test_every_failpoint_stands_in_the_code() -> None:
    root = Path(memory.durable.__file__).parents[1]
    files = [
        path
        for package in ("memory", "agent", "service")
        for path in (root / package).rglob("*.py")
    ]
    code = "\n".join(path.read_text() for path in files)
    assert 'failpoint(f"cycle.{batch.stage}")' in code
    stages = {f"cycle.{stage}" for stage in Stage}  # one line passes them all
    assert {
        name
        for name in FAILPOINTS
        if f'failpoint("{name}")' not in code
        and f'_transaction("{name.removeprefix("store.")}")' not in code
        and name not in stages
    } == set()


def test_disk_full_named_lets_other_errors_through() -> None:
    with pytest.raises(DiskFull), disk_full_named():
        raise OSError(errno.EDQUOT, "quota")
    with pytest.raises(PermissionError), disk_full_named():
        raise PermissionError(errno.EACCES, "no")


def test_published_directory_moves_whole(tmp_path: Path) -> None:
    staged = tmp_path / "staged"
    (staged / "deep").mkdir(parents=True)
    (staged / "deep" / "file").write_text("content")
    publish_directory(staged, tmp_path / "there")
    assert (tmp_path / "there" / "deep" / "file").read_text() == "content"
    assert not staged.exists()


def test_publishing_what_is_there_drops_the_copy(tmp_path: Path) -> None:
    for name in ("staged", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    publish_directory(tmp_path / "staged", tmp_path / "there")
    assert (tmp_path / "there" / "file").read_text() == "there"
    assert not (tmp_path / "staged").exists()


def test_publish_bytes_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    publish_bytes(b"old", tmp_path / "file")
    publish_bytes(b"new", tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"new"


def test_lock_names_its_holder_and_can_be_taken_again(tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"
    with StateLock(state), pytest.raises(StateLocked, match=f"process {os.getpid()}"):
        StateLock(state).__enter__()
    with StateLock(state):
        assert (state / "lock").read_text() == f"{os.getpid()}\n"


def test_work_that_cannot_be_stored_is_not_begun(state: Path) -> None:
    memory.durable.require_space(state, 1)
    with pytest.raises(DiskFull, match="GB are needed"):
        memory.durable.require_space(state, 10**18)
