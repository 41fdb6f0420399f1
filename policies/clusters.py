"""What is alike: agglomerative clusters with average linkage, small and deterministic.

For some hundreds of texts; each merge looks at all pairs.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray


def clusters(vectors: NDArray[np.float32], alike: float) -> list[int]:
    """The cluster of each unit vector, numbered by first appearance: the two nearest clusters are
    joined for as long as their members have a mean cosine of at least `alike`."""
    groups = [[number] for number in range(len(vectors))]
    means = (vectors @ vectors.T).astype(np.float64)
    np.fill_diagonal(means, -np.inf)
    while len(groups) > 1:
        one, other = sorted(divmod(int(means.argmax()), len(groups)))
        if means[one, other] < alike:
            break
        sizes = len(groups[one]), len(groups[other])
        joined = np.average(means[[one, other]], axis=0, weights=sizes)
        means[one], means[:, one], means[one, one] = joined, joined, -np.inf
        means = np.delete(np.delete(means, other, axis=0), other, axis=1)
        groups[one] += groups.pop(other)
    found = {member: number for number, group in enumerate(groups) for member in group}
    return [found[member] for member in range(len(vectors))]


def shares(found: list[int]) -> list[float]:
    """For each member, the share of all that its cluster has: 1 if all are alike."""
    counts = Counter(found)
    return [counts[one] / len(found) for one in found]
