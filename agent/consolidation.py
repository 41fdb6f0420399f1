"""When to rebuild the one adapter from the base: after some batches, or when reviews show that much
has slipped, once nothing new comes.

Each batch disturbs what earlier ones taught, and the directions that an adapter listens to were
chosen for the first (nullspace.py). Training anew on everything bounds both, and leaves nothing of
what was forgotten on request.
"""

from datetime import UTC, datetime

from agent.settings import ConsolidateSettings
from memory.records import Stage
from memory.store import Store


def is_due(store: Store, settings: ConsolidateSettings) -> bool:
    """Whether enough was learned, or has slipped, since the last consolidation that was judged, and
    nothing was learned just now. Without a new batch it is never done again: no flapping."""
    if not settings.after:
        return False
    waiting = 0
    for batch in store.batches():
        if batch.consolidates and batch.stage in (Stage.SERVING, Stage.REJECTED):
            waiting = 0
        elif batch.stage is Stage.SERVING:
            waiting += 1
    since = datetime.now(UTC) - datetime.fromisoformat(store.head().created_at)
    if not waiting or since.total_seconds() < settings.idle_seconds:
        return False
    return waiting >= settings.after or store.slipped_share() >= settings.slipped
