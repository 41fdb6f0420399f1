import time

import numpy as np
import pytest
from numpy.typing import NDArray

from memory.records import Chunk
from policies.base import Candidate
from policies.daar import DiversitySelector, at_random, diverse, entropies, pseudo_domains
from tests.helpers.tools import FakeTools

CHUNK = Chunk(3, 1, 0, "Servers", "Tarrick listens on port 9362.")


def unit(degrees: list[float]) -> NDArray[np.float32]:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def blobs(sizes: list[int], seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors in 16 dimensions around as many axes."""
    chance = np.random.default_rng(seed)
    rows = [np.eye(16)[n] + chance.normal(0, 0.05, (size, 16)) for n, size in enumerate(sizes)]
    vectors = np.concatenate(rows)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def test_entropy_by_hand() -> None:
    """Domains at 0 and 90 degrees: their centroids are the axes; sharpness 1."""
    vectors = unit([0, 90, 45])
    found = entropies(vectors[:2], np.array([0, 1]), sharpness=1)
    sure = np.e / (1 + np.e)
    by_hand = -(sure * np.log(sure) + (1 - sure) * np.log(1 - sure))
    assert found == pytest.approx([by_hand, by_hand])
    domains = np.array([0, 0, 1, 1, 2])
    middle = entropies(unit([0, 0, 90, 90, 45]), domains, sharpness=1)
    assert middle[4] > middle[0]


def test_what_lies_between_its_domain_and_others_is_kept_first() -> None:
    vectors = unit([0, 2, -2, 30, 90, 88, 92, 60])
    assert pseudo_domains(vectors, seed=1).tolist() in ([0] * 4 + [1] * 4, [1] * 4 + [0] * 4)
    assert diverse(vectors, 2, seed=1) == [3, 7]


def test_each_domain_keeps_its_share_and_garbage_no_more() -> None:
    vectors = blobs([60, 30, 10])
    garbage = np.full((20, 16), 0.25, np.float32)  # between all domains: of the highest entropy
    pool = np.concatenate([vectors, garbage])
    chosen = diverse(pool, 60, seed=3)
    assert len(chosen) == len(set(chosen)) == 60
    assert sum(place >= 100 for place in chosen) <= 60 * 20 / 120 + 2
    assert sum(place < 60 for place in chosen) == pytest.approx(30, abs=5)
    small = diverse(pool, 12, seed=3)
    assert any(90 <= place < 100 for place in small)  # at random one in three draws has none


def test_a_domain_of_one_is_no_error_and_is_kept() -> None:
    vectors = np.concatenate([blobs([30]), np.eye(16, dtype=np.float32)[9:10]])
    assert 30 in diverse(vectors, 6, seed=0)


@pytest.mark.parametrize("count", [0, 1, 5, 9])
def test_any_number_of_none_one_or_the_same_fifty_times(count: int) -> None:
    assert diverse(np.zeros((0, 4), np.float32), count, seed=0) == []
    assert diverse(unit([10]), count, seed=0) == [0][:count]
    assert len(diverse(unit([10.0] * 50), count, seed=0)) == count


def test_the_same_seed_chooses_the_same() -> None:
    vectors = blobs([40, 40, 40])
    assert diverse(vectors, 30, seed=5) == diverse(vectors, 30, seed=5)
    assert at_random(vectors, 30, seed=5) == at_random(vectors, 30, seed=5)
    assert len(at_random(vectors, 500, seed=5)) == 120


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        diverse(np.full((3, 2), np.nan, np.float32), 2, seed=0)


def test_a_thousand_take_less_than_a_second() -> None:
    vectors = np.random.default_rng(0).normal(size=(1000, 384)).astype(np.float32)
    started = time.process_time()
    diverse(vectors, 700, seed=0)
    assert time.process_time() - started < 4  # in a quarter of that; machines differ


def asked(count: int, kind: str = "qa") -> dict[Candidate, float]:
    questions = (f"Which {n % 5} port {n}?" for n in range(count))
    return {Candidate(CHUNK, CHUNK.text, kind, one, "9362", "al"): 0.5 for one in questions}


@pytest.mark.parametrize("policy", [DiversitySelector(), DiversitySelector().controlled()])
def test_it_keeps_seven_in_ten_of_what_was_written(policy: DiversitySelector) -> None:
    trusted = asked(40) | asked(3, "keywords")
    kept = policy.select(trusted, FakeTools(), seed=1)
    assert len(kept) == 28 + 3 and kept.items() <= trusted.items()
    health = policy.diagnose(list(trusted), kept)
    assert health.abstained is None and health.entropy is not None
    assert health.coverage is not None and 0 < health.coverage <= 1


@pytest.mark.parametrize("trusted", [{}, asked(7), asked(50, "text")])
def test_where_there_is_nothing_to_choose_from_it_abstains(trusted: dict[Candidate, float]) -> None:
    policy = DiversitySelector()
    assert policy.select(trusted, FakeTools(), seed=1) == trusted
    assert policy.diagnose([], trusted).abstained
