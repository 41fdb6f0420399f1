"""Which old statements a new one is compared with; the comparison is tested in policies."""

from pathlib import Path

import pytest

from agent.contradictions import find
from agent.review import Review
from agent.settings import GateSettings
from memory.index import TextIndex
from memory.records import Batch, Contradiction, Probe, StudyItem
from memory.store import Store
from memory.testing import memory_store
from tests.helpers.embedding import DIMENSION, embed
from tests.helpers.stores import YES, adapter_for, add, digest_of, learn, start

OLD, NEW = "The port of Tarrick is 8765.", "The port of Tarrick is 9362."


@pytest.fixture
def store() -> Store:
    store = memory_store()
    learn(store, add(store, "a.md", OLD), add(store, "z.md", "The kettle holds 3 cups."))
    return store


def found(store: Store, state: Path, batch: Batch, *said: str) -> list[Contradiction]:
    index = TextIndex(state, "probes", embed, DIMENSION)
    Review(store, index, GateSettings()).refresh()
    [chunk] = store.save_chunks(batch.document_ids[0], [("New", " ".join(said))])
    kinds = ("qa", "keywords", "text")
    items = [StudyItem(chunk.id, kind, "?", one, "al") for one in said for kind in kinds]
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


def test_one_document_against_twenty(state: Path) -> None:
    store = memory_store()
    towns = [f"The gate of {name}wick opens at 7:15." for name in "abcdefghijklmnopqrst"]
    batch = start(store, *(add(store, f"{n}.md", text) for n, text in enumerate(towns)))
    chunks = [store.save_chunks(n, [("Town", text)])[0].id for n, text in enumerate(towns, 1)]
    items = [StudyItem(one, "qa", "?", text, "al") for one, text in zip(chunks, towns, strict=True)]
    probes = [Probe(one.chunk_id, "qa", one.answer[:-4], "7:15", one.answer) for one in items]
    batch = store.save_training(store.save_study(batch, items, probes), adapter_for(store, batch))
    batch = store.save_verdict(store.save_examination(batch, (), ()), YES)
    store.promote(store.save_merge(batch, digest_of("model")), "learned")
    lies = [one.replace("7:15", "9:15") for one in towns]
    batch = start(store, add(store, "lies.md", " ".join(lies)))
    assert [(one.statement, one.earlier) for one in found(store, state, batch, *lies)] == list(
        zip(lies, towns, strict=True)
    )
