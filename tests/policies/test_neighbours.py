import numpy as np
import pytest
from numpy.typing import NDArray

from policies.neighbours import clean, disagreement


def vectors(*places: float) -> NDArray[np.float32]:
    return np.array(places, np.float32)[:, None]


def test_z_by_hand() -> None:
    """At 0, 1 and 3 with the labels yes, yes, no; two neighbours each."""
    z = disagreement(vectors(0, 1, 3), np.array([True, True, False]), nearest=2)
    # of the first: weights 1/2 and 1/4; J = 1/4, mu = 3/4 * 1/3, sigma^2 = 2/9 * 5/16
    assert z[0] == pytest.approx((1 / 4 - 1 / 4) / np.sqrt(2 / 9 * 5 / 16))
    # of the last: weights 1/4 and 1/3; J is all of it, mu 2/3 of it, sigma^2 = 2/9 * 25/144
    assert z[2] == pytest.approx((7 / 12 / 3) / np.sqrt(2 / 9 * 25 / 144))
    assert z[1] == pytest.approx((1 / 3 - 5 / 6 / 3) / np.sqrt(2 / 9 * 13 / 36))


@pytest.mark.parametrize("labels", [[], [True], [True, True, True]])
def test_nothing_can_be_said_of_one_thing_or_one_label(labels: list[bool]) -> None:
    z = disagreement(vectors(*range(len(labels))), np.array(labels, bool))
    assert z.tolist() == [0.0] * len(labels)


def test_the_same_thing_fifty_times_is_no_error() -> None:
    z = disagreement(vectors(*[1.0] * 50), np.arange(50) % 2 == 0)
    assert np.isfinite(z).all()


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        disagreement(vectors(1, float("nan")), np.array([True, False]))


@pytest.mark.parametrize("seed", range(3))
def test_two_blobs_with_labels_flipped_come_out_cleaner(seed: int) -> None:
    chance = np.random.default_rng(seed)
    truth = np.arange(120) % 2 == 0
    centres = np.where(truth, 2.0, -2.0)[:, None, None]
    seen = (centres + chance.normal(0, 0.7, (120, 7, 4))).astype(np.float32)
    flipped = truth[:, None] ^ (chance.random((120, 7)) < 0.15)
    fallback = truth ^ (chance.random(120) < 0.15)
    cleaned = clean(seen, flipped, fallback)
    assert (cleaned != truth).mean() < 0.03 < 0.1 < (fallback != truth).mean()


def test_without_copies_what_is_most_suspect_falls_back() -> None:
    """No five times, yes five times, but the third says yes, too; two of the ten are dropped."""
    labels = np.arange(10) >= 5
    labels[2] = True
    places = vectors(*range(10))[:, None]
    z = disagreement(places[:, 0], labels, nearest=2)
    assert z.argmax() == 2 and z[2] == pytest.approx(0.6 / np.sqrt(0.6 * 0.4 / 2))
    cleaned = clean(places, labels[:, None], np.zeros(10, bool), nearest=2)
    assert not cleaned[:5].any() and cleaned[6:].all()


def test_a_tie_falls_back() -> None:
    """Two things seen twice with either label; int(.2 * 4) = 0 copies are dropped."""
    labels = np.array([[True, False], [True, False]])
    fallback = np.array([False, True])
    seen = np.zeros((2, 2, 1), np.float32)
    assert clean(seen, labels, fallback).tolist() == [False, True]
