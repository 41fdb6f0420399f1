import math
from collections.abc import Mapping, Sequence

import pytest

from policies.coherence import (
    Claims,
    anneal,
    bootstrap,
    broken,
    independent,
    log_sigmoid,
    repaired,
    utility,
)


def alike(truth: Sequence[bool], strength: float = 2.0) -> Claims:
    """Claims of two sorts: each label speaks for the same label of its own sort. The first four
    are pinned; the prior of the last one points the wrong way."""
    priors = [0.0] * len(truth)
    priors[-1] = -0.5 if truth[-1] else 0.5

    def predict(places: Sequence[int], labels: Mapping[int, bool]) -> list[float]:
        return [
            priors[one]
            + sum(
                strength / 4 * (1 if label else -1) * (1 if truth[one] == truth[other] else -1)
                for other, label in labels.items()
                if other != one
            )
            for one in places
        ]

    pinned = dict(enumerate(truth[:4]))
    return Claims(len(truth), predict, pinned=pinned)


TRUTH = [n % 2 == 0 for n in range(10)]


def test_utility_by_hand() -> None:
    claims = Claims(3, lambda places, labels: [1.0] * len(places), frozenset({(0, 1)}))
    sure, unsure = -math.log1p(math.exp(-1)), -math.log1p(math.exp(1))
    assert utility(claims, {0: True, 1: True}, 30) == pytest.approx(30 * sure - 1)
    assert utility(claims, {0: True, 1: False}, 30) == pytest.approx(15 * (sure + unsure))
    assert utility(claims, {}, 30) == 0


@pytest.mark.parametrize("value", [-800.0, -1.0, 0.0, 2.0, 800.0])
def test_log_sigmoid(value: float) -> None:
    plain = 1 / (1 + math.exp(-value)) if value > -700 else 0
    expected = math.log(plain) if plain else value
    assert log_sigmoid(value) == pytest.approx(expected)


def test_labels_that_speak_for_each_other_are_found() -> None:
    claims = alike(TRUTH)
    truth = dict(enumerate(TRUTH))
    assert bootstrap(claims) == truth
    assert anneal(claims, 200, seed=1) == truth


@pytest.mark.parametrize("seed", range(4))
def test_utility_never_ends_below_its_start(seed: int) -> None:
    claims = alike(TRUTH)
    reached = [utility(claims, anneal(claims, steps, seed)) for steps in (0, 5, 50)]
    assert reached[0] <= reached[1] and reached[0] <= reached[2]


def test_of_two_that_clash_the_weaker_falls_and_a_pinned_one_never() -> None:
    odds = [0.5, 2.0, 1.0]
    claims = Claims(
        3, lambda places, labels: [odds[one] for one in places], frozenset({(0, 1), (0, 2)})
    )
    assert independent(claims) == {0: True, 1: True, 2: True}
    assert repaired(claims, independent(claims)) == {0: False, 1: True, 2: True}
    held = Claims(3, claims.predict, claims.clashes, {0: True})
    assert bootstrap(held) == {0: True, 1: False, 2: False}


def test_what_is_pinned_and_clashes_stays_and_is_told() -> None:
    claims = Claims(
        2, lambda places, labels: [1.0] * len(places), frozenset({(0, 1)}), {0: True, 1: True}
    )
    labels = bootstrap(claims)
    assert labels == {0: True, 1: True} and broken(claims, labels) == [(0, 1)]


def test_no_claims_are_no_error() -> None:
    claims = Claims(0, lambda places, labels: [])
    assert bootstrap(claims) == anneal(claims, 9, seed=0) == independent(claims) == {}
