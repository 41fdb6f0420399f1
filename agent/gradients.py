"""Gradients of an adapter on one batch: written out where that is known to be right (upper.py), by
autograd elsewhere."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import torch
from peft import PeftModel
from torch import Tensor

from agent.losses import Example, Packed, pack, study_loss, target_logits
from agent.settings import TrainSettings
from agent.upper import Upper, can_train

Gradients = Callable[[Packed], tuple[float, tuple[Tensor | None, ...]]]  # and the loss, first
_EXACT: Final = 0.02  # of a loss: bfloat16 rounds more than a thousandth


def gradients(
    network: PeftModel,
    weights: Sequence[Tensor],
    settings: TrainSettings,
    sample: Sequence[Example],
) -> Gradients:
    """For the network as it is now, with or without its trunk; one for the whole training.

    The sample, a few examples, shows whether what is written out says the same.
    """
    recorded = partial(_recorded, network, weights, settings)
    if not can_train(network):
        return recorded
    upper = Upper(network)

    def written(batch: Packed) -> tuple[float, tuple[Tensor | None, ...]]:
        return upper.gradients(batch, weights, settings.lead_weight, settings.general_weight)

    batch = pack(sample, weights[0].device)
    ours, theirs = written(batch)[0], recorded(batch)[0]
    return written if abs(ours - theirs) <= _EXACT * abs(theirs) else recorded


def _recorded(
    network: PeftModel, weights: Sequence[Tensor], settings: TrainSettings, batch: Packed
) -> tuple[float, tuple[Tensor | None, ...]]:
    network.train()
    logits = target_logits(network, batch)
    loss = study_loss(logits, batch, settings.lead_weight, settings.general_weight)
    return loss.item(), torch.autograd.grad(loss, list(weights), allow_unused=True)
