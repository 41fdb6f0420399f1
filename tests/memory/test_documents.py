"""Files and the versions of their text."""

import pytest

from memory.records import DocumentState, FileStamp
from memory.store import Store
from memory.testing import memory_store
from tests.helpers.stores import add, digest_of, learn, stamp_of, start

STAMP = FileStamp(1, 2, 3)


@pytest.fixture
def store() -> Store:
    return memory_store()


def states(store: Store, path: str) -> list[DocumentState]:
    return [one.state for one in store.documents() if one.path == path]


def test_a_new_file_is_pending_and_stamped(store: Store) -> None:
    document = store.add_document("a.md", STAMP, "d", "A", "text")
    assert document is not None
    assert (document.version, document.state, document.text) == (1, "pending", "text")
    assert store.document(document.id) == document
    assert store.documents(DocumentState.PENDING) == [document]
    assert store.stamps() == {"a.md": STAMP}


def test_the_same_bytes_move_only_the_stamp(store: Store) -> None:
    store.add_document("a.md", STAMP, "d", "A", "text")
    touched = FileStamp(1, 99, 3)
    assert store.add_document("a.md", touched, "d", "A", "text") is None
    assert store.stamps() == {"a.md": touched}
    assert len(store.documents()) == 1


def test_a_newer_version_retires_the_pending_one(store: Store) -> None:
    add(store, "a.md", "one")
    assert add(store, "a.md", "two").version == 2
    assert states(store, "a.md") == ["retired", "pending"]


def test_a_learned_version_stays_until_the_next_is_learned(store: Store) -> None:
    learn(store, add(store, "a.md", "one"))
    document = add(store, "a.md", "two")
    assert states(store, "a.md") == ["learned", "pending"]
    learn(store, document)
    assert states(store, "a.md") == ["retired", "learned"]


def test_a_batched_version_stays_batched(store: Store) -> None:
    start(store, add(store, "a.md", "one"))
    add(store, "a.md", "two")
    assert states(store, "a.md") == ["batched", "pending"]


def test_an_unreadable_file_is_quarantined_once(store: Store) -> None:
    document = store.quarantine_file("a.md", STAMP, "d", "not text")
    assert (document.state, document.reason, document.title) == ("quarantined", "not text", "a.md")
    assert store.quarantine_file("a.md", FileStamp(9, 9, 9), "d", "not text") == document
    assert store.stamps() == {"a.md": FileStamp(9, 9, 9)}


def test_a_repaired_file_leaves_quarantine_even_with_the_same_bytes(store: Store) -> None:
    store.quarantine_file("a.md", STAMP, "d", "took too long")
    assert store.add_document("a.md", STAMP, "d", "A", "text") is not None
    assert states(store, "a.md") == ["retired", "pending"]


def test_an_unreadable_version_retires_the_pending_one(store: Store) -> None:
    add(store, "a.md", "one")
    store.quarantine_file("a.md", stamp_of("x"), digest_of("x"), "not text")
    assert states(store, "a.md") == ["retired", "quarantined"]


def test_missing_files_are_exactly_those_of_the_last_scan(store: Store) -> None:
    for path in ("a.md", "b.md", "c.md"):
        add(store, path)
    store.mark_missing(["a.md", "b.md"])
    assert store.missing() == ["a.md", "b.md"]
    store.mark_missing(["b.md", "never-seen.md"])
    assert store.missing() == ["b.md"]
    assert set(store.stamps()) == {"a.md", "b.md", "c.md"}
    add(store, "b.md", "it is back")
    assert store.missing() == []


def test_unknown_document(store: Store) -> None:
    with pytest.raises(KeyError):
        store.document(7)
