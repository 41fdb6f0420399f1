"""Scans: what enters, what waits, what is set aside, and that the watcher is only a hint."""

import os
import shutil
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from watchdog.observers.api import BaseObserver

from agent.extract import extract
from agent.intake import Extracts, Intake, ScanReport
from agent.settings import IntakeSettings
from memory.errors import BadInput
from memory.records import DocumentState
from memory.store import Store
from memory.testing import memory_store

SETTINGS = IntakeSettings(max_bytes=1000)


class InProcess:
    """An Extractor without a child; counts what it reads."""

    def __init__(self) -> None:
        self.calls = 0

    def extract(self, suffix: str, data: bytes) -> tuple[str, str]:
        self.calls += 1
        return extract(suffix, data)


class Desk:
    """A folder, a store and an intake between them, with waits that take no time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: Store = memory_store()
        self.extractor = InProcess()
        self.waits: list[float] = []
        self.intake = Intake(folder, self.store, SETTINGS, self._open)

    def _open(self, settings: IntakeSettings) -> AbstractContextManager[Extracts]:
        return nullcontext(self.extractor)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def scan(self, meanwhile: Callable[[], object] = lambda: None) -> ScanReport:
        def wait(seconds: float) -> None:
            self.waits.append(seconds)
            meanwhile()

        return self.intake.scan(wait)

    def pending(self) -> dict[str, str]:
        return {found.path: found.text for found in self.store.documents(DocumentState.PENDING)}

    def reasons(self) -> dict[str, str]:
        quarantined = self.store.documents(DocumentState.QUARANTINED)
        return {found.path: found.reason for found in quarantined}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    folder = tmp_path / "docs"
    folder.mkdir()
    return Desk(folder)


def test_what_the_folder_holds_is_what_the_store_holds(desk: Desk) -> None:
    desk.write("one.md", "# One\n\nFirst.")
    desk.write("deep/er/new-hires_guide.TXT", "Second one.")
    desk.write("data.csv", "1,2")
    report = desk.scan()
    assert report.added == ("deep/er/new-hires_guide.TXT", "one.md")
    assert desk.pending() == {
        "one.md": "# One\n\nFirst.",
        "deep/er/new-hires_guide.TXT": "Second one.",
    }
    titles = [document.title for document in desk.store.documents()]
    assert titles == ["new hires guide", "One"]


def test_an_unchanged_file_is_not_read_and_nobody_waits(desk: Desk) -> None:
    desk.write("one.md", "First.")
    desk.scan()
    assert desk.waits == [SETTINGS.settle_seconds]
    report = desk.scan()
    assert (report.unchanged, report.added) == (1, ())
    assert (desk.extractor.calls, len(desk.waits)) == (1, 1)


def test_a_moved_file_is_no_new_document(desk: Desk) -> None:
    path = desk.write("one.md", "First.")
    desk.scan()
    (number,) = (document.id for document in desk.store.documents())
    (path.parent / "deep").mkdir()
    path.rename(path.parent / "deep" / "one.md")
    report = desk.scan()
    assert (report.added, report.missing, report.unchanged) == ((), ("one.md",), 1)
    assert [(one.id, one.path) for one in desk.store.documents()] == [(number, "deep/one.md")]
    assert desk.scan() == ScanReport((), (), (), 1, (), ())


def test_a_touched_file_is_no_new_version(desk: Desk) -> None:
    path = desk.write("one.md", "First.")
    desk.scan()
    os.utime(path, (1, 1))
    assert desk.scan().unchanged == 1
    assert desk.scan() == ScanReport((), (), (), 1, (), ())
    assert len(desk.store.documents()) == 1


def test_a_changed_file_is_a_new_version(desk: Desk) -> None:
    desk.write("one.md", "First.")
    desk.scan()
    desk.write("one.md", "Other")
    assert desk.scan().added == ("one.md",)
    assert desk.pending() == {"one.md": "Other"}
    assert [found.version for found in desk.store.documents()] == [1, 2]


def test_a_change_with_its_time_put_back_is_seen(desk: Desk) -> None:
    path = desk.write("one.md", "First.")
    desk.scan()
    before = path.stat()
    path.write_text("Other.")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert desk.scan().added == ("one.md",)


def test_a_missing_folder_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere is not a folder"):
        Intake(tmp_path / "nowhere", memory_store(), SETTINGS)


def test_an_empty_folder_is_fine(desk: Desk) -> None:
    assert desk.scan() == ScanReport((), (), (), 0, (), ())
    assert desk.waits == []


def test_a_missing_file_is_noted_and_its_return_too(desk: Desk) -> None:
    path = desk.write("one.md", "First.")
    desk.write("two.md", "Second.")
    desk.scan()
    aside = path.rename(desk.folder.parent / "aside.md")
    assert desk.scan().missing == ("one.md",)
    assert desk.store.missing() == ["one.md"]
    assert "one.md" in desk.pending()  # what was read is kept
    aside.rename(path)
    assert desk.scan().missing == ()
    assert desk.store.missing() == []


def test_a_vanished_folder_makes_nothing_missing(desk: Desk) -> None:
    desk.write("one.md", "First.")
    desk.scan()
    shutil.rmtree(desk.folder)
    assert desk.scan() == ScanReport((), (), (), 0, (), (".",))
    assert desk.store.missing() == []


def test_a_folder_that_cannot_be_listed_makes_nothing_in_it_missing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.write("shut/one.md", "First.")
    desk.write("shutter.md", "Second.")
    desk.write("open/two.md", "Third.")
    desk.scan()
    refuse(monkeypatch, "shut")
    (desk.folder / "open/two.md").unlink()
    (desk.folder / "shutter.md").unlink()
    report = desk.scan()
    assert report.unlisted == ("shut",)
    assert report.missing == ("open/two.md", "shutter.md")


def refuse(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Permission denied for one name; root, who often runs the tests, is denied nothing."""
    real = os.open

    def guarded(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == name:
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", guarded)


def test_an_unreadable_file_is_set_aside_and_the_rest_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = desk.write("one.md", "First.")
    desk.write("two.md", "Second.")
    with monkeypatch.context() as patch:
        refuse(patch, "one.md")
        report = desk.scan()
        assert (report.added, report.quarantined) == (("two.md",), ("one.md",))
        assert desk.reasons() == {"one.md": "cannot be read: Permission denied"}
        assert desk.scan().quarantined == ()  # once is enough
    path.chmod(0o600)
    assert desk.scan().added == ("one.md",)  # a chmod is a change


def test_an_error_of_the_machine_is_not_blamed_on_the_file(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.write("one.md", "First.")

    def broken(*_: object) -> bytes:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pread", broken)
    with pytest.raises(OSError, match="Too many open files"):
        desk.scan()
    assert desk.store.documents() == []


# --- settling ---


def test_a_file_that_changes_between_the_looks_waits(desk: Desk) -> None:
    path = desk.write("one.md", "Half")
    desk.write("two.md", "Whole.")

    def go_on() -> None:
        path.write_text("Half and half.")

    report = desk.scan(meanwhile=go_on)
    assert (report.unsettled, report.added) == (("one.md",), ("two.md",))
    assert desk.scan().added == ("one.md",)
    assert desk.pending()["one.md"] == "Half and half."


def test_a_file_that_is_replaced_between_the_looks_waits(desk: Desk) -> None:
    path = desk.write("one.md", "Old.")
    other = desk.write(".one.md.new", "New.")

    def swap() -> None:
        other.rename(path)

    assert desk.scan(meanwhile=swap).unsettled == ("one.md",)
    assert desk.scan().added == ("one.md",)
    assert desk.pending() == {"one.md": "New."}


def test_a_file_that_changes_between_the_reads_waits(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = desk.write("one.md", "Half.")
    real = os.pread
    reads = iter(range(100))

    def slow(descriptor: int, length: int, offset: int) -> bytes:
        if next(reads) == 2:  # the first read took two calls: the bytes and the end
            before = path.stat()
            path.write_text("Full.")
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return real(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", slow)
    assert desk.scan().unsettled == ("one.md",)
    assert desk.scan().added == ("one.md",)
    assert desk.pending() == {"one.md": "Full."}


@settings(max_examples=50, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["a.md", "b.md", "c/d.md", "c/e.txt"]),
            st.sampled_from(["", "x", "One.", "Two.", "\0", None]),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_after_any_changes_one_scan_is_enough(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str | None, bool]]
) -> None:
    """Whatever the watcher would have missed: the folder and the store agree after a scan."""
    desk = Desk(tmp_path_factory.mktemp("docs"))
    for name, text, scan in steps:
        if text is not None:
            desk.write(name, text)
        else:
            (desk.folder / name).unlink(missing_ok=True)
        if scan:
            desk.scan()
    desk.scan()
    there = {
        str(path.relative_to(desk.folder)): path.read_text()
        for path in desk.folder.rglob("*.*")
        if path.is_file()
    }
    good = {name: text for name, text in there.items() if text not in ("", "\0")}
    gone = set(desk.store.missing())
    assert {name: text for name, text in desk.pending().items() if name not in gone} == good
    assert set(desk.reasons()) - gone == there.keys() - good.keys()
    assert not gone & there.keys()
    assert desk.scan().unchanged == len(there)


# --- watching ---


class Bell:
    """Rings on a change; waits at most some seconds for it, and usually milliseconds."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def ring(self) -> None:
        self._event.set()

    def rang(self, seconds: float = 5.0) -> bool:
        rang = self._event.wait(seconds)
        self._event.clear()
        return rang


def test_a_change_is_told_and_reading_is_none(desk: Desk) -> None:
    bell = Bell()
    desk.write("inner/one.md", "First.")
    watcher = desk.intake.watch(bell.ring)
    try:
        assert watcher.is_alive()
        desk.write("inner/one.md", "Other.")
        assert bell.rang()
        desk.scan()
        bell.rang(0.2)  # what was still under way
        assert (desk.folder / "inner/one.md").read_text() == "Other."
        desk.write("inner/.hidden.md", "x")
        desk.write("inner/data.csv", "x")
        assert not bell.rang(0.2)
        (desk.folder / "inner/one.md").unlink()
        assert bell.rang()
    finally:
        watcher.stop()
    assert not watcher.is_alive()


def test_a_folder_that_vanishes_and_returns_is_watched_again(desk: Desk) -> None:
    bell = Bell()
    watcher = desk.intake.watch(bell.ring)
    try:
        shutil.rmtree(desk.folder)
        assert desk.scan().unlisted == (".",)
        assert not watcher.is_alive()
        assert watcher.error == "No such file or directory"
        desk.write("one.md", "First.")
        assert desk.scan().added == ("one.md",)
        assert watcher.is_alive()
        assert watcher.error == ""
        desk.write("one.md", "Other.")
        assert bell.rang()
    finally:
        watcher.stop()


def test_a_folder_that_is_swapped_for_another_is_watched_again(desk: Desk) -> None:
    bell = Bell()
    watcher = desk.intake.watch(bell.ring)
    try:
        desk.folder.rename(desk.folder.with_name("old"))
        desk.folder.mkdir()
        assert not watcher.is_alive()
        desk.scan()
        bell.rang(0.2)
        desk.write("one.md", "First.")
        assert bell.rang()
    finally:
        watcher.stop()


def test_without_inotify_the_scans_go_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: BaseObserver) -> None:
        raise OSError(28, "inotify watch limit reached")

    desk.write("one.md", "First.")
    with monkeypatch.context() as patch:
        patch.setattr("agent.watcher.Observer.start", full)
        watcher = desk.intake.watch(lambda: None)
        assert watcher.error == "inotify watch limit reached"
        assert desk.scan().added == ("one.md",)
    desk.scan()
    assert watcher.is_alive()
    watcher.stop()


def test_an_observer_that_dies_is_replaced(desk: Desk) -> None:
    watcher = desk.intake.watch(lambda: None)
    observer = watcher._observer
    assert observer is not None
    observer.stop()
    observer.join()
    assert not watcher.is_alive()
    desk.scan()
    assert watcher.is_alive()
    watcher.stop()


def test_settings_choose_the_suffixes(desk: Desk) -> None:
    desk.write("one.log", "First.")
    logs = replace(SETTINGS, suffixes=(".log",))
    intake = Intake(desk.folder, desk.store, logs, lambda _: nullcontext(desk.extractor))
    assert intake.scan(lambda _: None).added == ("one.log",)
