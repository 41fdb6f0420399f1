"""Gradients of an adapter on one batch: written out where that is right (backprop.py), else by
autograd."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import torch
from peft import PeftModel
from torch import Tensor

from agent.backprop import WrittenOut, can_train
from agent.losses import Example, Packed, pack, study_loss, target_logits
from agent.settings import TrainSettings

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
    ours = WrittenOut(network)

    def written(batch: Packed) -> tuple[float, tuple[Tensor | None, ...]]:
        return ours.gradients(batch, weights, settings.lead_weight, settings.general_weight)

    batch = pack(sample, weights[0].device)
    found, expected = written(batch)[0], recorded(batch)[0]
    return written if abs(found - expected) <= _EXACT * abs(expected) else recorded


def _recorded(
    network: PeftModel, weights: Sequence[Tensor], settings: TrainSettings, batch: Packed
) -> tuple[float, tuple[Tensor | None, ...]]:
    network.train()
    logits = target_logits(network, batch)
    loss = study_loss(logits, batch, settings.lead_weight, settings.general_weight)
    return loss.item(), torch.autograd.grad(loss, list(weights), allow_unused=True)
