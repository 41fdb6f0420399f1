"""What became of what was learned: forgetting is an event of one probe, told per document.

A probe is *learned* when a served generation answers it for the first time, *slips* when one fails
it that was right before, and is *repaired* when it is right again.
"""

from collections import deque
from dataclasses import dataclass
from itertools import groupby

from memory.connection import Connection

_ANSWERED = """
WITH answered AS (
    SELECT probe_id, generation, correct,
        lag(correct, 1, 0) OVER earlier AS before,
        ifnull(max(correct) OVER (earlier ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)
            AS ever
    FROM probe_results WHERE generation IS NOT NULL
    WINDOW earlier AS (PARTITION BY probe_id ORDER BY id)
)
"""
_MOMENTS = f"""
{_ANSWERED} SELECT path, version, generation, count(*) AS asked, sum(correct) AS right,
    sum(correct AND NOT ever) AS learned,
    sum(before AND NOT correct) AS slipped,
    sum(correct AND ever AND NOT before) AS repaired
FROM answered
JOIN probes ON probes.id = probe_id
JOIN chunks ON chunks.id = chunk_id
JOIN documents ON documents.id = document_id
GROUP BY documents.id, generation ORDER BY path, version, generation
"""
_TAUGHT = """
SELECT number AS generation, probes.id AS probe_id
FROM generations LEFT JOIN probes ON probes.batch_id = generations.batch_id AND NOT retired
WHERE task = '' ORDER BY number
"""
_SERVED = """
SELECT result.generation, probe_id, correct FROM probe_results AS result
JOIN probes ON probes.id = probe_id
WHERE NOT retired AND result.generation IS NOT NULL ORDER BY result.generation, result.id
"""
_FLIPS = """
SELECT ifnull(sum(before AND NOT correct), 0) AS lost,
    ifnull(sum(correct AND NOT before), 0) AS won
FROM (
    SELECT phase, batch_id, correct, lag(correct) OVER (PARTITION BY probe_id ORDER BY id) AS before
    FROM probe_results WHERE generation IS NOT NULL AND probe_id IN (
        SELECT probe_id FROM probe_results JOIN live_probes ON live_probes.id = probe_id
        WHERE probe_results.batch_id = ? AND phase = 'review' AND chunk_id IS NOT NULL))
WHERE phase = 'review' AND batch_id = ?
"""
_EVER_KNOWN = """
FROM live_probes JOIN latest_results ON latest_results.probe_id = live_probes.id
WHERE chunk_id IS NOT NULL AND EXISTS (
    SELECT 1 FROM probe_results AS earlier WHERE earlier.probe_id = live_probes.id
    AND earlier.correct AND earlier.generation IS NOT NULL)
"""
_LOST = f"SELECT live_probes.id {_EVER_KNOWN} AND NOT correct ORDER BY live_probes.id"
_SLIPPED = f"""
SELECT ifnull(sum(correct), 0) AS known, ifnull(sum(NOT correct), 0) AS slipped {_EVER_KNOWN}
"""


@dataclass(frozen=True, slots=True)
class Moment:
    """What one generation showed of one version of a document."""

    path: str
    version: int
    generation: int
    asked: int  # of its probes
    right: int
    learned: int
    slipped: int
    repaired: int


@dataclass(frozen=True, slots=True)
class Recall:
    """What was known of all documents learned so far when a generation began to serve."""

    generation: int
    asked: int  # probes of documents that were learned by then and are not replaced today
    right: int  # when last asked, by then


class History(Connection):
    """Read from the results of examinations; candidates that never served do not count."""

    def moments(self) -> list[Moment]:
        """By path, version and generation."""
        return self._records(Moment, _MOMENTS)

    def recall(self) -> list[Recall]:
        """By generation, from the first that was taught anything. A probe counts from the
        generation that learned its document on."""
        last: dict[int, bool] = {}  # of each probe, whether it was right when last asked
        asked: set[int] = set()
        answers = deque(self._rows(_SERVED))
        found = []
        for number, taught in groupby(self._rows(_TAUGHT), key=lambda row: int(row["generation"])):
            asked |= {row["probe_id"] for row in taught if row["probe_id"] is not None}
            while answers and answers[0]["generation"] <= number:
                answer = answers.popleft()
                last[answer["probe_id"]] = bool(answer["correct"])
            counted = asked & last.keys()
            if counted:
                found.append(Recall(number, len(counted), sum(last[one] for one in counted)))
        return found

    def review_flips(self, batch_id: int) -> tuple[int, int]:
        """Of the probes that idle reviews asked of what a batch made: how many were right the time
        before and are wrong now, and how many the other way."""
        [row] = self._rows(_FLIPS, batch_id, batch_id)
        return row["lost"], row["won"]

    def slipped(self) -> list[int]:
        """Ids of the probes about documents that were ever known, and are not known now."""
        return self._column(_LOST)

    def slipped_share(self) -> float:
        """Of the probes about documents that were ever known, those that are not known now."""
        [row] = self._rows(_SLIPPED)
        ever: int = row["known"] + row["slipped"]
        return row["slipped"] / ever if ever else 0.0
