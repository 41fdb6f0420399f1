"""Looking at, and reading from, a folder that others write to while we read.

Covers: every path is opened part by part below the folder's own descriptor, no part may be a link,
and what was opened is compared with what was listed; so a link swapped in between is refused, not
followed. Nothing here blocks on a fifo or opens a device.
Does not cover: hard links to files elsewhere, which look like any other file.
"""

import errno
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from memory.records import FileStamp

ROOT = "."
MAX_DEPTH = 64  # folders in folders; what lies deeper is not listed
GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ESTALE})
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
LIST_FLAGS = READ_FLAGS | os.O_DIRECTORY


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a folder, by their path in it: forward slashes, odd bytes as surrogates."""

    files: Mapping[str, FileStamp]
    unlisted: tuple[str, ...]  # folders that could not be listed; "." is the folder itself

    def covers(self, path: str) -> bool:
        """Whether the path's place was listed, so that its absence means something."""
        return not any(place == ROOT or path.startswith(f"{place}/") for place in self.unlisted)


def list_files(folder: Path, suffixes: Collection[str]) -> Listing:
    """One stat per file. Hidden and special files, links and other suffixes are left out."""
    files: dict[str, FileStamp] = {}
    unlisted: list[str] = []
    waiting = [ROOT]
    while waiting:
        place = waiting.pop()
        try:
            with _opened(folder, place, LIST_FLAGS) as descriptor:
                found, inner = _list_one(descriptor, suffixes)
        except OSError as error:
            if place == ROOT or error.errno not in GONE:
                unlisted.append(place)
            continue
        prefix = "" if place == ROOT else f"{place}/"
        files.update({prefix + name: stamp for name, stamp in found.items()})
        deeper = waiting if prefix.count("/") < MAX_DEPTH else unlisted
        deeper.extend(prefix + name for name in inner)
    return Listing(files, tuple(unlisted))


def read_settled(folder: Path, path: str, stamp: FileStamp) -> bytes | None:
    """The file's bytes; None unless it still is the file of the stamp, and two reads agree.

    Raises OSError if it cannot be opened or read.
    """
    if ".." in path.split("/"):
        raise OSError(errno.ENOENT, "outside the folder", path)
    with _opened(folder, path, READ_FLAGS) as descriptor:
        if _regular_stamp(descriptor) != stamp:
            return None
        data = _read_all(descriptor, stamp.size)
        again = _read_all(descriptor, stamp.size)
        return data if data == again and _regular_stamp(descriptor) == stamp else None


def stamp_of(status: os.stat_result) -> FileStamp:
    """The time is the later of the last write and the last change of the inode.

    So a chmod that makes a file readable shows, and so does a write with its mtime put back.
    """
    return FileStamp(status.st_size, max(status.st_mtime_ns, status.st_ctime_ns), status.st_ino)


def _list_one(descriptor: int, suffixes: Collection[str]) -> tuple[dict[str, FileStamp], list[str]]:
    """(files, folders) directly in an open folder."""
    files: dict[str, FileStamp] = {}
    folders: list[str] = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif PurePosixPath(entry.name).suffix.lower() in suffixes:
                files.update(_stamped(entry))
    return files, folders


def _stamped(entry: os.DirEntry[str]) -> dict[str, FileStamp]:
    """The one regular file; nothing for a link, a fifo, a device, or what has just gone."""
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError as error:
        if error.errno in GONE:
            return {}
        raise
    return {entry.name: stamp_of(status)} if stat.S_ISREG(status.st_mode) else {}


@contextmanager
def _opened(folder: Path, path: str, flags: int) -> Iterator[int]:
    """A descriptor of folder/path. Only the folder itself may be, or lie behind, a link."""
    with ExitStack() as stack:

        def step(name: str, flags: int, parent: int | None) -> int:
            descriptor = os.open(name, flags, dir_fd=parent)
            stack.callback(os.close, descriptor)
            return descriptor

        descriptor = step(os.fspath(folder), LIST_FLAGS & ~os.O_NOFOLLOW, None)
        *places, name = path.split("/")
        for place in places:
            descriptor = step(place, LIST_FLAGS, descriptor)
        yield step(name, flags, descriptor)


def _regular_stamp(descriptor: int) -> FileStamp | None:
    status = os.fstat(descriptor)
    return stamp_of(status) if stat.S_ISREG(status.st_mode) else None


def _read_all(descriptor: int, size: int) -> bytes:
    """From the start to the end, or a byte beyond the size that it should have."""
    data = bytearray()
    while len(data) <= size and (piece := os.pread(descriptor, size + 1 - len(data), len(data))):
        data += piece
    return bytes(data)
