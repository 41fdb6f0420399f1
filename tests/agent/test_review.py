"""Which probes are asked; what is near and what was replaced is tested in test_cycle.py too."""

from pathlib import Path

import pytest

from agent.review import Review
from agent.settings import GateSettings
from memory.index import TextIndex
from memory.records import Probe, ProbeResult, StudyItem
from memory.store import Store
from memory.testing import memory_store
from tests.helpers.embedding import DIMENSION, embed
from tests.helpers.stores import add, learn, start, study

GENERAL = Probe(None, "general", "2 + 2?", "4", "4")


@pytest.fixture
def store() -> Store:
    store = memory_store()
    store.add_general([GENERAL])
    learn(store, add(store, "a.md"), add(store, "b.md"))
    return store


@pytest.fixture
def review(store: Store, state: Path) -> Review:
    index = TextIndex(state, "probes", embed, DIMENSION)
    return Review(store, index, GateSettings(neighbours=1, due=2))


def test_its_own_some_of_the_old_and_the_general(store: Store, review: Review) -> None:
    for name in ("x.md", "y.md"):  # right once, a probe rests for two generations
        learn(store, add(store, name, f"The text of {name}."))
    batch = study(store, start(store, add(store, "c.md", "The port is 9.")))
    paper = review.paper(batch)
    assert [one.question for one in paper.new] == [f"probe: c.md v1 question {n}" for n in (0, 1)]
    assert len(paper.old) == len(set(paper.old)) == 3  # the nearest, and two that are due
    assert [one.question for one in paper.general] == ["2 + 2?"]
    assert paper.probes == (*paper.new, *paper.old, *paper.general)


def test_what_a_batch_replaces_is_not_asked(store: Store, review: Review) -> None:
    batch = study(store, start(store, add(store, "a.md", "The port is 9.")))
    assert all("b.md" in probe.question for probe in review.paper(batch).old)


def test_a_consolidation_is_asked_everything(store: Store, review: Review) -> None:
    paper = review.paper(store.create_consolidation(store.head().adapter, seed=1))
    assert (paper.new, len(paper.old), len(paper.general)) == ((), 4, 1)


def test_what_waits_is_due_and_was_not_asked_of_these_weights(store: Store, review: Review) -> None:
    assert review.waiting() == []
    for name in ("x.md", "y.md"):
        learn(store, add(store, name, f"The text of {name}."))
    waiting = review.waiting()
    assert {probe.question[:11] for probe in waiting} == {"probe: a.md", "probe: b.md"}
    store.save_review([ProbeResult(one.id, True, "", -1.0) for one in waiting[:3]])
    assert review.waiting() == waiting[3:]
    store.activate(3, "the same weights again")
    store.activate(3, "and again")
    assert not set(waiting[:3]) & set(review.waiting())
    store.activate(0, "the base")
    assert review.waiting() == []


def item(question: str) -> StudyItem:
    return StudyItem(1, "qa", question, "8765", "al")


def probe(question: str, fault: str = "") -> Probe:
    return Probe(1, "direct", question, "8765", "8765", fault=fault)


def test_a_probe_that_a_study_item_gives_away_is_not_asked(review: Review) -> None:
    items = [item("Which port is it?"), StudyItem(1, "text", "", "The port is 8765.", "al")]
    probes = [probe("which port, is it"), probe("Ferry?")]
    assert review.apart(probes, items) == (probes[1:], items)
    assert review.apart([], items) == ([], items)


def test_the_only_probes_stay_and_the_items_go_that_give_them_away(review: Review) -> None:
    items = [item("Which port is it?"), item("Where does it listen?")]
    leaked, faulty = probe("which port, is it"), probe("Ferry?", "wrong itself")
    assert review.apart([leaked, faulty], items) == ([faulty, leaked], items[1:])
    assert review.apart([faulty], items) == ([faulty], items)  # nothing would be gained


def test_what_would_not_be_taught_any_more_is_not_asked(review: Review) -> None:
    items = [item("Which port is it?"), StudyItem(1, "qa", "Who sings?", "Ann sings.", "al")]
    probes = [probe("which port, is it")]
    assert review.apart(probes, items) == ([], items)


def test_a_repair_is_asked_what_slipped_and_what_is_due(store: Store, review: Review) -> None:
    slipped, *others = (one for one in store.probes() if one.chunk_id is not None)
    store.save_review([ProbeResult(slipped.id, False, "", -3.0)])
    paper = review.paper(store.create_repair(store.head().adapter, seed=1))
    same = [one for one in others if one.chunk_id == slipped.chunk_id]
    assert (paper.new, paper.old[: 1 + len(same)]) == ((), (slipped, *same))
    assert len(same) == 1 and len(paper.general) == 1
