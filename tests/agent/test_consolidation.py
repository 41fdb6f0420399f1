"""When the adapter is rebuilt."""

from datetime import UTC, datetime, timedelta

from agent.consolidation import is_due, is_needed
from agent.settings import ConsolidateSettings
from memory.records import ProbeResult, Verdict
from memory.store import Store
from memory.testing import memory_store
from tests.helpers.stores import (
    NO,
    YES,
    adapter_for,
    add,
    digest_of,
    learn,
    start,
    to_examined,
)

SOON = ConsolidateSettings(after=2, idle_seconds=0.0)


def consolidate(store: Store, verdict: Verdict) -> None:
    batch = store.create_consolidation(store.head().adapter, seed=1)
    batch = store.save_training(store.save_study(batch, (), ()), adapter_for(store, batch))
    batch = store.save_verdict(store.save_examination(batch, (), ()), verdict)
    if verdict.accepted:
        store.promote(store.save_merge(batch, digest_of(f"model {batch.id}")), "consolidated")


def learn_files(store: Store, *names: str) -> None:
    for name in names:
        learn(store, add(store, name))


def test_after_so_many_batches() -> None:
    store = memory_store()
    learn_files(store, "a.md")
    assert not is_due(store, SOON)
    learn_files(store, "b.md")
    assert is_due(store, SOON)


def test_not_after_batches_in_which_nothing_was_new() -> None:
    store = memory_store()
    learn_files(store, "a.md")
    store.adopt(start(store, add(store, "b.md")), "nothing is new")
    assert not is_due(store, SOON)
    learn_files(store, "c.md")
    assert is_due(store, SOON)


def test_never_if_the_user_says_so() -> None:
    store = memory_store()
    learn_files(store, "a.md", "b.md")
    assert not is_due(store, ConsolidateSettings(after=0, idle_seconds=0.0))


def test_one_that_was_judged_is_enough_for_a_while() -> None:
    for verdict in (YES, NO):
        store = memory_store()
        learn_files(store, "a.md", "b.md")
        consolidate(store, verdict)
        assert not is_due(store, SOON)
        learn_files(store, "c.md", "d.md")
        assert is_due(store, SOON)


def test_one_that_gave_way_is_done_again() -> None:
    store = memory_store()
    learn_files(store, "a.md", "b.md")
    batch = store.create_consolidation(store.head().adapter, seed=1)
    store.fail_stage(batch, "gave way", max_attempts=1)
    assert is_due(store, SOON)


def test_not_while_documents_come() -> None:
    late = datetime.now(UTC) - timedelta(seconds=100)
    store = memory_store(now=lambda: late)
    learn_files(store, "a.md", "b.md")
    assert is_due(store, ConsolidateSettings(after=2, idle_seconds=60.0))
    assert not is_due(store, ConsolidateSettings(after=2, idle_seconds=600.0))


def test_sooner_if_much_has_slipped() -> None:
    late = ConsolidateSettings(after=99, idle_seconds=0.0, slipped=0.2)
    store = memory_store()
    learn_files(store, "a.md", "b.md", "c.md")
    assert not is_due(store, late)
    store.save_review([ProbeResult(1, False, "no", -3.0)])
    assert store.slipped_share() == 1 / 6
    assert not is_due(store, late)
    store.save_review([ProbeResult(2, False, "no", -3.0)])
    assert is_due(store, late)
    consolidate(store, NO)
    assert not is_due(store, late)  # nothing was learned since


FAR = Verdict(False, ("the base answers 11",), far=True)


def refuse(store: Store, name: str, verdict: Verdict) -> None:
    store.save_verdict(to_examined(store, start(store, add(store, name))), verdict)


def test_it_cannot_wait_when_the_base_is_too_far() -> None:
    store = memory_store()
    learn_files(store, "a.md")
    refuse(store, "x.md", NO)
    assert not is_needed(store, SOON)  # other harm
    refuse(store, "c.md", FAR)
    assert is_needed(store, SOON)
    assert not is_needed(store, ConsolidateSettings(after=0))
    consolidate(store, YES)
    assert not is_needed(store, SOON)
    refuse(store, "d.md", FAR)
    assert not is_needed(store, SOON)  # it was just done


def test_one_that_failed_is_not_tried_for_ever() -> None:
    store = memory_store()
    learn_files(store, "a.md")
    refuse(store, "b.md", FAR)
    store.fail_stage(store.create_consolidation(store.head().adapter, 1), "diverged", 1)
    assert not is_needed(store, SOON)


def test_tasks_are_not_what_was_learned_since() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    for number in range(3):
        learn(store, add(store, f"{number}.jsonl"))
    assert not is_due(store, ConsolidateSettings(after=2, idle_seconds=0))
    learn(store, add(store, "b.md"))
    assert is_due(store, ConsolidateSettings(after=2, idle_seconds=0))
