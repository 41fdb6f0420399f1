"""Which probes to ask again: those whose review is due."""

import math
from collections.abc import Collection
from typing import Final

from memory.records import Probe
from memory.store import Store

_LONGEST: Final = 8  # generations that a probe rests


def due(store: Store, k: int, exclude: Collection[int] = ()) -> list[Probe]:
    """Up to k probes about documents whose review is due, most urgent first.

    A probe that was right n times in a row rests for 2**n generations, but for 8 at most, a wrong
    one for 1, so that watching many facts costs little. Longer rests would cost less and find less:
    of a thousand documents 94% of what was forgotten with 16, 79% without a limit (CHANGELOG.md).

    Urgency is the time since it was asked as a multiple of that: never asked comes first, then the
    longest overdue, of equals the wrong ones. Were wrong ones always first, facts that a small
    model never learns would fill every review.
    """
    streaks = store.streaks()
    # tasks have numbers, too, but the head did not change with them
    places = {one.number: place for place, one in enumerate(store.generations())}
    head = len(places) - 1

    def urgency(probe: Probe) -> tuple[float, int]:
        streak = streaks.get(probe.id)
        if streak is None:
            return math.inf, 0
        rested = head - places[streak.generation]
        return rested / min(2**streak.right, _LONGEST), -streak.right

    candidates = {
        probe: urgency(probe)
        for probe in store.probes()
        if probe.chunk_id is not None and probe.id not in exclude
    }
    waiting = [probe for probe, (overdue, _) in candidates.items() if overdue >= 1]
    return sorted(waiting, key=lambda probe: (candidates[probe], -probe.id), reverse=True)[:k]
