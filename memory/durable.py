"""What must survive a crash: synced files, directories that appear whole, one owner, failpoints.

A failpoint is a named line of product code at which a test can end the process at once:
`LEARND_FAILPOINT=name` kills it at the first hit, `name:3` at the third, and `name=raise` answers
every hit with "no space left on device".
"""

import errno
import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from memory.errors import DiskFull, StateLocked

FAILPOINTS = frozenset(
    {
        "publish.start",  # files staged, nothing synced
        "publish.synced",  # all bytes on disk, not yet renamed
        "publish.renamed",  # renamed, the parent directory not yet synced
        "artifacts.manifest",  # the manifest is about to be written
        "artifacts.collect",  # garbage moved aside, not yet deleted
        "index.write",  # the probe index is about to be replaced
        "index.manifest",  # index replaced, its manifest still the old one
        # the first line of each stage's work
        "cycle.new",
        "cycle.studied",
        "cycle.trained",
        "cycle.examined",
        "cycle.accepted",
        "cycle.merged",
        "store.create",  # a fresh database is built, not yet in its place
        # the last line of each transaction, before its commit
        "store.activate",
        "store.add_document",
        "store.add_general",
        "store.adopt",
        "store.create_batch",
        "store.fail_stage",
        "store.give_up",
        "store.mark_missing",
        "store.promote",
        "store.quarantine_file",
        "store.restart_batch",
        "store.save_base",
        "store.save_chunks",
        "store.save_examination",
        "store.save_merge",
        "store.save_repeated",
        "store.save_review",
        "store.save_study",
        "store.save_training",
        "store.save_verdict",
    }
)


def failpoint(name: str) -> None:
    """Do nothing, unless LEARND_FAILPOINT names this point.

    The hits still to come are counted in the variable itself, so this module keeps no state.
    """
    if name not in FAILPOINTS:
        raise ValueError(f"unknown failpoint {name!r}: add it to FAILPOINTS")
    armed = os.environ.get("LEARND_FAILPOINT", "")
    if armed == f"{name}=raise":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    target, _, hits = armed.partition(":")
    if target != name:
        return
    if int(hits or 1) > 1:
        os.environ["LEARND_FAILPOINT"] = f"{name}:{int(hits) - 1}"
        return
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def disk_full_named() -> Iterator[None]:
    """Turn the operating system's "no space left" into DiskFull."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull from error
        raise


def require_space(directory: Path, size: int) -> None:
    """Raise DiskFull unless so many bytes are free: work that cannot be stored is not begun."""
    free = shutil.disk_usage(directory).free
    if free < size:
        needed, left = size / 1e9, free / 1e9
        raise DiskFull(f"{directory} has {left:.1f} GB left, {needed:.1f} GB are needed to learn")


def fsync_file(path: Path) -> None:
    """Force a file's bytes to disk. An error is final: the kernel may have dropped the page."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_directory(path: Path) -> None:
    """Force a directory's names to disk; without it a rename may vanish with the power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish_directory(staged: Path, destination: Path) -> None:
    """Make a staged directory appear at its destination, whole and on disk, or not at all.

    Both lie on one file system. Destinations are named by content: if it exists, the copy goes.
    """
    failpoint("publish.start")
    if destination.exists():
        shutil.rmtree(staged)
        return
    for directory, _, files in os.walk(staged, topdown=False):
        for name in files:
            fsync_file(Path(directory, name))
        fsync_directory(Path(directory))
    failpoint("publish.synced")
    staged.rename(destination)
    failpoint("publish.renamed")
    fsync_directory(destination.parent)


def publish_bytes(data: bytes, destination: Path) -> None:
    """Replace a file in one step: readers see the old bytes or the new ones, never a mixture."""
    staged = destination.with_name(destination.name + ".new")
    staged.write_bytes(data)
    fsync_file(staged)
    staged.replace(destination)
    fsync_directory(destination.parent)


class StateLock:
    """The right to write to a state directory, held by one process at a time.

    The kernel frees it with the process, however that ends; the pid in the file is only for people.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "lock"
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Take the lock, or raise StateLocked at once, naming the holder."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode().strip() or "unknown"
            os.close(descriptor)
            raise StateLocked(f"{self._path.parent} is in use by process {holder}") from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)  # the file stays: deleting it would race with the next holder
