"""Whether two ways to the same logits agree: what is written out counts only where it does."""

from typing import Final

import torch
from torch import Tensor

_DIVERGENCE: Final = 0.05  # nats, from which two predictions are not the same


def agree(found: Tensor, expected: Tensor) -> bool:
    """Whether they predict the same but for rounding.

    In bfloat16 logits of the network itself are off by up to 1.2, so what counts is the divergence
    of what is predicted, in nats: .007 at most in trials.
    """
    if expected.dtype == torch.float32:
        return torch.allclose(found, expected, rtol=1e-3, atol=1e-3)
    ours, theirs = found.float().log_softmax(-1), expected.float().log_softmax(-1)
    return float((theirs.exp() * (theirs - ours)).sum(-1).max()) < _DIVERGENCE
