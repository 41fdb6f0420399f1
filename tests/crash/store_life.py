"""A small life of a state directory, in which every failpoint of memory/ is passed.

It looks at the store for what is still to do, as the daemon does, so that it can be killed anywhere
and simply run again. `remains()` is what must be equal however often that happened.
"""

import json
import os
from pathlib import Path
from typing import Any

from agent import novelty
from memory.artifacts import Artifacts, Kind
from memory.durable import StateLock
from memory.errors import StaleParent
from memory.generations import before_head
from memory.index import TextIndex
from memory.records import Adapter, Batch, DocumentState, Phase, Probe, Stage, StudyItem
from memory.store import Store
from tests.helpers.embedding import DIMENSION, embed
from tests.helpers.stores import NO, YES, answers, digest_of, stamp_of

EDITS = (  # the folder's history; text None: a file that cannot be read
    {"a.md": "the port is 1", "b.md": "the boss is Ada", "junk.md": None},
    {"a.md": "the port is 2", "c.md": "a lie"},
    {"a.md": "the port is 3"},
    {"a.md": "the port is 3\n"},
)
ROLLBACK = "rollback to g0"
GAVE_UP = "it did harm"
_THEN = "2026-01-01T00:00:00+00:00"


def live(state: Path, failpoint: str = "") -> None:
    """Do all that is left to do, from taking the lock to collecting garbage."""
    if failpoint:
        os.environ["LEARND_FAILPOINT"] = failpoint
    with StateLock(state), Store.open(state / "learnd.db") as store:
        artifacts = Artifacts(state)
        artifacts.empty_staging()
        store.add_general([Probe(None, "general", "2 + 2?", "4", "4")])
        for edit in EDITS:
            for path, text in edit.items():
                _take_in(store, path, text)
            _drain(store, artifacts)
        store.mark_missing(["b.md"])
        if not store.results(3, Phase.REVIEW):
            general = [probe for probe in store.probes() if probe.chunk_id is None]
            store.save_review(answers(general, True))
        if not any(GAVE_UP in one.note for one in store.generations()):
            earlier = before_head(store.generations())
            assert earlier is not None
            store.give_up(earlier.number, GAVE_UP, 1)
        index = TextIndex(state, "probes", embed, DIMENSION)
        index.refresh({probe.id: probe.question for probe in store.probes()})
        artifacts.collect(store.needed())


def remains(state: Path) -> dict[str, Any]:
    """All that was learned, without the times."""
    with Store.open(state / "learnd.db") as store:
        artifacts = Artifacts(state)
        assert store.check(artifacts) == []
        return {
            "documents": [(one.path, one.version, one.state) for one in store.documents()],
            "missing": store.missing(),
            "generations": [
                (one.number, one.adapter, one.model, one.batch_id, one.note)
                for one in store.generations()
            ],
            "batches": [(one.id, one.stage, one.adapter) for one in store.batches()],
            "items": store.items(live_only=False),
            "probes": store.probes(live_only=False),
            "results": store.latest_results(),
            "index": json.loads((state / "probes.json").read_text()),
            "files": sorted(
                path.relative_to(state).as_posix()
                for path in state.rglob("*")
                if path.is_file() and "learnd.db" not in path.name
            ),
        }


def _take_in(store: Store, path: str, text: str | None) -> None:
    """As intake would, but an edit that was ever seen is in the past and not made again."""
    digest = digest_of(str(text))
    if any((one.path, one.digest) == (path, digest) for one in store.documents()):
        return
    if text is None:
        store.quarantine_file(path, stamp_of(path), digest, "not text")
    else:
        store.add_document(path, stamp_of(text), digest, path, text)


def _drain(store: Store, artifacts: Artifacts) -> None:
    while True:
        batch = store.live_batch()
        if batch is None:
            pending = [one.id for one in store.documents(DocumentState.PENDING)]
            if not pending:
                return
            batch = store.create_batch(pending, store.head().adapter, seed=1)
        _step(store, artifacts, batch)


def _step(store: Store, artifacts: Artifacts, batch: Batch) -> None:
    match batch.stage:
        case Stage.NEW:
            _study(store, batch)
        case Stage.STUDIED:
            parent = store.head().adapter
            digest = _publish(artifacts, "adapters", {"batch": batch.id, "parent": parent})
            store.save_training(batch, Adapter(digest, parent, batch.id, {"loss": 0.1}, _THEN))
        case Stage.TRAINED:
            probes = store.probes(batch.id)
            if not store.base_results():
                general = [one for one in store.probes() if one.chunk_id is None]
                store.save_base(batch.id, answers(general, True))
            store.save_examination(batch, answers(probes, False), answers(probes, True))
        case Stage.EXAMINED:
            lies = any("lie" in store.document(one).text for one in batch.document_ids)
            store.save_verdict(batch, NO if lies else YES, max_attempts=1)
        case Stage.ACCEPTED:
            store.save_merge(batch, _publish(artifacts, "models", {"batch": batch.id}))
        case Stage.MERGED:
            _promote(store, batch)


def _study(store: Store, batch: Batch) -> None:
    if batch.id == 1 and batch.attempts == 0:
        store.fail_stage(batch, "a bad day", 3)
        return
    chunks = novelty.find(store, batch, 120).chunks
    if not chunks:
        store.adopt(batch, "nothing is new")
        return
    items = [StudyItem(one.id, "text", "", one.text, "al") for one in chunks]
    probes = [
        Probe(one.id, "direct", f"what says {one.title}?", one.text, one.text) for one in chunks
    ]
    store.save_study(batch, items, probes)


def _promote(store: Store, batch: Batch) -> None:
    """Before the last promotion an operator rolls back, which makes the batch stale once."""
    if batch.id == 3 and store.head().note != ROLLBACK:
        store.activate(0, ROLLBACK)
    try:
        store.promote(batch, f"learned batch {batch.id}")
    except StaleParent:
        store.restart_batch(batch)


def _publish(artifacts: Artifacts, kind: Kind, about: dict[str, Any]) -> str:
    staged = artifacts.stage()
    (staged / "weights.safetensors").write_bytes(str(about).encode() * 100)
    return artifacts.publish(kind, staged, about)
