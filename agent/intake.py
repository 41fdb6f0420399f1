"""The folder -> Document rows. A full scan is the truth; events of the watcher only hasten it.

Covers: only settled files enter (two equal looks, two equal reads); the text lies in the store when
its file is marked as seen; a file that cannot be read is quarantined with its reason, once, and the
rest goes on; a folder that cannot be listed makes nothing "missing".
Does not cover: links inside the folder, which are skipped like all others; a writer that pauses for
longer than the two looks are apart (what it adds later is a new version).
"""

import errno
import hashlib
import time
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path, PurePosixPath
from typing import Protocol

from agent.extract import Extractor
from agent.folder import GONE, Listing, list_files, read_settled
from agent.settings import IntakeSettings
from agent.watcher import Watcher
from memory.errors import BadDocument, BadInput
from memory.records import FileStamp
from memory.store import Store

UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})  # Unicode categories that spoil a log or a table
UNREADABLE = frozenset({errno.EACCES, errno.EPERM, errno.EIO})  # the file's fault, not ours


class Extracts(Protocol):
    """What intake needs of an Extractor."""

    def extract(self, suffix: str, data: bytes) -> tuple[str, str]: ...


class Outcome(Enum):
    """What became of one changed file."""

    ADDED = auto()
    QUARANTINED = auto()
    UNCHANGED = auto()
    UNSETTLED = auto()


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What one full scan found; paths are relative to the folder."""

    added: tuple[str, ...]  # new versions, now pending
    quarantined: tuple[str, ...]
    missing: tuple[str, ...]  # seen before, gone now
    unchanged: int  # files
    unsettled: tuple[str, ...]  # being written or just gone; the next scan looks again
    unlisted: tuple[str, ...]  # folders that could not be listed; "." is the folder itself


class Intake:
    """Scans one folder into one store. Raises BadInput if the folder is none."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        settings: IntakeSettings,
        extractor: Callable[[IntakeSettings], AbstractContextManager[Extracts]] = Extractor,
    ) -> None:
        if not folder.is_dir():
            raise BadInput(f"{folder} is not a folder")
        self._folder = folder.absolute()
        self._store = store
        self._settings = settings
        self._extractor = extractor
        self._watcher: Watcher | None = None

    def scan(self, wait: Callable[[float], None] = time.sleep) -> ScanReport:
        """One full pass. `wait` is called once, with seconds, if any file changed."""
        if self._watcher is not None:
            self._watcher.revive()
        listing = list_files(self._folder, self._settings.suffixes)
        known = self._store.stamps()
        changed = {
            path: stamp for path, stamp in listing.files.items() if known.get(_shown(path)) != stamp
        }
        missing = self._note_missing(listing, known)
        if changed:
            wait(self._settings.settle_seconds)
        outcomes = self._take_in_all(changed)
        return ScanReport(
            added=outcomes[Outcome.ADDED],
            quarantined=outcomes[Outcome.QUARANTINED],
            missing=missing,
            unchanged=len(listing.files) - len(changed) + len(outcomes[Outcome.UNCHANGED]),
            unsettled=outcomes[Outcome.UNSETTLED],
            unlisted=listing.unlisted,
        )

    def watch(self, on_change: Callable[[], None]) -> Watcher:
        """Call on_change soon after something changed; stop() the result before leaving.

        If watching fails, or dies later, every scan tries to start it again.
        """
        self._watcher = Watcher(self._folder, self._settings.suffixes, on_change)
        return self._watcher

    def _note_missing(self, listing: Listing, known: Mapping[str, FileStamp]) -> tuple[str, ...]:
        present = set(map(_shown, listing.files))
        before = set(self._store.missing())
        missing = [
            path
            for path in sorted(known)
            if path not in present and (path in before or listing.covers(path))
        ]
        self._store.mark_missing(missing)
        return tuple(missing)

    def _take_in_all(self, changed: Mapping[str, FileStamp]) -> dict[Outcome, tuple[str, ...]]:
        outcomes: dict[Outcome, list[str]] = {outcome: [] for outcome in Outcome}
        with self._extractor(self._settings) as extractor:
            for path, stamp in sorted(changed.items()):
                outcomes[self._take_in(path, stamp, extractor)].append(_shown(path))
        return {outcome: tuple(paths) for outcome, paths in outcomes.items()}

    def _take_in(self, path: str, stamp: FileStamp, extractor: Extracts) -> Outcome:
        digest = ""
        try:
            data = self._read(path, stamp)
            if data is None:
                return Outcome.UNSETTLED
            digest = hashlib.sha256(data).hexdigest()
            title, text = extractor.extract(PurePosixPath(path).suffix, data)
        except BadDocument as error:
            self._store.quarantine_file(_shown(path), stamp, digest, str(error))
            return Outcome.QUARANTINED
        title = title or _title_from(path)
        document = self._store.add_document(path, stamp, digest, title, text)
        return Outcome.ADDED if document else Outcome.UNCHANGED

    def _read(self, path: str, stamp: FileStamp) -> bytes | None:
        """None if the file is still being written or just gone. Raises BadDocument."""
        if path != _shown(path):
            raise BadDocument("its name is not printable UTF-8")
        if stamp.size > self._settings.max_bytes:
            raise BadDocument(f"larger than {self._settings.max_bytes:,} bytes")
        try:
            return read_settled(self._folder, path, stamp)
        except OSError as error:
            if error.errno in GONE:
                return None
            if error.errno in UNREADABLE:
                raise BadDocument(f"cannot be read: {error.strerror}") from None
            raise


def _shown(path: str) -> str:
    """The path with what cannot be shown or stored as text written as "\\\\n" or "\\\\udcff"."""
    return "".join(
        ascii(character)[1:-1] if unicodedata.category(character) in UNPRINTABLE else character
        for character in path
    )


def _title_from(path: str) -> str:
    """For a text that names no title: "guides/new-hires.txt" -> "new hires"."""
    return " ".join(PurePosixPath(path).stem.replace("-", " ").replace("_", " ").split())
