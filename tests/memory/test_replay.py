"""What is rehearsed: the forgotten, the near, and a fair share of the rest; never the replaced."""

from collections import Counter

import pytest

from memory.records import Batch, Probe, StudyItem
from memory.replay import draw
from memory.store import Repeated, Store
from memory.testing import memory_store
from tests.helpers.stores import YES, adapter_for, add, answers, start, study


@pytest.fixture
def store() -> Store:
    """Ten learned documents of four items each, one of which was not really learned."""
    store = memory_store()
    for number in range(10):
        batch = study(store, start(store, add(store, f"d{number}.md", f"text {number}")), 4)
        _finish(store, batch, correct=number != 3)
    return store


def _finish(store: Store, batch: Batch, correct: bool) -> None:
    batch = store.save_training(batch, adapter_for(store, batch))
    probes = store.probes(batch.id)
    batch = store.save_examination(batch, answers(probes, False), answers(probes, correct))
    store.promote(store.save_merge(store.save_verdict(batch, YES), f"m{batch.id}"), "learned")


def paths(items: list[StudyItem]) -> Counter[str]:
    return Counter(item.prompt.split()[0] for item in items)


def new_batch(store: Store, path: str = "new.md", items: int = 20) -> Batch:
    return study(store, start(store, add(store, path, "a new text")), items)


def test_no_more_than_asked_for_and_than_there_is(store: Store) -> None:
    batch = new_batch(store)
    assert len(draw(store, batch, 10, seed=1)) == 10
    assert draw(store, batch, 0, seed=1) == []
    assert len(draw(store, batch, 2000, seed=1)) == 40  # all there is


def test_failed_and_near_come_first_but_leave_room(store: Store) -> None:
    near = [probe.id for probe in store.probes() if "d7.md" in probe.question]
    drawn = paths(draw(store, new_batch(store), 12, seed=1, neighbours=near))
    assert sum(drawn.values()) == 12
    assert drawn["d3.md"] == 4  # all of it: its probes fail
    assert drawn["d7.md"] == 4  # half of the rest
    assert len(drawn) == 6  # the others one each


def test_what_stands_beside_a_change_comes_before_all_else(store: Store) -> None:
    batch = start(store, add(store, "d5.md", "text 5, changed"))
    [chunk] = store.save_chunks(batch.document_ids[0], [("d5", "text 5, changed")])
    kept = next(item for item in store.items() if item.prompt.startswith("d5.md"))
    store.save_repeated(batch, [Repeated(kept.chunk_id or 0, chunk.id, kept.answer)])
    drawn = paths(draw(store, batch, 6, seed=1))
    assert drawn["d5.md"] == 3  # half
    assert drawn["d3.md"] == 2  # of the rest
    both = [Repeated(kept.chunk_id or 0, chunk.id, said) for said in (None, kept.answer)]
    store.save_repeated(batch, both)
    assert paths(draw(store, batch, 6, seed=1))["d5.md"] < 3  # nothing beside it changed


def test_nothing_is_drawn_twice_and_seeds_decide(store: Store) -> None:
    batch, near = new_batch(store), [probe.id for probe in store.probes()]
    drawn = draw(store, batch, 20, seed=7, neighbours=near)
    assert len({item.id for item in drawn}) == len(drawn) == 20
    assert draw(store, batch, 20, seed=7, neighbours=near) == drawn
    assert draw(store, batch, 20, seed=8, neighbours=near) != drawn


def test_documents_share_evenly(store: Store) -> None:
    drawn = paths(draw(store, new_batch(store), 20, seed=1))
    drawn.pop("d3.md")
    assert set(drawn.values()) <= {1, 2}


@pytest.mark.parametrize("seed", range(5))
def test_every_fact_comes_once_before_any_comes_twice(seed: int) -> None:
    store = memory_store()
    batch = start(store, add(store, "facts.md", "a text"))
    [chunk] = store.save_chunks(batch.document_ids[0], [("facts", "a text")])
    asked = [("A", 9), ("B", 1), ("C", 2)]
    items = [
        StudyItem(chunk.id, "qa", f"{answer}{number}", answer, "al")
        for answer, times in asked
        for number in range(times)
    ]
    _finish(store, store.save_study(batch, items, [Probe(chunk.id, "direct", "?", "A", "A")]), True)
    drawn = [item.answer for item in draw(store, new_batch(store), 5, seed)]
    assert sorted(drawn[:3]) == ["A", "B", "C"] and sorted(drawn[3:]) == ["A", "C"]


def test_what_the_batch_replaces_is_not_rehearsed(store: Store) -> None:
    drawn = paths(draw(store, new_batch(store, "d5.md"), 2000, seed=1))
    assert "d5.md" not in drawn
    assert sum(drawn.values()) == 36


def test_what_was_rolled_back_is_not_rehearsed(store: Store) -> None:
    store.activate(4, "rollback to g4")
    drawn = paths(draw(store, new_batch(store), 2000, seed=1))
    assert set(drawn) == {"d0.md", "d1.md", "d2.md", "d3.md"}


def test_an_empty_buffer(store: Store) -> None:
    fresh = memory_store()
    assert draw(fresh, new_batch(fresh), 10, seed=1, neighbours=[99]) == []
