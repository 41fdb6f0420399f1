"""A hint that something in the folder changed. Losing it costs time, never a document.

Covers: inotify out of watches, an observer that died, a folder that vanished or was replaced:
revive(), called before every scan, starts anew, and until that works the scans alone find changes.
Does not cover: events lost by the kernel, and network mounts; again the scans find what changed.
"""

from collections.abc import Callable, Collection
from pathlib import Path, PurePath

from watchdog.events import (
    EVENT_TYPE_CLOSED_NO_WRITE,
    EVENT_TYPE_OPENED,
    DirModifiedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

READING = frozenset({EVENT_TYPE_OPENED, EVENT_TYPE_CLOSED_NO_WRITE})  # our own scans do that


class Watcher(FileSystemEventHandler):
    """Calls on_change, from a thread of its own and often several times for one change."""

    def __init__(
        self, folder: Path, suffixes: Collection[str], on_change: Callable[[], None]
    ) -> None:
        self.error = ""  # why it does not run, else ""
        self._folder = folder
        self._suffixes = suffixes
        self._on_change = on_change
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None
        self.revive()

    def is_alive(self) -> bool:
        """Whether all threads run, and the folder still is the one that they watch."""
        return (
            self._observer is not None
            and self._observer.is_alive()
            and all(emitter.is_alive() for emitter in self._observer.emitters)
            and self._watched == self._identity()
        )

    def revive(self) -> None:
        """Start, or start again, unless it is alive. A failure is told by `error`."""
        if self.is_alive():
            return
        self.stop()
        observer = Observer()
        try:
            self._watched = self._identity()
            observer.schedule(self, str(self._folder), recursive=True)
            observer.start()
        except OSError as error:
            self.error = error.strerror or str(error)
            return
        self._observer, self.error = observer, ""

    def stop(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Watchdog's call. Reads, hidden files and other suffixes are no news."""
        if event.event_type in READING or isinstance(event, DirModifiedEvent):
            return  # a modified folder is told by its files too
        places = (event.src_path, event.dest_path)
        if any(self._matters(place, event.is_directory) for place in places):
            self._on_change()

    def _matters(self, path: str | bytes, is_directory: bool) -> bool:
        place = PurePath(path if isinstance(path, str) else path.decode(errors="replace"))
        if place == self._folder or not place.is_relative_to(self._folder):
            return False
        hidden = any(part.startswith(".") for part in place.relative_to(self._folder).parts)
        return not hidden and (is_directory or place.suffix.lower() in self._suffixes)

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._folder.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino
