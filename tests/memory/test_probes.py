"""The schedule is fair."""

from memory.probes import due
from memory.records import Probe
from memory.testing import memory_store
from tests.helpers.stores import YES, adapter_for, add, learn, start, study


def test_due_rests_longer_after_every_success() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))  # its probes are right once, so they rest for 2 generations
    learn(store, add(store, "b.md"), correct=False)  # wrong: they rest for 1
    names = [probe.question.split()[1] for probe in due(store, 10)]
    assert names == []
    store.activate(2, "one more generation")
    names = [probe.question.split()[1] for probe in due(store, 10)]
    assert names == ["b.md", "b.md", "a.md", "a.md"]  # equally urgent: the wrong ones first
    for _ in range(3):
        store.activate(2, "time passes")
    assert [probe.id for probe in due(store, 3, exclude={3})] == [4, 1, 2]


def test_never_asked_comes_first_and_general_probes_have_no_turn() -> None:
    store = memory_store()
    store.add_general([Probe(None, "general", "2 + 2?", "4", "4")])
    batch = study(store, start(store, add(store, "a.md")))
    batch = store.save_training(batch, adapter_for(store, batch))
    batch = store.save_verdict(store.save_examination(batch, [], []), YES)
    store.promote(store.save_merge(batch, "m"), "learned")
    assert [probe.question for probe in due(store, 10)] == [
        "probe: a.md v1 question 0",
        "probe: a.md v1 question 1",
    ]
    assert len(due(store, 1)) == 1
