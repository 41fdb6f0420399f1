"""Short ways to a store with something in it."""

from collections.abc import Sequence
from hashlib import sha256

from memory.records import (
    Adapter,
    Batch,
    Document,
    FileStamp,
    Generation,
    Probe,
    ProbeResult,
    StudyItem,
    Verdict,
)
from memory.store import Store

YES = Verdict(True, ("learned 2 of 2",), {"learned": 1.0})
NO = Verdict(False, ("lost 3 old probes", "learned nothing"), {"learned": 0.0})


def digest_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def stamp_of(text: str) -> FileStamp:
    return FileStamp(size=len(text), mtime_ns=int(digest_of(text)[:12], 16), inode=1)


def add(store: Store, path: str, text: str = "The port is 8765.") -> Document:
    """A new pending version of a file."""
    document = store.add_document(path, stamp_of(text), digest_of(text), path.title(), text)
    assert document is not None
    return document


def start(store: Store, *documents: Document) -> Batch:
    """Of documents, or of one task."""
    task = documents[0].task if documents else ""
    parent = None if task else store.head().adapter
    return store.create_batch([one.id for one in documents], parent, seed=1, task=task)


def study(store: Store, batch: Batch, per_chunk: int = 2) -> Batch:
    """One chunk a document, and for each some study items and probes."""
    items, probes = [], []
    for document_id in batch.document_ids:
        document = store.document(document_id)
        for chunk in store.save_chunks(document_id, [(document.title, document.text)]):
            for number in range(per_chunk):
                question = f"{document.path} v{document.version} question {number}"
                items.append(StudyItem(chunk.id, "qa", question, document.text, "al"))
                text = document.text
                probes.append(Probe(chunk.id, "direct", f"probe: {question}", text, text))
    return store.save_study(batch, items, probes)


def adapter_for(store: Store, batch: Batch, name: str = "") -> Adapter:
    parent = batch.parent if batch.task else store.head().adapter
    digest = digest_of(f"adapter {batch.id} {parent} {name}")
    return Adapter(digest, parent, batch.id, {"loss": 0.25}, "2026-01-01T00:00:00+00:00")


def answers(probes: Sequence[Probe], correct: bool) -> list[ProbeResult]:
    return [ProbeResult(one.id, correct, "an answer", -0.1 if correct else -3.0) for one in probes]


def to_examined(store: Store, batch: Batch, correct: bool = True) -> Batch:
    batch = store.save_training(study(store, batch), adapter_for(store, batch))
    probes = store.probes(batch.id)
    return store.save_examination(batch, answers(probes, False), answers(probes, correct))


def to_merged(store: Store, batch: Batch, correct: bool = True) -> Batch:
    batch = store.save_verdict(to_examined(store, batch, correct), YES)
    return store.save_merge(batch, digest_of(f"model {batch.id}"))


def learn(store: Store, *documents: Document, correct: bool = True) -> Generation:
    """Take documents through a whole batch; `correct` is how the candidate answers."""
    return store.promote(to_merged(store, start(store, *documents), correct), "learned")
