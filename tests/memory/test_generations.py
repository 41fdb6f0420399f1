"""Generations only grow, and a rollback is a new one."""

import pytest

from memory.errors import BadInput, UnknownModel
from memory.records import Probe
from memory.testing import memory_store
from tests.helpers.stores import YES, adapter_for, add, answers, learn, start, study, to_merged


def test_generation_zero_is_the_base() -> None:
    head = memory_store().head()
    assert (head.number, head.adapter, head.model, head.batch_id) == (0, None, None, None)


def test_a_rollback_points_to_old_digests() -> None:
    store = memory_store()
    first = learn(store, add(store, "a.md"))
    learn(store, add(store, "b.md"))
    back = store.activate(1, "rollback to g1")
    assert (back.number, back.adapter, back.model) == (3, first.adapter, first.model)
    assert (back.batch_id, back.note) == (None, "rollback to g1")
    assert [one.number for one in store.generations()] == [0, 1, 2, 3]
    assert store.check() == []


def test_held_batches_follow_the_head() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    learn(store, add(store, "b.md"))
    assert store.held_batches() == {1, 2}
    store.activate(1, "back")
    assert store.held_batches() == {1}
    assert {probe.question[:12] for probe in store.probes()} == {"probe: a.md "}
    store.activate(0, "base")
    assert (store.held_batches(), store.items()) == (set(), [])
    store.activate(2, "forth")
    assert store.held_batches() == {1, 2}


def test_unknown_generation() -> None:
    store = memory_store()
    with pytest.raises(UnknownModel, match="g7"):
        store.generation(7)
    with pytest.raises(UnknownModel):
        store.activate(7, "no")
    assert len(store.generations()) == 1


def test_adapter_records() -> None:
    store = memory_store()
    batch = study(store, start(store, add(store, "a.md")))
    adapter = adapter_for(store, batch)
    store.save_training(batch, adapter)
    assert store.adapter(adapter.digest) == adapter
    with pytest.raises(KeyError):
        store.adapter("f" * 64)


def test_a_restarted_batch_may_train_the_same_adapter_again() -> None:
    store = memory_store()
    batch = study(store, start(store, add(store, "a.md")))
    adapter = adapter_for(store, batch)
    batch = study(store, store.restart_batch(store.save_training(batch, adapter)))
    assert store.save_training(batch, adapter).adapter == adapter.digest


def test_a_task_has_its_own_line_of_generations_beside_the_head() -> None:
    store = memory_store()
    first = learn(store, add(store, "a.md"))
    task = learn(store, add(store, "desk/triage.jsonl"))
    other = learn(store, add(store, "dates.jsonl"))
    second = learn(store, add(store, "b.md"))
    newer = learn(store, add(store, "desk/triage.jsonl", "more examples"))
    assert [one.number for one in (first, task, other, second, newer)] == [1, 2, 3, 4, 5]
    assert store.head() == second
    assert [one.number for one in store.generations()] == [0, 1, 4]
    assert store.tasks() == [other, newer]
    assert newer.task == "desk/triage"
    assert store.held_batches() == {1, 4}
    assert {probe.question[:11] for probe in store.probes()} == {"probe: a.md", "probe: b.md"}
    assert store.needed()["models"] == {other.model, second.model, newer.model}
    assert store.check() == []
    assert store.counts()["generation"] == 4
    assert {row.path: row.held for row in store.document_rows()} == {
        "a.md": True, "b.md": True, "dates.jsonl": True, "desk/triage.jsonl": True,
    }  # fmt: skip


def test_what_a_task_answers_is_no_answer_of_the_head() -> None:
    store = memory_store()
    general = Probe(None, "general", "Which is the largest ocean?", "Pacific", "The Pacific.")
    store.add_general([general])
    batch = study(store, start(store, add(store, "triage.jsonl")))
    batch = store.save_training(batch, adapter_for(store, batch))
    probes = [*store.probes(batch.id), *store.probes()]
    batch = store.save_examination(batch, answers(probes, False), answers(probes, True))
    store.promote(store.save_merge(store.save_verdict(batch, YES), "0" * 64), "learned a task")
    assert (store.latest_results(), store.streaks(), store.recall()) == ({}, {}, [])
    assert store.head().number == 0


def test_a_task_needs_no_head_and_cannot_become_it() -> None:
    """The head moves while it is studied: nothing of it begins anew."""
    store = memory_store()
    learn(store, add(store, "a.md"))
    batch = start(store, add(store, "triage.jsonl"))
    store.activate(0, "back")
    task = store.promote(to_merged(store, batch), "learned a task")
    with pytest.raises(BadInput, match="g3 knows the task triage alone"):
        store.activate(task.number, "no")
    with pytest.raises(ValueError, match="begins at the base"):
        store.create_batch([add(store, "b.jsonl").id], "0" * 64, 1, task="b")
    assert store.head().number == 2
    assert store.check() == []


def test_a_task_that_begins_anew_begins_at_the_base() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    batch = start(store, add(store, "triage.jsonl"))
    assert store.restart_batch(batch).parent is None


def test_a_task_whose_file_is_gone_is_answered_again_when_it_is_back() -> None:
    store = memory_store()
    head = learn(store, add(store, "a.md"))
    task = learn(store, add(store, "triage.jsonl"))
    assert store.needed()["models"] == {head.model, task.model}
    store.mark_missing(["a.md", "triage.jsonl"])
    assert store.needed()["models"] == {head.model}
    assert task.adapter in store.needed()["adapters"]  # of which they are merged again
    assert store.tasks() == []
    store.mark_missing(["a.md"])
    assert store.tasks() == [task]
    assert store.needed()["models"] == {head.model, task.model}
