"""Internal coherence (ICM: Wen et al. 2025): True or False for a set of claims, all jointly.

What is sought are the labels that predict each other best and contradict each other least:
U = alpha * P - I, with P the mean log-probability of each label, given all the others, and I the
number of pairs that cannot both be true but are both labelled so. Some labels are pinned.
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

Labels = dict[int, bool]
Predict = Callable[[Sequence[int], Mapping[int, bool]], list[float]]

ALPHA: Final = 30.0  # as in the authors' code; 50 in their README
_BEGUN: Final = 8  # claims labelled at random before the annealing
_DRAWN: Final = 100  # times likelier are claims that clash with a labelled one
_PASSES: Final = 10  # of repair, at most


@dataclass(frozen=True, slots=True)
class Claims:
    """So many claims, and what is known of them."""

    count: int
    predict: Predict  # log-odds that each of some claims is true, by the labels of the others
    clashes: frozenset[tuple[int, int]] = frozenset()  # pairs of which one at most is true
    pinned: Mapping[int, bool] = field(default_factory=dict)

    @property
    def free(self) -> list[int]:
        return [one for one in range(self.count) if one not in self.pinned]


def utility(claims: Claims, labels: Mapping[int, bool], alpha: float = ALPHA) -> float:
    """U of the labels so far, those that are pinned included. 0 without labels."""
    places = list(labels)
    odds = claims.predict(places, labels)
    each = [
        log_sigmoid(value if labels[one] else -value)
        for one, value in zip(places, odds, strict=True)
    ]
    mean = sum(each) / len(each) if each else 0.0
    return alpha * mean - len(broken(claims, labels))


def broken(claims: Claims, labels: Mapping[int, bool]) -> list[tuple[int, int]]:
    """Clashing pairs that are both labelled true."""
    return sorted(pair for pair in claims.clashes if labels.get(pair[0]) and labels.get(pair[1]))


def independent(claims: Claims) -> Labels:
    """The control: each claim by itself, from what is pinned alone."""
    odds = claims.predict(claims.free, dict(claims.pinned))
    return {
        **claims.pinned,
        **{one: value > 0 for one, value in zip(claims.free, odds, strict=True)},
    }


def bootstrap(claims: Claims, rounds: int = 2, alpha: float = ALPHA) -> Labels:
    """The cheap variant: labels from what is pinned, mended; then again from those labels, as long
    as U rises. In a replication most of the gain came from this alone."""
    best = repaired(claims, independent(claims))
    highest = utility(claims, best, alpha)
    for _ in range(rounds - 1):
        odds = claims.predict(claims.free, best)
        proposed = {
            **claims.pinned,
            **{one: value > 0 for one, value in zip(claims.free, odds, strict=True)},
        }
        proposed = repaired(claims, proposed)
        reached = utility(claims, proposed, alpha)
        if reached <= highest:
            break
        best, highest = proposed, reached
    return best


def anneal(claims: Claims, steps: int, seed: int, alpha: float = ALPHA) -> Labels:
    """Simulated annealing, as the authors do it; the best labels that were met.

    U never ends below where it began. What no step reached stays without a label.
    """
    chance = random.Random(seed)
    begun = chance.sample(claims.free, min(_BEGUN, len(claims.free)))
    labels = {**claims.pinned, **{one: chance.random() < 0.5 for one in begun}}
    current = highest = utility(claims, labels, alpha)
    best, flips = labels, 0
    for _ in range(steps if claims.free else 0):
        one = _drawn(claims, labels, chance)
        others = {place: label for place, label in labels.items() if place != one}
        proposed = repaired(claims, {**others, one: claims.predict([one], others)[0] > 0})
        reached = utility(claims, proposed, alpha)
        heat = max(0.01, 10 / (1 + 2 * math.log(1 + flips)))
        if reached > current or chance.random() < math.exp((reached - current) / heat):
            flips += sum(labels.get(place) != label for place, label in proposed.items())
            labels, current = proposed, reached
        if current > highest or (len(labels) > len(best) and current >= highest):
            best, highest = labels, current
    return best


def repaired(claims: Claims, labels: Labels) -> Labels:
    """Of two that clash the less likely one becomes false, unless it is pinned."""
    labels = dict(labels)
    for _ in range(_PASSES):
        pairs = [pair for pair in broken(claims, labels) if set(pair) - claims.pinned.keys()]
        if not pairs:
            break
        involved = sorted({one for pair in pairs for one in pair})
        odds = dict(zip(involved, claims.predict(involved, labels), strict=True))
        for pair in pairs:
            if labels[pair[0]] and labels[pair[1]]:
                labels[_weaker(pair, odds, claims.pinned)] = False
    return labels


def log_sigmoid(value: float) -> float:
    """log(1 / (1 + exp(-value))), without overflow."""
    return -math.log1p(math.exp(-value)) if value > 0 else value - math.log1p(math.exp(value))


def _preferred(claims: Claims, labels: Mapping[int, bool]) -> Labels:
    """What each claim that is not pinned looks like by these labels of the others."""
    odds = zip(claims.free, claims.predict(claims.free, labels), strict=True)
    return {**claims.pinned, **{one: value > 0 for one, value in odds}}


def _weaker(pair: Iterable[int], odds: Mapping[int, float], pinned: Mapping[int, bool]) -> int:
    return min((one for one in pair if one not in pinned), key=lambda one: odds[one])


def _drawn(claims: Claims, labels: Mapping[int, bool], chance: random.Random) -> int:
    near = {a for pair in claims.clashes for a, b in (pair, pair[::-1]) if b in labels}
    weights = [_DRAWN if one in near else 1 for one in claims.free]
    return chance.choices(claims.free, weights)[0]
