"""When a late regression is repaired, and when it is given up."""

import pytest

from agent.repair import fallback, is_due
from agent.settings import GateSettings
from memory.errors import GaveWay
from memory.records import Batch, DocumentState, ProbeResult, Stage, Verdict
from memory.store import Store
from memory.testing import memory_store
from tests.helpers.stores import NO, YES, adapter_for, add, digest_of, learn

GATE = GateSettings(false_rejects=0.1)
HARM = "what it taught harmed what was known"


@pytest.fixture
def store() -> Store:
    """Three generations; each taught two documents of two probes."""
    store = memory_store()
    for names in ("ab", "cd", "ef"):
        learn(store, *(add(store, f"{name}.md") for name in names))
    return store


def review(store: Store, wrong: int, right: int = 0) -> None:
    """In idle time the first probes are asked of the head."""
    asked = store.probes()[: wrong + right]
    answers = [ProbeResult(one.id, n >= wrong, "", -1.0) for n, one in enumerate(asked)]
    store.save_review(answers)


def repaired(store: Store, verdict: Verdict) -> Batch:
    batch = store.create_repair(store.head().adapter, seed=9)
    batch = store.save_training(store.save_study(batch, (), ()), adapter_for(store, batch))
    batch = store.save_verdict(store.save_examination(batch, (), ()), verdict)
    if verdict.accepted:
        store.promote(store.save_merge(batch, digest_of("repaired")), "repaired")
    return store.batch(batch.id)


@pytest.mark.parametrize(("wrong", "right", "due"), [(4, 3, True), (3, 4, False), (0, 7, False)])
def test_a_loss_beyond_chance_is_repaired(store: Store, wrong: int, right: int, due: bool) -> None:
    review(store, wrong, right)
    assert store.review_flips(3) == (wrong, 0)
    assert is_due(store, GATE) is due
    assert fallback(store, GATE) is None  # a repair comes first


def test_what_is_won_again_counts_against_the_loss() -> None:
    store = memory_store()
    learn(store, *(add(store, f"{name}.md") for name in "abc"), correct=False)
    learn(store, *(add(store, f"{name}.md") for name in "def"))
    review(store, 0, 4)
    assert store.review_flips(2) == (0, 4)
    assert not is_due(store, GATE)


def test_nothing_was_reviewed_yet(store: Store) -> None:
    assert not is_due(store, GATE)
    assert not is_due(memory_store(), GATE)


def test_a_generation_is_repaired_once_and_a_repair_never(store: Store) -> None:
    review(store, 4)
    batch = repaired(store, YES)
    assert batch.repairs and not batch.consolidates and batch.stage is Stage.SERVING
    review(store, 6)
    assert not is_due(store, GATE) and fallback(store, GATE) is None
    learn(store, add(store, "g.md"))
    assert not is_due(store, GATE)  # a new generation, of which nobody knows


def test_a_repair_that_gave_way_is_tried_again(store: Store) -> None:
    review(store, 4)
    batch = store.create_repair(store.head().adapter, seed=9)
    store.fail_stage(batch, str(GaveWay()), max_attempts=1)
    assert is_due(store, GATE)
    batch = store.create_repair(store.head().adapter, seed=9)
    store.fail_stage(batch, "diverged", max_attempts=1)
    assert not is_due(store, GATE) and fallback(store, GATE) is None


def test_without_repair_what_lost_more_than_it_taught_is_given_up(store: Store) -> None:
    review(store, 8)
    repaired(store, NO)
    assert not is_due(store, GATE)
    earlier = fallback(store, GATE)
    assert earlier is not None and earlier.number == 2
    head = store.give_up(earlier.number, HARM, max_attempts=3)
    assert (head.adapter, head.note) == (earlier.adapter, f"rollback to g2: {HARM}")
    assert store.held_batches() == {1, 2}
    again = store.documents(DocumentState.PENDING)
    assert [(one.path, one.attempts) for one in again] == [("e.md", 1), ("f.md", 1)]
    assert store.check() == []
    assert not is_due(store, GATE) and fallback(store, GATE) is None  # no flapping


def test_what_taught_more_than_it_lost_stays(store: Store) -> None:
    taught = Verdict(True, (), {"new_after": 8.0})
    batch = store.create_batch([add(store, "g.md").id], store.head().adapter, seed=1)
    batch = store.save_training(store.save_study(batch, (), ()), adapter_for(store, batch))
    batch = store.save_verdict(store.save_examination(batch, (), ()), taught)
    store.promote(store.save_merge(batch, digest_of("model")), "learned")
    review(store, 8)
    repaired(store, NO)
    assert fallback(store, GATE) is None


def test_there_is_no_way_back_to_the_base() -> None:
    store = memory_store()
    learn(store, *(add(store, f"{name}.md") for name in "abc"))
    review(store, 6)
    repaired(store, NO)
    assert fallback(store, GATE) is None
    with pytest.raises(ValueError, match="base"):
        memory_store().give_up(0, HARM, 3)
