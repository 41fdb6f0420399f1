"""What people and the dashboard look at: one row a document, one row a probe, and counts."""

import json
from dataclasses import dataclass

from memory.connection import Connection
from memory.records import DocumentState

_DOCUMENT_ROWS = """
SELECT documents.id, documents.path, version, state, reason, missing, seen_at,
    (SELECT max(number) FROM generations JOIN batch_documents USING (batch_id)
        WHERE document_id = documents.id) AS learned_in,
    EXISTS (SELECT 1 FROM batch_documents
        WHERE document_id = documents.id AND (batch_id IN held_batches
            OR batch_id IN (SELECT batch_id FROM generations WHERE task != ''))) AS held,
    count(live_probes.id) AS probes, ifnull(sum(correct), 0) AS probes_right
FROM documents JOIN files USING (path)
LEFT JOIN chunks ON chunks.document_id = documents.id
LEFT JOIN live_probes ON live_probes.chunk_id = chunks.id
LEFT JOIN latest_results ON latest_results.probe_id = live_probes.id
WHERE state != 'retired' GROUP BY documents.id ORDER BY documents.path, version
"""
_PROBE_ROWS = """
SELECT probe.id, path, kind, question, probe.answer AS expected, latest.answer AS said,
    first.correct AS before, latest.correct AS correct, latest.logprob, latest.generation,
    (SELECT max(generation) FROM probe_results AS right WHERE right.probe_id = probe.id
        AND right.correct) AS known_in, fault
FROM (SELECT * FROM live_probes
    UNION ALL SELECT * FROM probes WHERE fault != '' AND batch_id IN held_batches) AS probe
LEFT JOIN chunks ON chunks.id = chunk_id
LEFT JOIN documents ON documents.id = document_id
LEFT JOIN latest_results AS latest ON latest.probe_id = probe.id
LEFT JOIN probe_results AS first ON first.probe_id = probe.id
    AND first.batch_id = probe.batch_id AND first.phase = 'before'
WHERE fault = '' OR state != 'retired'
ORDER BY probe.id
"""
_CONFLICTS = """
SELECT DISTINCT new.path, new.version, statement, old.path AS earlier_path, earlier
FROM contradictions JOIN documents AS new ON new.id = document_id
JOIN documents AS old ON old.id = earlier_id
WHERE new.state != 'retired' AND old.state = 'learned' ORDER BY new.path, contradictions.id
"""
_DRIFT = """
SELECT verdict FROM adapters JOIN batches ON batches.id = batch_id
WHERE digest = (
    SELECT adapter FROM generations WHERE task = '' ORDER BY number DESC LIMIT 1)
"""
_COUNTS = """
SELECT
    (SELECT count(*) FROM files WHERE missing) AS missing,
    (SELECT count(*) FROM batches) AS batches,
    (SELECT max(number) FROM generations WHERE task = '') AS generation,
    (SELECT count(*) FROM live_items) AS items,
    (SELECT count(*) FROM live_probes) AS probes,
    (SELECT count(*) FROM live_probes JOIN latest_results ON probe_id = live_probes.id
        WHERE correct) AS probes_right
"""


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """One version of a document that is not retired."""

    id: int
    path: str
    version: int
    state: DocumentState
    reason: str
    missing: bool  # its file was gone at the last scan
    seen_at: str
    learned_in: int | None  # generation
    held: bool  # the head's weights hold it; not so after a rollback to before learned_in. Or it is
    # a task, which has weights of its own
    probes: int
    probes_right: int  # when a served generation was last asked


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """One probe and how it stands; None where it was never asked."""

    id: int
    path: str | None  # None: a general probe
    kind: str
    question: str
    expected: str
    said: str | None
    before: bool | None  # right before its document was learned
    correct: bool | None
    logprob: float | None  # nats per token
    generation: int | None  # the one that said it
    known_in: int | None  # the last generation that was right; before `generation`: it slipped
    fault: str  # why it is never asked


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two documents that seem to say the same of the same thing, but for one value."""

    path: str
    version: int
    statement: str
    earlier_path: str
    earlier: str  # its statement


class Reports(Connection):
    """Read-only summaries."""

    def document_rows(self) -> list[DocumentRow]:
        """Every version that is not retired, by path."""
        return self._records(DocumentRow, _DOCUMENT_ROWS)

    def probe_rows(self) -> list[ProbeRow]:
        """Every live probe, and those that are wrong themselves, oldest first."""
        return self._records(ProbeRow, _PROBE_ROWS)

    def counts(self) -> dict[str, int]:
        """Document versions by state, and how many there are of everything else."""
        states = dict.fromkeys(map(str, DocumentState), 0)
        found = self._rows("SELECT state, count(*) AS number FROM documents GROUP BY state")
        return states | {row["state"]: row["number"] for row in found} | self._rows(_COUNTS)[0]

    def conflicts(self) -> list[Conflict]:
        """Between the present versions of documents, by path."""
        return self._records(Conflict, _CONFLICTS)

    def drift(self) -> dict[str, float]:
        """How far the head's weights alone were from the base when they were examined: of the
        general probes those asked, right before and after, lost, and the mean fall of the right
        answers in nats per token. Empty for the base itself."""
        figures = [json.loads(text)["figures"] for text in self._column(_DRIFT)]
        return {
            name.removeprefix("base_"): value
            for one in figures
            for name, value in one.items()
            if name.startswith("base_")
        }
