"""DaaR (Ling et al., NeurIPS 2025): diversity as the reward, without labels.

What was trusted falls into pseudo-domains, clusters of its embeddings; a probe, here a softmax over
their centroids, tells how sure it is of each one's domain. The least sure ones are kept, out of
every cluster the same share: high entropy alone would pick what lies between all domains, which is
often junk. Simple form: the paper trains the probe, and a network that predicts its entropy.

Control: `at_random`, as many drawn evenly. Most published selectors lose to it.
"""

import random
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memory.records import Health
from policies.base import Candidate, Policy, Scored, Tools

Vectors = NDArray[np.float32]  # [n, dimension], of length one
KEPT: Final = 0.7  # share of the study items; the paper keeps a fifth of a pool without end
_SHARPNESS: Final = 0.1  # temperature of the probe, in cosines
_ROUNDS: Final = 25  # of k-means, at most
_LEAST: Final = 8  # fewer are all kept: there is nothing to choose from


class DiversitySelector(Policy):
    name = "daar"
    role = "keeps the study items that a probe of pseudo-domains is least sure of, in each domain"
    control = "as many at random"

    def __init__(self, choose: Callable[[Vectors, int, int], list[int]] | None = None) -> None:
        self._choose = choose or diverse
        self._health = Health(abstained="there was nothing to choose from")

    def controlled(self) -> Policy:
        return DiversitySelector(at_random)

    def select(self, trusted: Scored, tools: Tools, seed: int) -> Scored:
        """The most diverse questions that were written; what is of another kind stays."""
        pool = [one for one in trusted if one.kind == "qa"]
        if len(pool) < _LEAST:
            return trusted
        chosen = self._chosen(pool, tools, seed)
        return {one: score for one, score in trusted.items() if one.kind != "qa" or one in chosen}

    def diagnose(self, candidates: Sequence[Candidate], trusted: Scored) -> Health:
        return self._health

    def _chosen(self, pool: Sequence[Candidate], tools: Tools, seed: int) -> set[Candidate]:
        vectors = tools.embed([f"{one.question} {one.statement}" for one in pool])
        domains = pseudo_domains(vectors, seed)
        unsure = entropies(vectors, domains)
        places = self._choose(vectors, round(KEPT * len(pool)), seed)
        kept = np.unique(domains[places])
        self._health = Health(
            entropy=float(unsure[places].mean()),
            coverage=len(kept) / len(np.unique(domains)),
            figures={"domains": len(np.unique(domains)), "entropy_of_all": float(unsure.mean())},
        )
        return {pool[place] for place in places}


def diverse(vectors: Vectors, count: int, seed: int) -> list[int]:
    """Places of so many of the vectors [n, dimension], in order: of each pseudo-domain its share,
    at least one while there is room, those of the highest entropy first.

    The same vectors and seed give the same places. Also for the draw of a rehearsal.
    Raises ValueError if a vector holds NaN or infinity.
    """
    domains = pseudo_domains(vectors, seed)
    order = np.argsort(-entropies(vectors, domains), kind="stable")
    ranked = [order[domains[order] == name] for name in np.unique(domains)]
    turns = [
        (turn > 0, (turn + 0.5) / len(group) if turn else -len(group), int(one))
        for group in ranked
        for turn, one in enumerate(group)
    ]
    return sorted(one for *_, one in sorted(turns)[:count])


def at_random(vectors: Vectors, count: int, seed: int) -> list[int]:
    """The control of diverse(): so many places, all alike likely."""
    return sorted(random.Random(seed).sample(range(len(vectors)), min(count, len(vectors))))


def pseudo_domains(vectors: Vectors, seed: int) -> NDArray[np.int64]:
    """The cluster of each vector (k-means from k-means++ seeds), about sqrt(n / 2) of them.

    Raises ValueError if a vector holds NaN or infinity.
    """
    if not np.isfinite(vectors).all():
        raise ValueError("embeddings hold NaN or infinity")
    centres = _seeds(vectors, max(1, round((len(vectors) / 2) ** 0.5)), random.Random(seed))
    nearest = np.zeros(len(vectors), np.int64)
    for _ in range(_ROUNDS if len(vectors) else 0):
        before, nearest = nearest, _distances(vectors, centres).argmin(1)
        for name in np.unique(nearest):
            centres[name] = vectors[nearest == name].mean(0)
        if (before == nearest).all():
            break
    return nearest


def entropies(
    vectors: Vectors, domains: NDArray[np.int64], sharpness: float = _SHARPNESS
) -> NDArray[np.float64]:
    """How unsure a softmax over the centroids is of each vector's domain, in nats [n]."""
    if not len(vectors):
        return np.zeros(0)
    centroids = np.stack([vectors[domains == name].mean(0) for name in np.unique(domains)])
    centroids /= np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-12)
    scaled = (vectors @ centroids.T).astype(np.float64) / sharpness
    log_odds = scaled - scaled.max(1, keepdims=True)
    log_odds -= np.log(np.exp(log_odds).sum(1, keepdims=True))
    return np.asarray(-(np.exp(log_odds) * log_odds).sum(1), np.float64)


def _seeds(vectors: Vectors, count: int, chance: random.Random) -> Vectors:
    """Vectors that lie apart: each drawn by its squared distance from those before it."""
    if not len(vectors):
        return vectors
    chosen = [chance.randrange(len(vectors))]
    while len(chosen) < count:
        far = _distances(vectors, vectors[chosen]).min(1)
        if not far.sum() > 0:
            break  # all others are the same as one of them
        chosen.append(chance.choices(range(len(vectors)), far.tolist())[0])
    return vectors[chosen].copy()


def _distances(one: Vectors, other: Vectors) -> NDArray[np.float64]:
    """Squared, [one, other]."""
    exact, others = one.astype(np.float64), other.astype(np.float64)
    squares = (exact**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * exact @ others.T
    return np.asarray(np.maximum(squares, 0), np.float64)
