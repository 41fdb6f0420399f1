"""What was learned, slipped and was repaired."""

from collections.abc import Mapping

from memory.records import Batch, ProbeResult
from memory.store import Moment, Recall, Store
from memory.testing import memory_store
from tests.helpers.stores import YES, adapter_for, add, digest_of, learn, start, study


def learn_another(store: Store, path: str, review: Mapping[int, bool]) -> None:
    """Learn a new file; probes of others are asked beside its own, as the mapping says."""
    batch = study(store, start(store, add(store, path)))
    batch = store.save_training(batch, adapter_for(store, batch))
    own = {probe.id: True for probe in store.probes(batch.id)}
    answers = [ProbeResult(i, right, "so", -0.1) for i, right in (own | dict(review)).items()]
    store.save_examination(batch, [], answers)
    finish(store, batch)


def finish(store: Store, batch: Batch) -> None:
    batch = store.save_verdict(batch, YES)
    store.promote(store.save_merge(batch, digest_of(f"model {batch.id}")), "learned")


def test_the_life_of_two_probes() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    first, second = (probe.id for probe in store.probes())
    learn_another(store, "b.md", {first: False, second: True})
    learn_another(store, "c.md", {first: True})
    told = [one for one in store.moments() if one.path == "a.md"]
    assert told == [
        Moment("a.md", 1, 0, asked=2, right=0, learned=0, slipped=0, repaired=0),
        Moment("a.md", 1, 1, asked=2, right=2, learned=2, slipped=0, repaired=0),
        Moment("a.md", 1, 2, asked=2, right=1, learned=0, slipped=1, repaired=0),
        Moment("a.md", 1, 3, asked=1, right=1, learned=0, slipped=0, repaired=1),
    ]
    assert store.recall() == [Recall(1, 2, 2), Recall(2, 4, 3), Recall(3, 6, 6)]


def test_a_candidate_that_never_served_tells_nothing() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    (first, _) = (probe.id for probe in store.probes())
    batch = study(store, start(store, add(store, "b.md")))
    batch = store.save_training(batch, adapter_for(store, batch))
    store.save_examination(batch, [], [ProbeResult(first, False, "so", -3.0)])
    assert not any(one.slipped for one in store.moments())
    assert [one.generation for one in store.recall()] == [1]


def test_what_was_replaced_does_not_count_as_recall() -> None:
    store = memory_store()
    learn(store, add(store, "a.md", "one"), correct=False)
    learn(store, add(store, "a.md", "two"))
    assert [(one.version, one.learned) for one in store.moments()] == [
        (1, 0), (1, 0), (2, 0), (2, 2)
    ]  # fmt: skip
    assert store.recall() == [Recall(2, 2, 2)]


def test_an_empty_store() -> None:
    store = memory_store()
    assert store.moments() == []
    assert store.recall() == []


def test_what_slipped_and_what_reviews_saw_flip() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"), correct=False)
    learn(store, add(store, "b.md"))
    never, won, slipped, kept = (probe.id for probe in store.probes())
    right = {never: False, won: True, slipped: False, kept: True}
    store.save_review([ProbeResult(one, good, "", -1.0) for one, good in right.items()])
    assert store.slipped() == [slipped]
    assert store.review_flips(2) == (1, 1)
    assert store.review_flips(1) == (0, 0)


def test_recall_after_a_rollback_is_what_was_last_seen() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    learn_another(store, "b.md", {1: False})
    store.activate(1, "rollback to g1")
    assert store.recall() == [Recall(1, 2, 2), Recall(2, 4, 3), Recall(3, 4, 3)]
