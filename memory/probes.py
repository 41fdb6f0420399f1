"""Which probes to ask: those near a text, and those whose review is due.

The FAISS index is a cache in two files, probes.faiss and its manifest probes.json. It is used only
if it is exactly in step with the store; else it is built anew, so losing it costs time, not truth.
"""

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from memory.durable import disk_full_named, failpoint, publish_bytes
from memory.records import Probe
from memory.store import Store

if TYPE_CHECKING:
    import faiss

Vectors: TypeAlias = npt.NDArray[np.float32]
Embed: TypeAlias = Callable[[Sequence[str]], Vectors]


class ProbeIndex:
    """Nearest probe questions by cosine similarity. Threads may share it.

    `embed` maps n texts to an (n, dimension) float32 array of unit vectors.
    """

    def __init__(self, state_dir: Path, embed: Embed, dimension: int) -> None:
        self._index_path = state_dir / "probes.faiss"
        self._manifest_path = state_dir / "probes.json"
        self._embed = embed
        self._dimension = dimension
        self._lock = Lock()
        self._questions: dict[int, str] = {}  # what the index holds, by probe id
        self._index: faiss.Index = self._empty()

    def refresh(self, probes: Iterable[Probe]) -> None:
        """Bring the index in step with these probes, in memory and on disk. Raises DiskFull.

        Only new probes are embedded, unless the files had to be discarded.
        """
        wanted = {probe.id: probe.question for probe in probes}
        with self._lock:
            if not self._questions and self._load(wanted):
                return
            kept = dict(self._questions.items() & wanted.items())
            if kept == wanted == self._questions and self._manifest_path.exists():
                return
            self._remove(sorted(self._questions.keys() - kept.keys()))
            self._add({one: wanted[one] for one in sorted(wanted.keys() - kept.keys())})
            self._questions = wanted
            self._save()

    def nearest(self, texts: Sequence[str], k: int) -> list[list[tuple[int, float]]]:
        """For each text up to k (probe id, cosine similarity), nearest first."""
        if not texts:
            return []
        vectors = self._embed(texts)
        with self._lock:
            similarities, ids = self._index.search(vectors, k)
        return [
            [
                (int(one), float(similarity))
                for one, similarity in zip(*row, strict=True)
                if one >= 0
            ]
            for row in zip(ids, similarities, strict=True)
        ]

    def closest(self, texts: Sequence[str], others: Sequence[str]) -> list[float]:
        """For each text its highest cosine similarity to any of the others; -1 without others."""
        if not texts or not others:
            return [-1.0] * len(texts)
        return [float(row.max()) for row in self._embed(texts) @ self._embed(others).T]

    def _empty(self) -> "faiss.Index":
        import faiss

        return faiss.IndexIDMap2(faiss.IndexFlatIP(self._dimension))

    def _add(self, questions: dict[int, str]) -> None:
        if questions:
            vectors = self._embed(list(questions.values()))
            self._index.add_with_ids(vectors, np.fromiter(questions, np.int64))

    def _remove(self, ids: Sequence[int]) -> None:
        if ids:
            import faiss

            self._index.remove_ids(faiss.IDSelectorBatch(np.array(ids, np.int64)))

    def _load(self, wanted: dict[int, str]) -> bool:
        """Read the index if its files are whole and hold exactly the wanted probes."""
        import faiss

        if not (self._index_path.is_file() and self._manifest_path.is_file()):
            return False
        data = self._index_path.read_bytes()
        if self._manifest_path.read_bytes() != self._manifest(wanted, data):
            return False
        self._index = faiss.deserialize_index(np.frombuffer(data, np.uint8))
        self._questions = wanted
        return True

    def _save(self) -> None:
        """Index first, manifest last: between the two they do not match, and nothing is loaded."""
        import faiss

        data = faiss.serialize_index(self._index).tobytes()
        with disk_full_named():
            failpoint("index.write")
            publish_bytes(data, self._index_path)
            failpoint("index.manifest")
            publish_bytes(self._manifest(self._questions, data), self._manifest_path)

    def _manifest(self, questions: dict[int, str], index: bytes) -> bytes:
        """All that must agree, as JSON bytes. ids_sha256 covers each id with its question."""
        held = json.dumps(sorted(questions.items())).encode()
        fields: dict[str, Any] = {
            "ids_sha256": hashlib.sha256(held).hexdigest(),
            "index_sha256": hashlib.sha256(index).hexdigest(),
            "count": len(questions),
            "dimension": self._dimension,
        }
        return json.dumps(fields, indent=1).encode()


def due(store: Store, k: int, exclude: Collection[int] = ()) -> list[Probe]:
    """Up to k probes about documents whose review is due, most urgent first.

    A probe that was right n times in a row rests for 2**n generations, a wrong one for 1, so that
    watching many facts costs little. Urgency is the time since it was asked as a multiple of that:
    never asked comes first, then the longest overdue, of equals the wrong ones. Were wrong ones
    always first, facts that a small model never learns would fill every review.
    """
    head, streaks = store.head().number, store.streaks()

    def urgency(probe: Probe) -> tuple[float, int]:
        streak = streaks.get(probe.id)
        if streak is None:
            return math.inf, 0
        return (head - streak.generation) / 2**streak.right, -streak.right

    candidates = {
        probe: urgency(probe)
        for probe in store.probes()
        if probe.chunk_id is not None and probe.id not in exclude
    }
    waiting = [probe for probe, (overdue, _) in candidates.items() if overdue >= 1]
    return sorted(waiting, key=lambda probe: (candidates[probe], -probe.id), reverse=True)[:k]
