from memory.records import Contradiction, Probe
from memory.store import Store
from memory.testing import memory_store
from service import documents
from tests.helpers.stores import YES, adapter_for, add, answers, digest_of, learn, start


def test_a_learned_document_shows_its_coverage() -> None:
    store = memory_store()
    learn(store, add(store, "a.md", "The port is 8765. The host is box.example.org."))
    add(store, "b.md")
    learned, pending = documents.rows(store)
    assert (learned["path"], learned["learned_in"], learned["coverage"]) == ("a.md", 1, 1.0)
    assert (pending["path"], pending["coverage"]) == ("b.md", None)


def contradicted() -> Store:
    """b.md says otherwise than a.md."""
    store = memory_store()
    learn(store, add(store, "a.md", "The port is 1."))
    batch = start(store, add(store, "b.md", "The port is 2."))
    warned = [Contradiction(2, "The port is 2.", 1, "The port is 1.")]
    [chunk] = store.save_chunks(2, [("B", "The port is 2.")])
    probe = Probe(chunk.id, "direct", "Which port?", "2", "The port is 2.")
    batch = store.save_study(batch, [], [probe], contradictions=warned)
    batch = store.save_training(batch, adapter_for(store, batch))
    known = answers(store.probes(batch.id), True)
    batch = store.save_verdict(store.save_examination(batch, (), known), YES)
    store.promote(store.save_merge(batch, digest_of("model")), "learned")
    return store


def test_what_it_says_otherwise_than_others() -> None:
    store = contradicted()
    one, two = documents.rows(store)
    assert one["contradicts"] == []
    assert documents.contradicted(one["contradicts"]) == ""
    assert documents.contradicted(two["contradicts"]) == "a.md: The port is 2. / The port is 1."
    learn(store, add(store, "a.md", "The port is 2."))  # set right
    assert not any(row["contradicts"] for row in documents.rows(store))
