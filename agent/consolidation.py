"""When to rebuild the one adapter from the base: after some batches, or when reviews show that much
has slipped, once nothing new comes.

Each batch disturbs what earlier ones taught, and the directions that an adapter listens to were
chosen for the first (nullspace.py). Training anew on everything bounds both, and leaves nothing of
what was forgotten on request.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from agent.settings import ConsolidateSettings
from memory.records import Batch, Stage
from memory.store import Store


def is_due(store: Store, settings: ConsolidateSettings) -> bool:
    """Whether enough was learned, or has slipped, since the last consolidation that was judged, and
    nothing was learned just now. Without a new batch it is never done again: no flapping."""
    waiting = _learned_since(store.batches())
    if not settings.after:
        return False
    since = datetime.now(UTC) - datetime.fromisoformat(store.head().created_at)
    if not waiting or since.total_seconds() < settings.idle_seconds:
        return False
    return waiting >= settings.after or store.slipped_share() >= settings.slipped


def is_needed(store: Store, settings: ConsolidateSettings) -> bool:
    """Whether the last batch was refused because step by step too much of the base was lost, and
    to begin again at the base may help: so before its documents are tried again."""
    batches = [one for one in store.batches() if not one.task]
    if not settings.after or not _learned_since(batches):
        return False
    last = batches[-1]
    return last.stage is Stage.REJECTED and last.verdict is not None and last.verdict.far


def _learned_since(batches: Sequence[Batch]) -> int:
    """Batches that were learned since the last consolidation that was judged."""
    waiting = 0
    for batch in batches:
        if batch.consolidates and batch.stage in (Stage.SERVING, Stage.REJECTED):
            waiting = 0
        elif batch.stage is Stage.SERVING and batch.document_ids and not batch.task:
            waiting += batch.adapter != batch.parent  # else nothing was new
    return waiting
