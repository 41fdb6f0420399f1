"""Chunks, study items, probes, and what became of them."""

import pytest

from memory.records import Phase, Probe, ProbeResult
from memory.store import Store, Streak
from memory.taught import Taught
from memory.testing import memory_store
from tests.helpers.stores import NO, YES, adapter_for, add, learn, start, study, to_examined


@pytest.fixture
def store() -> Store:
    return memory_store()


def test_chunks_keep_their_ids_when_saved_again(store: Store) -> None:
    document = add(store, "a.md")
    chunks = store.save_chunks(document.id, [("A", "one"), ("A > B", "two")])
    assert [(one.position, one.title, one.text) for one in chunks] == [
        (0, "A", "one"),
        (1, "A > B", "two"),
    ]
    assert store.save_chunks(document.id, [("A", "one"), ("A > B", "two")]) == chunks
    other = store.save_chunks(document.id, [("A", "one two")])
    assert not {one.id for one in other} & {one.id for one in chunks}
    assert store.chunks([document.id]) == other
    assert store.check() == []


def test_items_and_probes_of_a_batch_and_of_the_head(store: Store) -> None:
    batch = study(store, start(store, add(store, "a.md")))
    assert len(store.items(batch.id)) == len(store.probes(batch.id)) == 2
    assert (store.items(), store.probes()) == ([], [])  # the head was not taught them yet
    assert len(store.probes(live_only=False)) == 2


def test_rejected_items_are_kept_but_not_live(store: Store) -> None:
    batch = store.save_verdict(to_examined(store, start(store, add(store, "a.md"))), NO)
    assert store.items(batch.id) == []
    assert len(store.items(batch.id, live_only=False)) == 2


def test_general_probes_are_added_once(store: Store) -> None:
    general = [
        Probe(None, "general", "2 + 2?", "4", "4"),
        Probe(None, "general", "3 + 3?", "6", "6"),
    ]
    store.add_general(general[:1])
    store.add_general(general)
    store.add_general(general)
    assert [probe.question for probe in store.probes()] == ["2 + 2?", "3 + 3?"]


def test_a_candidate_that_never_served_leaves_no_result(store: Store) -> None:
    batch = to_examined(store, start(store, add(store, "a.md")), correct=True)
    assert not any(result.correct for result in store.latest_results().values())
    store.save_verdict(batch, NO)
    assert not any(result.correct for result in store.latest_results().values())
    assert all(result.correct for result in store.results(batch.id, Phase.AFTER))


def test_results_take_their_generation_at_promotion(store: Store) -> None:
    learn(store, add(store, "a.md"))
    assert all(result.correct for result in store.latest_results().values())
    history = store.history(1)
    assert [(one.phase, one.generation, one.correct) for one in history] == [
        ("before", 0, False),
        ("after", 1, True),
    ]
    assert history[0].answer == "an answer"


def review(store: Store, path: str, before: bool, after: bool) -> None:
    """Learn another file, and ask probe 1 in passing."""
    batch = study(store, start(store, add(store, path)))
    batch = store.save_training(batch, adapter_for(store, batch))
    first, second = ([ProbeResult(1, correct, "", -1.0)] for correct in (before, after))
    batch = store.save_examination(batch, first, second)
    batch = store.save_merge(store.save_verdict(batch, YES), "m")
    store.promote(batch, "learned")


def test_streaks_count_passed_examinations_since_the_last_wrong_answer(store: Store) -> None:
    learn(store, add(store, "a.md"))
    assert store.streaks()[1] == Streak(generation=1, right=1)
    review(store, "b.md", before=True, after=True)
    assert store.streaks()[1] == Streak(generation=2, right=2)
    review(store, "c.md", before=True, after=False)
    assert store.streaks()[1] == Streak(generation=3, right=0)
    review(store, "d.md", before=False, after=True)
    assert store.streaks()[1] == Streak(generation=4, right=1)


def test_items_by_id_keeps_the_order(store: Store) -> None:
    learn(store, add(store, "a.md"))
    assert [item.id for item in store.items_by_id([2, 1])] == [2, 1]
    assert [one.item_id for one in store.rehearsable()] == [1, 2]


def test_the_base_is_not_reviewed() -> None:
    with pytest.raises(ValueError, match="base"):
        memory_store().save_review([])


def test_what_is_recited_and_what_it_is_compared_with(store: Store) -> None:
    assert (store.recited(), store.taught()) == ([], Taught())
    learn(store, add(store, "a.md"))
    [said] = store.recited()
    assert store.taught().statements == (f"A.Md: {said}",)
    store.activate(0, "rollback")
    assert store.recited() == []


def test_what_some_document_said_in_the_same_words(store: Store) -> None:
    learn(store, add(store, "a.md"))
    same, other = add(store, "b.md"), add(store, "c.md", "The name is Otter.")
    batch = study(store, start(store, same, other))
    assert store.said_before(batch.id) == {item.id for item in store.items(batch.id)[:2]}
    store.activate(0, "rollback")
    assert store.said_before(batch.id) == set()


def test_what_was_known_is_asked_anew_when_a_batch_restarts(store: Store) -> None:
    batch = study(store, start(store, add(store, "a.md")))
    known, _ = (item.id for item in store.items(batch.id))
    store.save_training(batch, adapter_for(store, batch), [known])
    assert store.known_statements(batch.id) == {"The port is 8765."}
    store.restart_batch(batch)
    assert store.known_statements(batch.id) == set()
