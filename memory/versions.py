"""What a document's earlier version taught and its new one repeats.

A chunk that is the same in both keeps its study items, its probes and their history, and so does a
statement of a chunk that changed otherwise. Which these are is noted when the batch is studied
(agent/novelty.py); when it is learned they pass to the new version, and the rest is retired.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from memory.generations import Generations
from memory.records import Batch

OF_BATCH: Final = "SELECT document_id FROM batch_documents WHERE batch_id = ?"
_VERSIONS = f"""
documents AS new JOIN documents AS old ON old.path = new.path AND new.id IN ({OF_BATCH})
"""
_CHUNKS = f"{_VERSIONS} JOIN chunks ON chunks.document_id = old.id"
_SUPERSEDED = f"""
SELECT old.id AS old, new.id AS new FROM {_VERSIONS}
WHERE old.state = 'learned' AND old.version < new.version
"""
_EARLIER = f"""
SELECT chunks.id FROM {_CHUNKS}
WHERE old.version < new.version OR (old.id = new.id AND chunks.retired)
"""
_STATED = f"""
SELECT DISTINCT new.id AS document_id, chunks.id AS chunk_id, chunks.title, chunks.text,
    live_items.answer AS statement, old.id IN (
        SELECT document_id FROM batch_documents WHERE batch_id IN held_batches
    ) AS whole
FROM {_CHUNKS} JOIN live_items ON live_items.chunk_id = chunks.id
WHERE old.version <= new.version ORDER BY chunks.id
"""
_OUTDATED = f"""
SELECT id FROM {{table}} AS one WHERE NOT retired AND chunk_id IN ({_EARLIER})
    AND NOT EXISTS (SELECT 1 FROM repeated WHERE batch_id = ? AND earlier_id = one.chunk_id
        AND (statement IS NULL OR statement = one.{{column}}))
"""
_COLUMNS: Final = {"study_items": "answer", "probes": "statement"}  # where a statement stands


@dataclass(frozen=True, slots=True)
class Stated:
    """What the head's weights hold of a document, by this or an earlier version of it."""

    document_id: int  # of the batch
    chunk_id: int  # where it was taught
    title: str
    text: str
    statement: str
    whole: bool  # all of that chunk was taught; else what passed to a version that was given up


@dataclass(frozen=True, slots=True)
class Repeated:
    """What a new version repeats."""

    earlier_id: int  # the chunk where it was taught
    chunk_id: int  # the chunk where it stands now
    statement: str | None  # None: the whole chunk


class Versions(Generations):
    """Asked about a batch; its documents must have their chunks."""

    def superseded(self, batch: Batch) -> set[int]:
        """Learned document versions that this batch's documents replace, or will replace."""
        return {row["old"] for row in self._rows(_SUPERSEDED, batch.id)}

    def stated(self, batch: Batch) -> list[Stated]:
        """What need not be taught again, as long as the documents still say so."""
        return self._records(Stated, _STATED, batch.id)

    def save_repeated(self, batch: Batch, repeated: Iterable[Repeated]) -> None:
        """What will pass on when the batch is learned: this, and no more."""
        with self._transaction("save_repeated"):
            self._execute("DELETE FROM repeated WHERE batch_id = ?", batch.id)
            self._insert_all("repeated", repeated, batch_id=batch.id)

    def beside(self, batch: Batch) -> set[int]:
        """Ids of chunks of which statements pass on, but not all: something beside them is new."""
        sql = "SELECT earlier_id FROM repeated WHERE batch_id = ? AND statement IS NOT NULL"
        whole = "SELECT earlier_id FROM repeated WHERE batch_id = ? AND statement IS NULL"
        return set(self._column(f"{sql} EXCEPT {whole}", batch.id, batch.id))

    def outdated_items(self, batch: Batch) -> set[int]:
        """Ids of study items about what the batch's documents say no more: to be unlearned."""
        return self._outdated("study_items", batch)

    def outdated_probes(self, batch: Batch) -> set[int]:
        """Likewise of probes."""
        return self._outdated("probes", batch)

    def _outdated(self, table: str, batch: Batch) -> set[int]:
        sql = _OUTDATED.format(table=table, column=_COLUMNS[table])
        return set(self._column(sql, batch.id, batch.id))

    def _supersede(self, batch: Batch) -> None:
        """The batch's documents take the place of their earlier versions."""
        rows = self._rows("SELECT * FROM repeated WHERE batch_id = ? ORDER BY rowid", batch.id)
        for table, column in _COLUMNS.items():
            for row in rows:
                said, place = row["statement"], (row["chunk_id"], row["earlier_id"])
                which = f"WHERE chunk_id = ? AND (? IS NULL OR {column} = ?)"
                self._execute(f"UPDATE {table} SET chunk_id = ? {which}", *place, said, said)
            sql = f"UPDATE {table} SET retired = 1 WHERE chunk_id IN ({_EARLIER})"
            self._execute(sql, batch.id)
        for pair in self._rows(_SUPERSEDED, batch.id):
            self._warn_still(**pair)
            self._execute("UPDATE documents SET state = 'retired' WHERE id = ?", pair["old"])

    def _warn_still(self, old: int, new: int) -> None:
        """Contradictions of what the new version repeats are its own."""
        said = "SELECT answer FROM live_items JOIN chunks ON chunks.id = chunk_id"
        for document, statement in (("document_id", "statement"), ("earlier_id", "earlier")):
            self._execute(
                f"UPDATE contradictions SET {document} = ? WHERE {document} = ?"
                f" AND {statement} IN ({said} WHERE document_id = ?)",
                new, old, new,
            )  # fmt: skip
