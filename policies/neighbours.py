"""Doubtful labels, cleaned by the neighbours of what they are about (SimPLE: Ge et al. 2023).

Each thing is seen several times, as by an encoder with dropout, and every such copy has a label of
its own. A copy whose near neighbours bear another label is the more suspect, the less chance would
do the same (the cut-edge statistic).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Labels = NDArray[np.bool_]
_NEAREST: Final = 9
_DROPPED: Final = 0.2  # share of the copies that disagree the most


def disagreement(vectors: Vectors, labels: Labels, nearest: int = _NEAREST) -> NDArray[np.float64]:
    """z [n] of vectors [n, dimension] with labels [n]: how much more a label differs from those of
    its neighbours than if labels were dealt at random. 0 where nothing can be said.

    Neighbours weigh 1 / (1 + distance). Raises ValueError if a vector holds NaN or infinity.
    """
    if not np.isfinite(vectors).all():
        raise ValueError("vectors hold NaN or infinity")
    weights = _weights(vectors, min(nearest, len(vectors) - 1))
    other = (weights * (labels[:, None] != labels[None, :])).sum(1)
    alike = np.where(labels, labels.mean(), 1 - labels.mean()) if len(labels) else weights.sum(1)
    expected = (1 - alike) * weights.sum(1)
    deviation = np.sqrt(alike * (1 - alike) * (weights**2).sum(1))
    z = np.zeros(len(labels))
    np.divide(other - expected, deviation, out=z, where=deviation > 0)
    return z


def clean(
    vectors: NDArray[np.float32], labels: Labels, fallback: Labels, nearest: int = _NEAREST
) -> Labels:
    """Labels [n] of n things out of the labels [n, copies] of vectors [n, copies, dimension].

    The fifth of the copies that disagrees the most is dropped, the majority of the others decides;
    where none is left or they are tied, the fallback [n]. Raises ValueError as disagreement().
    """
    count, copies = labels.shape
    z = disagreement(vectors.reshape(count * copies, -1), labels.reshape(-1), nearest)
    kept = np.ones(count * copies, bool)
    kept[np.argsort(-z, kind="stable")[: int(_DROPPED * len(z))]] = False
    votes = np.where(kept.reshape(labels.shape), np.where(labels, 1, -1), 0).sum(1)
    return np.where(votes == 0, fallback, votes > 0)


def _weights(vectors: Vectors, nearest: int) -> NDArray[np.float64]:
    """[n, n]; 0 for all but the nearest of each row, and for itself."""
    count = len(vectors)
    weights = np.zeros((count, count))
    if nearest < 1:
        return weights
    exact = vectors.astype(np.float64)
    squares = (exact**2).sum(1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * exact @ exact.T, 0))
    np.fill_diagonal(distances, np.inf)
    near = np.argpartition(distances, nearest - 1, axis=1)[:, :nearest]
    rows = np.arange(count)[:, None]
    weights[rows, near] = 1 / (1 + distances[rows, near])
    return weights
