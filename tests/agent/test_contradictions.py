"""Which old statements a new one is compared with; the comparison is tested in policies."""

from pathlib import Path

import pytest

from agent.contradictions import find
from agent.review import Review
from agent.settings import GateSettings
from memory.index import TextIndex
from memory.records import Batch, Contradiction, StudyItem
from memory.store import Store
from memory.testing import memory_store
from tests.helpers.embedding import DIMENSION, embed
from tests.helpers.stores import add, learn, start

OLD, NEW = "The port of Tarrick is 8765.", "The port of Tarrick is 9362."


@pytest.fixture
def store() -> Store:
    store = memory_store()
    learn(store, add(store, "a.md", OLD), add(store, "z.md", "The kettle holds 3 cups."))
    return store


def found(store: Store, state: Path, batch: Batch, statement: str) -> list[Contradiction]:
    index = TextIndex(state, "probes", embed, DIMENSION)
    Review(store, index, GateSettings()).refresh()
    [chunk] = store.save_chunks(batch.document_ids[0], [("New", statement)])
    items = [StudyItem(chunk.id, kind, "?", statement, "al") for kind in ("qa", "keywords", "text")]
    return find(store, index, batch, items)


def test_a_statement_with_another_value_is_found_once(store: Store, state: Path) -> None:
    batch = start(store, add(store, "b.md", NEW))
    assert found(store, state, batch, NEW) == [Contradiction(3, NEW, 1, OLD)]
    store.save_study(batch, [], [], contradictions=[Contradiction(3, NEW, 1, OLD)])
    [conflict] = store.conflicts()
    assert (conflict.path, conflict.earlier_path, conflict.earlier) == ("b.md", "a.md", OLD)


def test_the_same_again_is_none(store: Store, state: Path) -> None:
    assert found(store, state, start(store, add(store, "b.md", OLD)), OLD) == []


def test_a_new_version_may_say_what_it_likes(store: Store, state: Path) -> None:
    assert found(store, state, start(store, add(store, "a.md", NEW)), NEW) == []


def test_before_anything_was_learned_there_is_nothing_to_contradict(state: Path) -> None:
    store = memory_store()
    assert found(store, state, start(store, add(store, "a.md", NEW)), NEW) == []
