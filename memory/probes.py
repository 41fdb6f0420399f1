"""Which probes to ask again: those whose review is due."""

import math
from collections.abc import Collection

from memory.records import Probe
from memory.store import Store


def due(store: Store, k: int, exclude: Collection[int] = ()) -> list[Probe]:
    """Up to k probes about documents whose review is due, most urgent first.

    A probe that was right n times in a row rests for 2**n generations, a wrong one for 1, so that
    watching many facts costs little. Urgency is the time since it was asked as a multiple of that:
    never asked comes first, then the longest overdue, of equals the wrong ones. Were wrong ones
    always first, facts that a small model never learns would fill every review.
    """
    head, streaks = store.head().number, store.streaks()

    def urgency(probe: Probe) -> tuple[float, int]:
        streak = streaks.get(probe.id)
        if streak is None:
            return math.inf, 0
        return (head - streak.generation) / 2**streak.right, -streak.right

    candidates = {
        probe: urgency(probe)
        for probe in store.probes()
        if probe.chunk_id is not None and probe.id not in exclude
    }
    waiting = [probe for probe, (overdue, _) in candidates.items() if overdue >= 1]
    return sorted(waiting, key=lambda probe: (candidates[probe], -probe.id), reverse=True)[:k]
