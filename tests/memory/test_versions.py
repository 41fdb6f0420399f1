"""What an edit leaves alone keeps what was taught and asked about it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from memory.records import Batch, Chunk, Contradiction, DocumentState, Probe, StudyItem
from memory.store import Repeated, Store
from memory.testing import memory_store
from tests.helpers.stores import YES, adapter_for, add, answers, digest_of, start


@pytest.fixture
def store() -> Store:
    return memory_store()


def begin(store: Store, *paragraphs: str, path: str = "a.md") -> Batch:
    """A version of a document, with a chunk for each paragraph; what it repeats is noted."""
    document = add(store, path, "\n\n".join(paragraphs))
    batch = start(store, document)
    chunks = store.save_chunks(document.id, [("A", paragraph) for paragraph in paragraphs])
    pairs = [(one, chunk) for chunk in chunks for one in store.stated(batch)]
    same = [(one, chunk) for one, chunk in pairs if one.whole and one.text == chunk.text]
    store.save_repeated(batch, [Repeated(one.chunk_id, chunk.id, None) for one, chunk in same])
    return batch


def fresh(store: Store, batch: Batch) -> list[Chunk]:
    taught = {one.text for one in store.stated(batch) if one.whole}
    return [one for one in store.chunks(batch.document_ids) if one.text not in taught]


def learn(store: Store, batch: Batch, warned: Sequence[Contradiction] = ()) -> None:
    """What is fresh goes all the way: an item and a probe for each chunk."""
    chunks = fresh(store, batch)
    items = [StudyItem(one.id, "qa", f"{one.text}?", one.text, "al") for one in chunks]
    probes = [Probe(one.id, "direct", f"{one.text}!", one.text, one.text) for one in chunks]
    batch = store.save_study(batch, items, probes, contradictions=warned)
    batch = store.save_training(batch, adapter_for(store, batch))
    asked = store.probes(batch.id)
    batch = store.save_examination(batch, answers(asked, False), answers(asked, True))
    store.promote(store.save_merge(store.save_verdict(batch, YES), digest_of("m")), "learned")


def said(store: Store) -> dict[str, int]:
    """What is taught, and about which document."""
    chunks = store.chunks(one.id for one in store.documents())
    document_of = {chunk.id: chunk.document_id for chunk in chunks}
    return {item.answer: document_of[item.chunk_id or 0] for item in store.items()}


def test_a_new_document_repeats_nothing(store: Store) -> None:
    learn(store, begin(store, "one", path="other.md"))
    batch = begin(store, "one", "two")
    assert store.stated(batch) == []  # another document may say the same
    assert store.superseded(batch) == store.outdated_items(batch) == set()


def test_what_a_new_version_does_not_repeat_is_outdated(store: Store) -> None:
    learn(store, begin(store, "one", "two", "three"))
    batch = begin(store, "one", "2", "three", "four")
    assert [(one.text, one.statement, one.whole) for one in store.stated(batch)] == [
        (text, text, True) for text in ("one", "two", "three")
    ]
    assert store.outdated_items(batch) == {i.id for i in store.items() if i.answer == "two"}
    assert store.outdated_probes(batch) == {p.id for p in store.probes() if p.answer == "two"}


def test_a_version_of_which_nothing_was_studied_is_replaced_too(store: Store) -> None:
    learn(store, begin(store))
    batch = begin(store, "one")
    assert store.superseded(batch) == {1}
    learn(store, batch)
    assert store.document(1).state is DocumentState.RETIRED
    assert store.check() == []


def test_what_did_not_change_passes_to_the_new_version(store: Store) -> None:
    learn(store, begin(store, "one", "two", "three"))
    asked = {probe.answer: probe.id for probe in store.probes()}
    learn(store, begin(store, "one", "2", "three"))
    assert said(store) == {"one": 2, "2": 2, "three": 2}
    kept = {probe.answer: probe.id for probe in store.probes()}
    assert {text: kept[text] for text in ("one", "three")} == {
        text: asked[text] for text in ("one", "three")
    }
    assert {probe.answer for probe in store.probes()} == {"one", "2", "three"}
    assert [one.generation for one in store.history(kept["one"])] == [0, 1]  # goes on
    assert store.document(1).state is DocumentState.RETIRED
    assert store.check() == []


def test_a_statement_that_stays_in_a_chunk_that_changed_passes_on(store: Store) -> None:
    learn(store, begin(store, "one", "two"))
    asked = {probe.answer: probe.id for probe in store.probes()}
    batch = begin(store, "one, or two, or three")
    [chunk] = store.chunks(batch.document_ids)
    store.save_repeated(batch, [Repeated(1, chunk.id, "one"), Repeated(2, chunk.id, "two")])
    store.save_repeated(batch, [Repeated(2, chunk.id, "two")])  # counts as it was said last
    one = {item.id for item in store.items() if item.answer == "one"}
    assert store.outdated_items(batch) == one
    assert store.outdated_probes(batch) == {asked["one"]}
    learn(store, batch)
    assert said(store) == {"two": 2, "one, or two, or three": 2}
    assert asked["two"] in {probe.id for probe in store.probes()}
    assert store.check() == []


def test_what_passes_on_is_there_after_a_restart(tmp_path: Path) -> None:
    rows = [Repeated(1, 1, text) for text in ("b", "a", None)]
    with Store.open(tmp_path / "learnd.db") as store:
        batch = begin(store, "one")
        store.save_repeated(batch, rows)
    with Store.open(tmp_path / "learnd.db") as store:  # which looks for damage
        learn(store, batch)
        assert said(store) == {"one": 1}


def test_where_only_something_was_deleted_the_rest_passes_on(store: Store) -> None:
    learn(store, begin(store, "one", "two"))
    batch = begin(store, "two")
    assert fresh(store, batch) == []
    store.adopt(batch, "nothing is new")
    assert said(store) == {"two": 2}
    assert {probe.answer for probe in store.probes()} == {"two"}
    assert store.check() == []


def test_what_passed_to_a_version_that_was_given_up_is_not_all_of_its_chunk(store: Store) -> None:
    learn(store, begin(store, "one", "two"))
    learn(store, begin(store, "one", "2"))
    store.give_up(1, "it did harm", 3)
    again = start(store, store.document(2))
    assert [(one.statement, one.whole) for one in store.stated(again)] == [("one", False)]
    store.fail_stage(again, "broken", 1)
    newest = begin(store, "one", "II")  # while the version before waited
    assert said(store) == {"one": 2}
    assert store.check() == []
    learn(store, newest)
    assert said(store) == {"one": 3, "II": 3}
    assert store.check() == []


def test_what_hangs_on_chunks_that_were_cut_anew_is_retired(store: Store) -> None:
    learn(store, begin(store, "one", "two"))
    learn(store, begin(store, "one", "2"))
    store.give_up(1, "it did harm", 3)
    again = start(store, store.document(2))
    store.save_chunks(2, [("A", "2 and more")])
    learn(store, again)
    assert said(store) == {"2 and more": 2}
    assert store.check() == []


def test_what_was_adopted_waits_again_when_its_weights_go(store: Store) -> None:
    learn(store, begin(store, "zero", path="other.md"))
    learn(store, begin(store, "one", "two"))
    store.adopt(begin(store, "two"), "nothing is new")
    assert store.generations()[-1].adapter == store.generations()[-2].adapter
    store.give_up(1, "it did harm", 3)
    states = {one.id: one.state for one in store.documents()}
    assert states == {
        1: DocumentState.LEARNED,
        2: DocumentState.RETIRED,
        3: DocumentState.PENDING,
    }
    assert store.stated(start(store, store.document(3))) == []
    assert store.check() == []


def test_a_contradiction_stays_as_long_as_both_say_so(store: Store) -> None:
    learn(store, begin(store, "one", "two", path="other.md"))
    warned = [Contradiction(2, text, 1, text) for text in ("one", "two")]
    learn(store, begin(store, "one", "two", "three"), warned)
    learn(store, begin(store, "one", "2", "three"))
    assert [(one.path, one.version, one.statement) for one in store.conflicts()] == [
        ("a.md", 2, "one")
    ]
    learn(store, begin(store, "one", "4", path="other.md"))
    assert [one.statement for one in store.conflicts()] == ["one"]
    learn(store, begin(store, "5", "4", path="other.md"))
    assert store.conflicts() == []
