"""What rewards are worth: measured before anybody climbs them.

By SEAL's own files (methods of Zweiger et al. 2025) chance in training decides as much as the
self-edit does, so everything is rewarded more than once, and the share that is not chance is told.
"""

import numpy as np
from numpy.typing import NDArray


def judged(rewards: NDArray[np.float64]) -> dict[str, float]:
    """What rewards [edits, passages, trainings] are worth; at least two edits and two trainings.

    reliability: share of the variance between the mean rewards of a passage's self-edits that is
    theirs and not of chance in training; 0 if chance explains it all, or a reward is not finite.
    gain: of the self-edit that is best by all trainings but the last, over the mean, by the last.
    """
    if not np.isfinite(rewards).all():
        return {"reliability": 0.0, "reward": 0.0, "gain": 0.0}
    trainings = rewards.shape[2]
    of_chance = float(rewards.var(axis=2, ddof=1).mean()) / trainings
    between = float(rewards.mean(axis=2).var(axis=0, ddof=1).mean())
    chosen = rewards[:, :, :-1].mean(axis=2).argmax(axis=0)
    last = rewards[:, :, -1]
    gain = np.take_along_axis(last, chosen[None], axis=0)[0] - last.mean(axis=0)
    return {
        "reliability": max(0.0, 1 - of_chance / between) if between else 0.0,
        "reward": float(rewards.mean()),
        "gain": float(gain.mean()),
    }
