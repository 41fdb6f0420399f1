"""What each epoch of a training trains on."""

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Final

import torch

from agent.losses import Example
from agent.models import preferred_dtype
from agent.settings import TrainSettings

# by number format, about what two cores train on in three minutes
_BUDGETS: Final = {torch.float32: 120_000, torch.bfloat16: 220_000}


def budget(settings: TrainSettings) -> int:
    """Tokens of new items in all epochs: those of the settings, or what this processor has time
    for."""
    return settings.tokens or _BUDGETS[preferred_dtype()]


def course(
    new: Sequence[Example],
    old: Sequence[Example],
    general: Sequence[Example],
    settings: TrainSettings,
) -> list[list[Example]]:
    """What each epoch trains on: the new, what the base says, and another part of the old.

    Where the budget does not suffice for whole epochs, each leaves out another part of the new.
    """
    new = _evenly(new)
    wanted = max(settings.epochs_least, budget(settings) / sum(map(len, new)))
    passes = min(settings.epochs, wanted)
    epochs = math.ceil(passes)
    left_out = 1 - passes / epochs
    return [
        [*_without(new, left_out, epoch), *general, *old[epoch::epochs]] for epoch in range(epochs)
    ]


def _evenly(examples: Sequence[Example]) -> list[Example]:
    """Every answer at least as often as the average one: what is seldom said is not remembered."""
    by_answer: defaultdict[tuple[int, ...], list[Example]] = defaultdict(list)
    for one in examples:
        by_answer[one.labels].append(one)
    often = len(examples) // len(by_answer)
    return [
        one for group in by_answer.values() for one in islice(cycle(group), max(often, len(group)))
    ]


def _without(examples: Sequence[Example], share: float, turn: int) -> list[Example]:
    """All but a share of the examples, evenly spread; in the next turn their neighbours."""
    return [
        one
        for place, one in enumerate(examples, turn)
        if math.floor((place + 1) * share) == math.floor(place * share)
    ]
