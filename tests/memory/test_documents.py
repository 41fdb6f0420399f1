"""Files and the versions of their text."""

import pytest

from memory.records import Document, DocumentState, FileStamp
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


def moved(store: Store, path: str, text: str = "one", title: str = "A.Md") -> Document | None:
    """As add(), but for the title, which is the old path's."""
    return store.add_document(path, stamp_of(text), digest_of(text), title, text)


def test_all_versions_of_a_file_follow_it_to_another_path(store: Store) -> None:
    learn(store, add(store, "a.md", "zero"))
    learn(store, add(store, "a.md", "one"))
    taught, asked = store.items(), store.probes()
    store.mark_missing(["a.md"])
    assert moved(store, "hr/a.md") is None
    assert states(store, "hr/a.md") == ["retired", "learned"]
    assert states(store, "a.md") == store.missing() == []
    assert store.stamps() == {"hr/a.md": stamp_of("one")}
    assert (store.items(), store.probes()) == (taught, asked)
    assert add(store, "hr/a.md", "two").version == 3
    assert add(store, "a.md", "one").version == 1  # it came back, and is another file now
    assert store.check() == []


def test_only_a_missing_file_was_moved(store: Store) -> None:
    learn(store, add(store, "a.md", "one"))
    assert moved(store, "copy.md") is not None
    assert states(store, "a.md") == ["learned"]


@pytest.mark.parametrize(("text", "title"), [("two", "A.Md"), ("one", "Another name")])
def test_with_other_words_or_another_title_it_is_another_file(
    store: Store, text: str, title: str
) -> None:
    learn(store, add(store, "a.md", "one"))
    store.mark_missing(["a.md"])
    assert moved(store, "b.md", text, title) is not None
    assert states(store, "a.md") == ["learned"]


def test_an_older_version_is_not_what_was_moved(store: Store) -> None:
    learn(store, add(store, "a.md", "one"))
    learn(store, add(store, "a.md", "two"))
    store.mark_missing(["a.md"])
    assert moved(store, "b.md", "one") is not None


def test_a_file_in_the_place_of_another_is_a_version_of_that_one(store: Store) -> None:
    learn(store, add(store, "a.md", "one"), add(store, "b.md", "two"))
    store.mark_missing(["a.md"])
    document = moved(store, "b.md")
    assert document is not None and document.version == 2
    assert store.missing() == ["a.md"]


def test_a_task_is_what_its_file_is_called(store: Store) -> None:
    add(store, "a.jsonl", "one")
    store.mark_missing(["a.jsonl"])
    assert moved(store, "b.jsonl", title="A.Jsonl") is not None
    assert moved(store, "c.md", title="A.Jsonl") is not None
