from memory.testing import memory_store
from service import documents
from tests.helpers.stores import add, learn


def test_a_learned_document_shows_its_coverage() -> None:
    store = memory_store()
    learn(store, add(store, "a.md", "The port is 8765. The host is box.example.org."))
    add(store, "b.md")
    learned, pending = documents.rows(store)
    assert (learned["path"], learned["learned_in"], learned["coverage"]) == ("a.md", 1, 1.0)
    assert (pending["path"], pending["coverage"]) == ("b.md", None)
