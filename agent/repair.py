"""What to do when harm shows late: reviews of what is served find that it lost what it knew.

First a repair: a small training on what slipped, gated like any batch. If that is rejected, and the
generation lost more than it taught, the one before it is served again, and its documents are tried
anew. Each generation is repaired once at most and a repair never, so nothing goes to and fro; what
is left is consolidation's.
"""

from agent import gate
from agent.settings import GateSettings
from memory.errors import GaveWay
from memory.generations import before_head
from memory.records import Batch, Generation, Stage
from memory.store import Store


def is_due(store: Store, settings: GateSettings) -> bool:
    """Whether the head lost what it knew, beyond chance, and nobody tried to repair it."""
    head = store.head()
    if head.adapter is None or _author(store).repairs or any(map(_tried, _repairs(store))):
        return False
    return _loss(store, settings) > 0


def fallback(store: Store, settings: GateSettings) -> Generation | None:
    """The generation to go back to: if a repair of the head was rejected, the loss is beyond
    chance, and larger than what the head's batch taught."""
    if not any(one.stage is Stage.REJECTED for one in _repairs(store)):
        return None
    verdict = _author(store).verdict
    taught = verdict.figures.get("new_after", 0) if verdict else 0
    earlier = before_head(store.generations())
    if earlier is None or earlier.adapter is None or _loss(store, settings) <= taught:
        return None
    return earlier


def _author(store: Store) -> Batch:
    """The batch that made the head's weights."""
    adapter = store.head().adapter
    assert adapter is not None, "the base was made by nobody"
    return store.batch(store.adapter(adapter).batch_id)


def _repairs(store: Store) -> list[Batch]:
    """Those that were begun on the head's weights."""
    adapter = store.head().adapter
    return [one for one in store.batches() if one.repairs and one.parent == adapter]


def _tried(repair: Batch) -> bool:
    """Not if it gave way to new documents."""
    return not (repair.stage is Stage.FAILED and repair.error == str(GaveWay()))


def _loss(store: Store, settings: GateSettings) -> int:
    """Probes that idle reviews of the head found lost, less those won; 0 where chance does so."""
    lost, won = store.review_flips(_author(store).id)
    return lost - won if gate.chance(lost, won) < settings.false_rejects else 0
