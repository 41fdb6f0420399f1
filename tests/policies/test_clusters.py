import numpy as np
import pytest

from policies.clusters import clusters, shares


def at(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("degrees", "found"),
    [
        ((), []),
        ((7,), [0]),  # a cluster with one member
        ((0, 90, 5, 95), [0, 1, 0, 1]),
        ((0, 0, 0), [0, 0, 0]),
        ((0, 50, 100), [0, 0, 1]),  # the mean of cos 50 and cos 100 is .23
        ((0, 180), [0, 1]),
    ],
)
def test_what_points_the_same_way_is_together(degrees: tuple[float, ...], found: list[int]) -> None:
    assert clusters(at(*degrees).reshape(-1, 2), 0.6) == found


def test_linkage_is_the_average_over_members() -> None:
    """0 and 10 join first; 40 lies at cos 40 = .77 and cos 30 = .87 from them, on average .816."""
    assert clusters(at(0, 10, 40), 0.81) == [0, 0, 0]
    assert clusters(at(0, 10, 40), 0.82) == [0, 0, 1]


def test_a_share_is_of_all() -> None:
    assert shares([0, 1, 0, 0]) == [0.75, 0.25, 0.75, 0.75]
    assert shares([]) == []
