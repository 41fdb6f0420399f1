"""What a document's earlier version taught and its new one repeats.

A chunk that is the same in both keeps its study items, its probes and their history, and so does a
statement of a chunk that changed otherwise: they pass to the new version when that is learned. Only
the rest is studied; what is said no more is retired. A file that was moved is a new version of the
one that is missing.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
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
_STATED = f"""
SELECT DISTINCT new.id AS document, live_items.answer AS statement, chunk_id FROM {_VERSIONS}
JOIN chunks ON chunks.document_id = old.id JOIN live_items ON chunk_id = chunks.id
WHERE kind != 'text'
"""
_OUTDATED = f"""
SELECT id FROM {{table}} AS one WHERE NOT retired AND chunk_id IN ({_EARLIER})
    AND chunk_id NOT IN (SELECT old FROM ({_REPEATED}))
    AND NOT EXISTS (SELECT 1 FROM repeated WHERE batch_id = ?
        AND earlier_id = one.chunk_id AND statement = one.{{statement}})
"""
_STATEMENT: Final = {"study_items": "answer", "probes": "statement"}  # where it stands
_LOOK_AGAIN = """
UPDATE files SET inode = -1 WHERE missing AND path = (SELECT path FROM documents WHERE id = ?)
"""
_UNTAUGHT = f"""
WHERE document_id IN ({OF_BATCH}) AND NOT retired AND id NOT IN {_TAUGHT}
ORDER BY document_id, position
"""


@dataclass(frozen=True, slots=True)
class Repeated:
    """A statement of a new version that an earlier one taught."""

    earlier_id: int  # the chunk that it stood in
    chunk_id: int  # the chunk that it stands in
    statement: str


class Versions(Generations):
    """Asked about a batch; its documents must have their chunks."""

    def superseded(self, batch: Batch) -> set[int]:
        """Learned document versions that this batch's documents replace, or will replace."""
        return {row["old"] for row in self._rows(_SUPERSEDED, batch.id)}

    def fresh(self, batch: Batch) -> list[Chunk]:
        """The chunks that say what was not taught yet, in reading order."""
        repeated = {row["new"] for row in self._rows(_REPEATED, batch.id)}
        return [one for one in self._select(Chunk, _UNTAUGHT, batch.id) if one.id not in repeated]

    def stated(self, batch: Batch) -> dict[tuple[int, str], list[int]]:
        """(document of the batch, statement) -> the chunks of earlier versions that taught it."""
        found: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
        for row in self._rows(_STATED, batch.id):
            found[row["document"], row["statement"]].append(row["chunk_id"])
        return found

    def save_repeated(self, batch: Batch, repeated: Iterable[Repeated]) -> None:
        """What will pass on when the batch is learned, beside whole chunks: this, and no more."""
        with self._transaction("save_repeated"):
            self._execute("DELETE FROM repeated WHERE batch_id = ?", batch.id)
            self._insert_all("repeated", repeated, batch_id=batch.id)

    def outdated_items(self, batch: Batch) -> set[int]:
        """Ids of study items about what the batch's documents say no more: to be unlearned."""
        return self._outdated("study_items", batch)

    def outdated_probes(self, batch: Batch) -> set[int]:
        """Likewise of probes."""
        return self._outdated("probes", batch)

    def _outdated(self, table: str, batch: Batch) -> set[int]:
        sql = _OUTDATED.format(table=table, statement=_STATEMENT[table])
        return set(self._column(sql, batch.id, batch.id, batch.id))

    def _supersede(self, batch: Batch) -> None:
        """The batch's documents take the place of their earlier versions."""
        chunks = {row["old"]: row["new"] for row in self._rows(_REPEATED, batch.id)}  # the first
        statements = self._rows("SELECT * FROM repeated WHERE batch_id = ?", batch.id)
        for table, statement in _STATEMENT.items():
            move = f"UPDATE {table} SET chunk_id = ? WHERE chunk_id = ?"
            for old, new in chunks.items():
                self._execute(move, new, old)
            for row in statements:
                place = (row["chunk_id"], row["earlier_id"], row["statement"])
                self._execute(f"{move} AND {statement} = ?", *place)
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
