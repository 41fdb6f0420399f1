"""Generations only grow, and a rollback is a new one."""

import pytest

from memory.errors import UnknownModel
from memory.testing import memory_store
from tests.helpers.stores import adapter_for, add, learn, start, study


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
