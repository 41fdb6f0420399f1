"""Fixtures of the command line's tests."""

from pathlib import Path

import pytest

from memory.records import FileStamp
from memory.store import Store


@pytest.fixture
def no_daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEARND_SERVER__PORT", "1")  # nothing listens there
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def filled(state: Path) -> Path:
    """A state directory with one pending document and one quarantined."""
    with Store.open(state / "learnd.db") as store:
        store.add_document("people.md", FileStamp(1, 2, 3), "a" * 64, "People", "Ms Åström signs.")
        store.quarantine_file("junk.md", FileStamp(1, 2, 4), "b" * 64, "binary [red]data")
    return state
