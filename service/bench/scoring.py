"""Answers against gold answers: exact match and F1 as SQuAD counts them, and how sure they are."""

import random
from collections import Counter
from collections.abc import Sequence
from itertools import chain

_DRAWS = 2000
_OUTSIDE = 0.025  # share of the draws on either side of the interval


def exact(answer: str, gold: str) -> float:
    """1 if both are the same after normalisation, else 0."""
    from agent.examine import normalise

    return float(normalise(answer) == normalise(gold))


def f1(answer: str, gold: str) -> float:
    """F1 of the words that both share (Rajpurkar et al. 2016)."""
    from agent.examine import normalise

    one, other = (Counter(normalise(text).split()) for text in (answer, gold))
    common = (one & other).total()
    if not common:
        return float(one == other)  # both empty: "the" is no word
    return 2 * common / (one.total() + other.total())


def recall(answer: str, gold: str) -> float:
    """1 if the answer holds the gold one as whole words, else 0."""
    from agent.examine import is_right

    return float(is_right(answer, gold))


def mean(groups: Sequence[Sequence[float]]) -> float:
    """Of all values in all groups. Raises ZeroDivisionError if there are none."""
    values = list(chain.from_iterable(groups))
    return sum(values) / len(values)


def interval(groups: Sequence[Sequence[float]], seed: int) -> tuple[float, float]:
    """95% bootstrap interval of the mean. Whole groups are drawn: the questions about one passage
    are learned together, so they are no independent draws."""
    chance = random.Random(seed)
    means = sorted(mean(chance.choices(groups, k=len(groups))) for _ in range(_DRAWS))
    outside = round(_DRAWS * _OUTSIDE)
    return means[outside], means[-1 - outside]
