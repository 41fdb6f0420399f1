"""The store's learning data: chunks, study items, probes, and how probes were answered."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from memory.connection import Record, columns
from memory.generations import Generations
from memory.records import Chunk, Phase, Probe, ProbeResult, StudyItem
from memory.taught import Taught, taught

_STREAKS = """
WITH wrong AS (
    SELECT probe_id, max(id) AS last FROM probe_results
    WHERE NOT correct AND generation IS NOT NULL GROUP BY probe_id
)
SELECT probe_id, max(generation) AS generation,
    sum(phase != 'before' AND id > ifnull(last, 0)) AS right
FROM probe_results LEFT JOIN wrong USING (probe_id)
WHERE generation IS NOT NULL GROUP BY probe_id
"""
_REHEARSABLE = """
SELECT live_items.id AS item_id, chunk_id, document_id,
    MIN(live_items.id) OVER (PARTITION BY document_id, live_items.answer) AS fact
FROM live_items JOIN chunks ON chunks.id = chunk_id ORDER BY live_items.id
"""

_STATEMENTS = """
SELECT DISTINCT document_id, live_items.answer FROM probes
JOIN chunks AS own ON own.id = probes.chunk_id JOIN chunks USING (document_id)
JOIN live_items ON live_items.chunk_id = chunks.id
WHERE probes.id = ? AND live_items.kind != 'text'
"""
_RECITED = """
SELECT DISTINCT answer FROM live_items WHERE chunk_id IS NOT NULL AND kind != 'text'
"""
_SAID_BEFORE = """
SELECT id FROM study_items WHERE batch_id = ? AND NOT retired
    AND answer IN (SELECT answer FROM live_items WHERE chunk_id IS NOT NULL)
"""
_TAUGHT = """
SELECT title, kind, prompt, answer
FROM live_items JOIN chunks ON chunks.id = chunk_id ORDER BY live_items.id
"""


@dataclass(frozen=True, slots=True)
class Asking:
    """One time that a probe was asked."""

    batch_id: int
    phase: Phase
    generation: int | None  # which one answered; None: a candidate that was never served
    correct: bool
    answer: str
    logprob: float
    asked_at: str


@dataclass(frozen=True, slots=True)
class Streak:
    """How a probe stands with the generations that were served."""

    generation: int  # the last one that was asked
    right: int  # examinations passed in a row, up to that one


@dataclass(frozen=True, slots=True)
class Rehearsable:
    """A study item that may be replayed, with where it came from."""

    item_id: int
    chunk_id: int
    document_id: int
    fact: int  # the first item with its answer


class Learning(Generations):
    """Study items and probes belong to the batch that wrote them. None is ever deleted: those of
    a replaced document or of a rejected batch are retired."""

    def save_chunks(self, document_id: int, chunks: Sequence[tuple[str, str]]) -> list[Chunk]:
        """Set a document's chunks, as (title, text). The same ones again keep their ids."""
        with self._transaction("save_chunks"):
            if [(chunk.title, chunk.text) for chunk in self.chunks([document_id])] != list(chunks):
                self._execute("UPDATE chunks SET retired = 1 WHERE document_id = ?", document_id)
                rows = [
                    Chunk(0, document_id, position, title, text)
                    for position, (title, text) in enumerate(chunks)
                ]
                self._insert_all("chunks", rows)
        return self.chunks([document_id])

    def chunks(self, document_ids: Iterable[int]) -> list[Chunk]:
        """The present chunks of some documents, in reading order."""
        tail = "WHERE document_id = ? AND NOT retired ORDER BY position"
        return [chunk for one in document_ids for chunk in self._select(Chunk, tail, one)]

    def items(self, batch_id: int | None = None, live_only: bool = True) -> list[StudyItem]:
        """Study items, oldest first: of one batch, or without one those that the head was taught.

        `live_only=False` adds the retired ones and those of batches that never served.
        """
        return self._written(StudyItem, "study_items", "live_items", batch_id, live_only)

    def probes(self, batch_id: int | None = None, live_only: bool = True) -> list[Probe]:
        """Probes, oldest first: of one batch, or without one all that the head should know."""
        return self._written(Probe, "probes", "live_probes", batch_id, live_only)

    def _written(
        self, kind: type[Record], every: str, live: str, batch_id: int | None, live_only: bool
    ) -> list[Record]:
        selected = f"SELECT {columns(kind)} FROM"
        if batch_id is None:
            return self._records(kind, f"{selected} {live if live_only else every} ORDER BY id")
        retired = "AND NOT retired" if live_only else ""
        sql = f"{selected} {every} WHERE batch_id = ? {retired} ORDER BY id"
        return self._records(kind, sql, batch_id)

    def add_general(self, probes: Iterable[Probe]) -> None:
        """Add general probes, which belong to no batch; known questions are left alone."""
        known = {probe.question for probe in self.probes() if probe.chunk_id is None}
        new = [probe for probe in probes if probe.question not in known]
        if new:
            with self._transaction("add_general"):
                self._insert_all("probes", new)

    def latest_results(self) -> dict[int, ProbeResult]:
        """The last answer of a served generation, by probe id. Candidates do not count."""
        rows = self._select(ProbeResult, "WHERE id IN (SELECT id FROM latest_results)")
        return {result.probe_id: result for result in rows}

    def results(self, batch_id: int, phase: Phase) -> list[ProbeResult]:
        """What an examination saw, in the order of asking."""
        tail = "WHERE batch_id = ? AND phase = ? ORDER BY id"
        return self._select(ProbeResult, tail, batch_id, phase)

    def base_results(self) -> dict[int, ProbeResult]:
        """What the untouched model answered to general probes, by probe id."""
        general = "probe_id IN (SELECT id FROM probes WHERE chunk_id IS NULL)"
        tail = f"WHERE {general} AND (generation = 0 OR phase = 'base') ORDER BY id"
        return {result.probe_id: result for result in self._select(ProbeResult, tail)}

    def save_base(self, batch_id: int, results: Iterable[ProbeResult]) -> None:
        """What the untouched model answered when a batch was examined; see base_results()."""
        asked = {"phase": Phase.BASE, "generation": None, "asked_at": self._timestamp()}
        with self._transaction("save_base"):
            self._insert_all("probe_results", results, batch_id=batch_id, **asked)

    def save_review(self, results: Iterable[ProbeResult]) -> None:
        """What the head answered in idle time, to probes that it was not asked in its examination.

        Raises ValueError if the head is the base, which no batch made.
        """
        with self._transaction("save_review"):
            self._insert_review(results)

    def history(self, probe_id: int) -> list[Asking]:
        """Every time that a probe was asked, oldest first."""
        sql = f"SELECT {columns(Asking)} FROM probe_results WHERE probe_id = ? ORDER BY id"
        return self._records(Asking, sql, probe_id)

    def streaks(self) -> dict[int, Streak]:
        """How each probe that was ever asked of a served generation stands, by probe id."""
        return {row.pop("probe_id"): Streak(**row) for row in self._rows(_STREAKS)}

    def recited(self) -> list[str]:
        """The statements that the head was taught to answer with, each once."""
        return [str(row["answer"]) for row in self._rows(_RECITED)]

    def said_before(self, batch_id: int) -> set[int]:
        """Ids of a batch's study items whose answers the head was taught, in whatever document."""
        return set(self._column(_SAID_BEFORE, batch_id))

    def known_statements(self, batch_id: int) -> set[str]:
        """Those of a batch that were not trained, as the head said them before."""
        sql = "SELECT answer FROM study_items WHERE batch_id = ? AND known AND NOT retired"
        return set(self._column(sql, batch_id))

    def taught(self) -> Taught:
        """What the head was taught about documents."""
        rows = self._rows(_TAUGHT)
        return taught((row["title"], row["kind"], row["prompt"], row["answer"]) for row in rows)

    def statements_near(self, probe_id: int) -> list[tuple[int, str]]:
        """What the head was taught about the document of a probe, as (its id, statement)."""
        return [(row["document_id"], row["answer"]) for row in self._rows(_STATEMENTS, probe_id)]

    def rehearsable(self) -> list[Rehearsable]:
        """The live study items about documents, without their texts: there may be very many."""
        return self._records(Rehearsable, _REHEARSABLE)

    def items_by_id(self, item_ids: Iterable[int]) -> list[StudyItem]:
        """Study items in the order that was asked for."""
        return [item for one in item_ids for item in self._select(StudyItem, "WHERE id = ?", one)]
