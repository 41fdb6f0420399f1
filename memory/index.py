"""Texts that lie near a text: probe questions near a document, what was studied near a question.

A FAISS index is a cache in two files, NAME.faiss and its manifest NAME.json. It is used only if it
is exactly in step with the store; else it is built anew, so losing it costs time, not truth.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from memory.durable import disk_full_named, failpoint, publish_bytes

if TYPE_CHECKING:
    import faiss

Vectors: TypeAlias = npt.NDArray[np.float32]
Embed: TypeAlias = Callable[[Sequence[str]], Vectors]


class TextIndex:
    """Nearest texts by cosine similarity. Threads may share it.

    `embed` maps n texts to an (n, dimension) float32 array of unit vectors.
    """

    def __init__(self, state_dir: Path, name: str, embed: Embed, dimension: int) -> None:
        self._index_path = state_dir / f"{name}.faiss"
        self._manifest_path = state_dir / f"{name}.json"
        self._embed = embed
        self._dimension = dimension
        self._lock = Lock()  # of what is searched
        self._refreshing = Lock()  # of refresh(): embedding takes seconds, nobody else waits for it
        self._texts: dict[int, str] = {}  # what the index holds, by id
        self._index: faiss.Index = self._empty()
        self._saved = False  # whether the files hold what is in memory

    def refresh(self, wanted: dict[int, str], save: bool = True) -> None:
        """Bring the index in step with these texts, by id, in memory and on disk. Raises DiskFull.

        Only new texts are embedded, unless the files had to be discarded. Who does not hold the
        state directory must not save.
        """
        with self._refreshing:
            if not self._texts and self._load(wanted):
                return
            kept = dict(self._texts.items() & wanted.items())
            if kept == wanted == self._texts and (self._is_saved() or not save):
                return
            added = {one: wanted[one] for one in sorted(wanted.keys() - kept.keys())}
            self._replace(sorted(self._texts.keys() - kept.keys()), added)
            self._texts = dict(wanted)
            self._saved = False
            if save:
                self._save()

    def nearest(self, texts: Sequence[str], k: int) -> list[list[tuple[int, float]]]:
        """For each text up to k (id, cosine similarity), nearest first."""
        return self.search(self._embed(texts), k) if texts and k else [[] for _ in texts]

    def search(self, vectors: Vectors, k: int) -> list[list[tuple[int, float]]]:
        """As nearest(), for texts that were embedded already."""
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

    def _replace(self, gone: Sequence[int], added: dict[int, str]) -> None:
        """Others search on while the new texts are embedded, and never find half of a change."""
        import faiss

        vectors = self._embed(list(added.values())) if added else None
        with self._lock:
            if gone:
                self._index.remove_ids(faiss.IDSelectorBatch(np.array(gone, np.int64)))
            if vectors is not None:
                self._index.add_with_ids(vectors, np.fromiter(added, np.int64))

    def _load(self, wanted: dict[int, str]) -> bool:
        """Read the index if its files are whole and hold exactly the wanted texts."""
        import faiss

        if not (self._index_path.is_file() and self._manifest_path.is_file()):
            return False
        data = self._index_path.read_bytes()
        if self._manifest_path.read_bytes() != self._manifest(wanted, data):
            return False
        loaded = faiss.deserialize_index(np.frombuffer(data, np.uint8))
        with self._lock:
            self._index = loaded
        self._texts = dict(wanted)
        self._saved = True
        return True

    def _is_saved(self) -> bool:
        return self._saved and self._manifest_path.exists()

    def _save(self) -> None:
        """Index first, manifest last: between the two they do not match, and nothing is loaded."""
        import faiss

        data = faiss.serialize_index(self._index).tobytes()
        with disk_full_named():
            failpoint("index.write")
            publish_bytes(data, self._index_path)
            failpoint("index.manifest")
            publish_bytes(self._manifest(self._texts, data), self._manifest_path)
        self._saved = True

    def _manifest(self, texts: dict[int, str], index: bytes) -> bytes:
        """All that must agree, as JSON bytes. ids_sha256 covers each id with its text."""
        held = json.dumps(sorted(texts.items())).encode()
        fields: dict[str, Any] = {
            "ids_sha256": hashlib.sha256(held).hexdigest(),
            "index_sha256": hashlib.sha256(index).hexdigest(),
            "count": len(texts),
            "dimension": self._dimension,
        }
        return json.dumps(fields, indent=1).encode()
