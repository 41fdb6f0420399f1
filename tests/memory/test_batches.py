"""The stages: every arrow, and no other."""

import pytest

from memory.errors import IllegalTransition, StaleParent
from memory.records import (
    TRANSITIONS,
    Batch,
    DocumentState,
    Generation,
    Phase,
    Stage,
)
from memory.store import Store
from memory.testing import memory_store
from tests.helpers.stores import (
    NO,
    YES,
    adapter_for,
    add,
    answers,
    digest_of,
    learn,
    start,
    study,
    to_examined,
    to_merged,
)


@pytest.fixture
def store() -> Store:
    return memory_store()


def state_of(store: Store, document_id: int) -> DocumentState:
    return store.document(document_id).state


def at(store: Store, stage: Stage) -> Batch:
    """A batch of one document that has come to a stage."""
    batch = start(store, add(store, "a.md"))
    match stage:
        case Stage.NEW:
            return batch
        case Stage.STUDIED:
            return study(store, batch)
        case Stage.TRAINED:
            return store.save_training(study(store, batch), adapter_for(store, batch))
        case Stage.EXAMINED:
            return to_examined(store, batch)
        case Stage.ACCEPTED:
            return store.save_verdict(to_examined(store, batch), YES)
        case Stage.REJECTED:
            return store.save_verdict(to_examined(store, batch), NO)
        case Stage.MERGED:
            return to_merged(store, batch)
        case Stage.SERVING:
            store.promote(to_merged(store, batch), "learned")
            return store.batch(batch.id)
        case Stage.FAILED:
            return store.fail_stage(batch, "broken", 1)


def weights(generation: Generation) -> tuple[str | None, str | None]:
    return generation.adapter, generation.model


def move(store: Store, batch: Batch, stage: Stage) -> None:
    match stage:
        case Stage.NEW:
            raise IllegalTransition  # nothing leads there
        case Stage.STUDIED:
            store.save_study(batch, [], [])
        case Stage.TRAINED:
            store.save_training(batch, adapter_for(store, batch, "again"))
        case Stage.EXAMINED:
            store.save_examination(batch, [], [])
        case Stage.ACCEPTED | Stage.REJECTED:
            store.save_verdict(batch, YES if stage == Stage.ACCEPTED else NO)
        case Stage.MERGED:
            store.save_merge(batch, digest_of("model"))
        case Stage.SERVING if batch.stage in (Stage.NEW, Stage.STUDIED):
            store.adopt(batch, "nothing is new")
        case Stage.SERVING:
            store.promote(batch, "learned")
        case Stage.FAILED:
            store.fail_stage(batch, "broken", 1)


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("target", Stage)
def test_only_the_arrows_of_the_table_are_legal(store: Store, stage: Stage, target: Stage) -> None:
    if stage in (Stage.NEW, Stage.STUDIED) and target is Stage.SERVING:
        learn(store, add(store, "earlier.md"))  # to the base everything is new
    batch = at(store, stage)
    assert batch.stage == stage
    if target in TRANSITIONS[stage]:
        move(store, batch, target)
        assert store.batch(batch.id).stage == target
    else:
        with pytest.raises(IllegalTransition):
            move(store, batch, target)
        assert store.batch(batch.id) == batch
    assert store.check() == []


def test_a_batch_takes_pending_documents(store: Store) -> None:
    documents = [add(store, f"{name}.md") for name in "abc"]
    batch = store.create_batch([one.id for one in documents[:2]], None, seed=2**60)
    assert batch.document_ids == (documents[0].id, documents[1].id)
    assert (batch.stage, batch.seed, batch.parent, batch.verdict) == ("new", 2**60, None, None)
    assert store.live_batch() == batch
    assert [state_of(store, one.id) for one in documents] == ["batched", "batched", "pending"]


def test_one_batch_lives_at_a_time(store: Store) -> None:
    start(store, add(store, "a.md"))
    with pytest.raises(IllegalTransition, match="still new"):
        start(store, add(store, "b.md"))


def test_only_pending_documents_enter(store: Store) -> None:
    learn(store, document := add(store, "a.md"))
    fresh = add(store, "b.md")
    with pytest.raises(IllegalTransition, match="not pending"):
        start(store, fresh, document)
    assert state_of(store, fresh.id) == "pending"
    with pytest.raises(ValueError, match="needs documents"):
        start(store)


def test_the_way_to_serving(store: Store) -> None:
    document = add(store, "a.md")
    batch = to_merged(store, start(store, document))
    generation = store.promote(batch, "learned 1 document")
    batch = store.batch(batch.id)
    assert (generation.number, generation.name, generation.batch_id) == (1, "g1", batch.id)
    assert (generation.adapter, generation.model) == (batch.adapter, batch.model)
    assert batch.verdict == YES
    assert state_of(store, document.id) == "learned"
    assert store.live_batch() is None
    assert store.head() == generation


def test_where_nothing_is_new_the_weights_serve_on(store: Store) -> None:
    before = learn(store, add(store, "a.md"))
    again = add(store, "b.md")
    batch = start(store, again)
    generation = store.adopt(batch, "nothing is new in 1 document")
    assert (generation.number, generation.adapter, generation.model) == (2, *weights(before))
    assert (generation.batch_id, generation.note) == (batch.id, "nothing is new in 1 document")
    verdict = store.batch(batch.id).verdict
    assert verdict is not None and verdict.reasons == ("nothing is new in 1 document",)
    assert state_of(store, again.id) == "learned"
    assert {row.path: (row.learned_in, row.held) for row in store.document_rows()} == {
        "a.md": (1, True),
        "b.md": (2, True),
    }
    assert store.check() == []


def test_what_is_adopted_was_asked_of_what_serves_on(store: Store) -> None:
    learn(store, add(store, "a.md"))
    batch = study(store, start(store, add(store, "b.md")))
    probes = store.probes(batch.id)
    generation = store.adopt(batch, "known", answers(probes, True))
    asked = [asking for one in probes for asking in store.history(one.id)]
    assert len(asked) == len(probes) == 2
    assert {(one.phase, one.generation, one.correct) for one in asked} == {
        (Phase.REVIEW, generation.number, True)
    }
    assert store.check() == []


def test_nothing_is_new_to_those_who_know_something(store: Store) -> None:
    with pytest.raises(ValueError, match="nobody taught the base"):
        store.adopt(start(store, add(store, "a.md")), "nothing is new")


@pytest.mark.parametrize("stage", [Stage.NEW, Stage.STUDIED])
def test_what_was_not_merged_is_not_promoted(store: Store, stage: Stage) -> None:
    batch = at(store, stage)
    with pytest.raises(IllegalTransition, match="no merged model"):
        store.promote(batch, "learned")
    assert store.batch(batch.id) == batch


def test_promotion_retires_what_it_replaces(store: Store) -> None:
    learn(store, add(store, "a.md", "one"), add(store, "b.md"))
    assert len(store.probes()) == 4
    batch = start(store, add(store, "a.md", "two"))
    assert store.superseded(batch) == {1}
    learn_before = {probe.question for probe in store.probes()}
    store.promote(to_merged(store, batch), "learned")
    assert {probe.question for probe in store.probes()} - learn_before == {
        "probe: a.md v2 question 0",
        "probe: a.md v2 question 1",
    }
    assert not any("a.md v1" in item.prompt for item in store.items())
    assert sum("a.md v1" in item.prompt for item in store.items(live_only=False)) == 2


def test_promotion_needs_the_head_it_was_trained_on(store: Store) -> None:
    learn(store, add(store, "a.md"))
    batch = to_merged(store, start(store, add(store, "b.md")))
    store.activate(0, "rollback to g0")
    with pytest.raises(StaleParent):
        store.promote(batch, "learned")
    assert store.batch(batch.id) == batch
    assert store.head().number == 2


def test_a_stale_batch_restarts_on_the_new_head(store: Store) -> None:
    learn(store, add(store, "a.md"))
    batch = to_merged(store, start(store, add(store, "b.md")))
    store.activate(0, "rollback to g0")
    batch = store.restart_batch(batch)
    assert (batch.stage, batch.parent, batch.adapter, batch.model) == ("new", None, None, None)
    assert (batch.verdict, batch.self_edit, batch.attempts) == (None, None, 0)
    assert store.results(batch.id, Phase.AFTER) == []
    assert store.items(batch.id) == []  # what is new depends on the head
    assert store.probes(batch.id) == []
    batch = store.save_training(study(store, batch), adapter_for(store, batch))
    assert len(store.items(batch.id)) == 2
    probes = store.probes(batch.id)
    batch = store.save_examination(batch, answers(probes, False), answers(probes, True))
    batch = store.save_merge(store.save_verdict(batch, YES), digest_of("model"))
    assert store.promote(batch, "learned").number == 3
    assert store.check() == []


def test_what_is_new_is_found_on_the_head_that_is_trained_on(store: Store) -> None:
    learn(store, add(store, "a.md"))
    batch = start(store, add(store, "b.md"))
    store.activate(0, "rollback to g0")
    with pytest.raises(StaleParent):
        study(store, batch)
    with pytest.raises(StaleParent):
        store.adopt(batch, "nothing is new")
    batch = study(store, store.restart_batch(batch))
    store.activate(1, "and back")
    with pytest.raises(StaleParent):
        store.save_training(batch, adapter_for(store, batch))
    assert store.batch(batch.id).stage is Stage.STUDIED
    assert store.check() == []


@pytest.mark.parametrize("stage", [Stage.REJECTED, Stage.SERVING, Stage.FAILED])
def test_nothing_to_restart(store: Store, stage: Stage) -> None:
    with pytest.raises(IllegalTransition):
        store.restart_batch(at(store, stage))


def test_rejected_documents_get_another_chance_then_quarantine(store: Store) -> None:
    document = add(store, "a.md")
    for attempt in (1, 2):
        batch = store.save_verdict(to_examined(store, start(store, document)), NO, max_attempts=2)
        assert batch.verdict == NO
        assert store.document(document.id).attempts == attempt
        assert store.items(batch.id) == []
        assert store.probes(batch.id) == []
        assert len(store.results(batch.id, Phase.AFTER)) == 2  # the report stays
        document = store.document(document.id)
    assert document.state == "quarantined"
    assert document.reason == "rejected: lost 3 old probes; learned nothing"


def test_a_rejected_document_with_a_successor_retires(store: Store) -> None:
    document = add(store, "a.md", "one")
    batch = to_examined(store, start(store, document))
    add(store, "a.md", "two")
    store.save_verdict(batch, NO, max_attempts=1)
    assert [one.state for one in store.documents()] == ["retired", "pending"]
    assert store.check() == []


def test_failures_are_counted_by_stage(store: Store) -> None:
    batch = start(store, document := add(store, "a.md"))
    batch = store.fail_stage(batch, "out of memory", 3)
    assert (batch.stage, batch.attempts, batch.error) == ("new", 1, "out of memory")
    batch = study(store, batch)
    assert (batch.attempts, batch.error) == (0, "")
    for _ in range(3):
        batch = store.fail_stage(batch, "no luck", 3)
    assert (batch.stage, batch.attempts, batch.error) == ("failed", 3, "no luck")
    assert state_of(store, document.id) == "pending"
    assert store.live_batch() is None
    batch = store.fail_stage(start(store, store.document(document.id)), "again", 1)
    assert store.document(document.id).reason == "failed: again"


def test_an_old_copy_of_a_batch_cannot_mislead(store: Store) -> None:
    old = start(store, add(store, "a.md"))
    study(store, old)
    with pytest.raises(IllegalTransition):
        study(store, old)
    assert store.save_training(old, adapter_for(store, old)).stage == "trained"


def test_an_adapter_belongs_to_its_batch(store: Store) -> None:
    batch = at(store, Stage.SERVING)
    other = study(store, start(store, add(store, "b.md")))
    with pytest.raises(ValueError, match="of batch 1"):
        store.save_training(other, adapter_for(store, batch))
    assert store.batches() == [batch, other]


def test_unknown_batch(store: Store) -> None:
    with pytest.raises(KeyError):
        store.batch(7)


def test_a_consolidation_has_no_documents_and_holds_what_the_head_held() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    batch = store.create_consolidation(store.head().adapter, seed=3)
    assert batch.consolidates and batch.document_ids == ()
    with pytest.raises(IllegalTransition, match="still new"):
        store.create_consolidation(None, seed=4)
    batch = store.save_training(store.save_study(batch, (), ()), adapter_for(store, batch))
    batch = store.save_verdict(store.save_examination(batch, (), ()), YES)
    store.promote(store.save_merge(batch, digest_of("rebuilt")), "consolidated")
    assert store.held_batches() == {1, 2} and len(store.items()) == 2
    assert store.check() == []


def test_a_smaller_adapter_takes_the_place_of_the_trained_one() -> None:
    store = memory_store()
    batch = study(store, start(store, add(store, "a.md")))
    batch = store.save_training(batch, adapter_for(store, batch))
    shrunk = adapter_for(store, batch, "shrunk")
    batch = store.save_examination(batch, (), (), shrunk)
    assert batch.adapter == shrunk.digest
    batch = store.save_merge(store.save_verdict(batch, YES), digest_of("model"))
    assert store.promote(batch, "learned").adapter == shrunk.digest
    assert store.check() == []
