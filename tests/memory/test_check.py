"""Every rule of the check finds what it was written for: a rule that cannot fail proves nothing."""

from pathlib import Path

import pytest

from memory.artifacts import Artifacts
from memory.check import _RULES
from memory.store import Store
from memory.testing import memory_store
from tests.helpers.stores import add, learn, stamp_of, start, to_examined

# what a bug or a stray hand could do to a healthy store, and a piece of the sentence that names it
DAMAGES = [
    ("UPDATE chunks SET document_id = 99 WHERE id = 1", "table chunks row 1 points to a row of"),
    ("UPDATE documents SET state = 'pending' WHERE path = 'live.md'", "live batch but pending"),
    ("DELETE FROM batch_documents WHERE batch_id = 3", "is batched but in no live batch"),
    ("UPDATE documents SET state = 'learned' WHERE path = 'new.md'", "in no batch that served"),
    ("UPDATE documents SET state = 'pending' WHERE id = 1", "is pending although a newer version"),
    ("UPDATE documents SET state = 'retired' WHERE path = 'b.md'", "retired although no newer"),
    ("UPDATE documents SET state = 'learned' WHERE id = 1", "a.md has 2 learned versions"),
    ("UPDATE probes SET retired = 0", "is asked although document 1 was replaced"),
    ("UPDATE study_items SET retired = 0", "is rehearsed although document 1 was replaced"),
    ("UPDATE batches SET adapter = NULL WHERE id = 1", "batch 1 is serving but has no adapter"),
    ("UPDATE batches SET model = NULL WHERE id = 1", "batch 1 is serving but has no merged model"),
    ("UPDATE batches SET verdict = NULL WHERE id = 1", "batch 1 is serving but has no verdict"),
    ("DELETE FROM generations WHERE number = 2", "batch 2 is serving, which does not fit"),
    ("UPDATE generations SET model = 'x' WHERE number = 1", "g1 serves something else than its"),
    ("UPDATE generations SET number = 7 WHERE number = 2", "g7 follows no generation"),
    ("UPDATE generations SET model = 'x' WHERE number = 0", "g0 is not the base"),
    ("UPDATE adapters SET parent = digest", "the chain of adapters of g1 does not end at the base"),
]  # fmt: skip


def healthy() -> Store:
    """Every kind of state at once: learned, retired, batched, pending, quarantined."""
    store = memory_store()
    learn(store, add(store, "a.md", "one"), add(store, "b.md"))
    learn(store, add(store, "a.md", "two"))
    to_examined(store, start(store, add(store, "live.md")))
    add(store, "new.md")
    store.quarantine_file("junk.md", stamp_of("x"), "", "not text")
    return store


def test_a_healthy_store_passes() -> None:
    assert healthy().check() == []


def test_an_empty_store_passes() -> None:
    assert memory_store().check() == []


@pytest.mark.parametrize(("sql", "sentence"), DAMAGES)
def test_damage_is_found(sql: str, sentence: str) -> None:
    store = healthy()
    store.db.conn.execute("PRAGMA foreign_keys = OFF")
    store.db.execute(sql)
    assert any(sentence in fault for fault in store.check()), store.check()


def test_every_rule_has_its_damage() -> None:
    assert len(DAMAGES) == len(_RULES)


def test_artifacts_are_checked_too(state: Path) -> None:
    store, artifacts = healthy(), Artifacts(state)
    adapters, models = store.needed().values()
    assert (len(adapters), len(models)) == (3, 1)  # g1, g2, the live batch; the head
    faults = store.check(artifacts)
    assert faults == sorted(faults)
    assert len(faults) == 4
    assert all(fault.endswith("is missing") for fault in faults)
