"""What a document's earlier version taught and its new one repeats.

A chunk that is the same in both keeps its study items, its probes and their history: they pass to
the new version when that is learned. Only the other chunks are studied; what no chunk repeats is
retired. A file that was moved is a new version of the one that is missing.
"""

from typing import Final

from memory.generations import Generations
from memory.records import Batch, Chunk

OF_BATCH: Final = "SELECT document_id FROM batch_documents WHERE batch_id = ?"
_TAUGHT = """(
    SELECT chunk_id FROM live_items WHERE chunk_id IS NOT NULL
    UNION SELECT chunks.id FROM chunks JOIN batch_documents USING (document_id)
        JOIN documents ON documents.id = document_id
        WHERE state = 'learned' AND batch_id IN held_batches
)"""
_VERSIONS = f"""
documents AS new JOIN documents AS old ON new.id IN ({OF_BATCH}) AND old.id < new.id
    AND (old.path = new.path OR old.digest = new.digest
        AND old.path IN (SELECT path FROM files WHERE missing))
"""
_SUPERSEDED = f"SELECT old.id AS old, new.id AS new FROM {_VERSIONS} WHERE old.state = 'learned'"
_EARLIER = f"SELECT chunks.id FROM {_VERSIONS} JOIN chunks ON document_id = old.id"
_REPEATED = f"""
SELECT before.id AS old, after.id AS new FROM {_VERSIONS}
JOIN chunks AS before ON before.document_id = old.id
JOIN chunks AS after ON after.document_id = new.id AND NOT after.retired
    AND (after.title, after.text) = (before.title, before.text)
WHERE before.id IN {_TAUGHT} ORDER BY after.id DESC
"""
_LOOK_AGAIN = """
UPDATE files SET inode = -1 WHERE missing AND path = (SELECT path FROM documents WHERE id = ?)
"""
_UNTAUGHT = f"""
WHERE document_id IN ({OF_BATCH}) AND NOT retired AND id NOT IN {_TAUGHT}
ORDER BY document_id, position
"""


class Versions(Generations):
    """Asked about a batch; its documents must have their chunks."""

    def superseded(self, batch: Batch) -> set[int]:
        """Learned document versions that this batch's documents replace, or will replace."""
        return {row["old"] for row in self._rows(_SUPERSEDED, batch.id)}

    def fresh(self, batch: Batch) -> list[Chunk]:
        """The chunks that say what was not taught yet, in reading order."""
        repeated = {row["new"] for row in self._rows(_REPEATED, batch.id)}
        return [one for one in self._select(Chunk, _UNTAUGHT, batch.id) if one.id not in repeated]

    def replaced(self, batch: Batch) -> set[int]:
        """Ids of earlier versions' chunks that no chunk repeats: what is to be unlearned."""
        return set(self._column(_EARLIER, batch.id)) - self._repeated(batch).keys()

    def _repeated(self, batch: Batch) -> dict[int, int]:
        """Chunk of an earlier version -> the first one that repeats it."""
        return {row["old"]: row["new"] for row in self._rows(_REPEATED, batch.id)}

    def _supersede(self, batch: Batch) -> None:
        """The batch's documents take the place of their earlier versions."""
        for old, new in self._repeated(batch).items():
            for table in ("study_items", "probes"):
                self._execute(f"UPDATE {table} SET chunk_id = ? WHERE chunk_id = ?", new, old)
        for table in ("study_items", "probes"):
            sql = f"UPDATE {table} SET retired = 1 WHERE chunk_id IN ({_EARLIER})"
            self._execute(sql, batch.id)
        for pair in self._rows(_SUPERSEDED, batch.id):
            self._warn_still(**pair)
            self._execute("UPDATE documents SET state = 'retired' WHERE id = ?", pair["old"])
            self._execute(_LOOK_AGAIN, pair["old"])  # a file that comes back is a new version

    def _warn_still(self, old: int, new: int) -> None:
        """Contradictions of what the new version repeats are its own."""
        said = "SELECT answer FROM live_items JOIN chunks ON chunks.id = chunk_id"
        for document, statement in (("document_id", "statement"), ("earlier_id", "earlier")):
            self._execute(
                f"UPDATE contradictions SET {document} = ? WHERE {document} = ?"
                f" AND {statement} IN ({said} WHERE document_id = ?)",
                new, old, new,
            )  # fmt: skip
