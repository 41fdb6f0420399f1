"""The schedule is fair, and finds what was forgotten."""

import random
from collections.abc import Sequence

import pytest

from memory.probes import due
from memory.records import Batch, Probe, ProbeResult
from memory.store import Store
from memory.testing import memory_store
from tests.helpers.stores import YES, adapter_for, add, digest_of, learn, start, study


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


def test_nothing_rests_for_more_than_eight_generations() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    probes = store.probes()
    for number in range(5):
        serve(store, study(store, start(store, add(store, f"{number}.md"))), probes, {})
    for _ in range(7):
        store.activate(1, "time passes")
    assert due(store, 99) == []
    store.activate(1, "time passes")
    assert set(probes) <= set(due(store, 99))


def serve(store: Store, batch: Batch, asked: Sequence[Probe], forgotten: dict[int, int]) -> None:
    """Take a batch to where it serves; what was forgotten is answered wrongly."""
    everything = (*store.probes(batch.id), *asked)
    answers = [ProbeResult(one.id, one.id not in forgotten, "", -1.0) for one in everything]
    batch = store.save_training(batch, adapter_for(store, batch))
    batch = store.save_verdict(store.save_examination(batch, [], answers), YES)
    store.promote(store.save_merge(batch, digest_of(f"model {batch.id}")), "learned")


@pytest.mark.slow
def test_a_thousand_documents_cost_little_to_watch_and_little_is_missed() -> None:
    """Batches of five documents, one of a hundred topics each; of what is known about a topic of
    the batch 4% is forgotten, of all else .2%. What is found out is rehearsed and known again."""
    chance = random.Random(1)
    store, topics = memory_store(), dict[int | None, int]()
    forgotten: dict[int, int] = {}  # probe id -> when
    lost = found = asked_in_all = full = 0
    for number in range(200):
        live = store.probes()
        documents = [add(store, f"{number}-{n}.md", f"text {number} {n}") for n in range(5)]
        batch = study(store, start(store, *documents), per_chunk=6)
        chunks = store.chunks(batch.document_ids)
        topics |= {chunk.id: chance.randrange(100) for chunk in chunks}
        here = {topics[chunk.id] for chunk in chunks}
        for probe in live:
            close = topics[probe.chunk_id] in here
            if probe.id not in forgotten and chance.random() < (0.04 if close else 0.002):
                forgotten[probe.id] = number
                lost += 1
        near = [probe for probe in live if topics[probe.chunk_id] in here]
        near = chance.sample(near, min(20, len(near)))
        most = max(20, round(0.12 * len(live)))
        asked = [*near, *due(store, most, exclude={probe.id for probe in near})]
        serve(store, batch, asked, forgotten)
        repaired = [probe.id for probe in asked if forgotten.pop(probe.id, None) is not None]
        found, asked_in_all, full = (
            found + len(repaired),
            asked_in_all + len(asked),
            full + len(live),
        )
    assert lost > 1000
    assert found / lost >= 0.95
    assert asked_in_all / full <= 0.2


def test_a_task_in_between_is_no_time() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    for number in range(9):
        learn(store, add(store, f"{number}.jsonl"))
    learn(store, add(store, "b.md"))
    assert due(store, 10) == []
    store.activate(11, "one more generation")
    assert {probe.question.split()[1] for probe in due(store, 10)} == {"a.md"}
