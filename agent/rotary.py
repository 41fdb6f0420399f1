"""Rotary positions (Su et al. 2021) on [tokens, heads, width]."""

import torch
from torch import Tensor

Turn = tuple[Tensor, Tensor]  # cosine and signed sine, [tokens, 1, width]


def turn(cos: Tensor, sin: Tensor) -> Turn:
    """From the [tokens, width] that transformers gives; the sine gets the sign that its half of a
    head takes."""
    half = sin.shape[-1] // 2
    return cos[:, None], torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)[:, None]


def turned(x: Tensor, turn: Turn) -> Tensor:
    cos, sin = turn
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def turned_back(gradient: Tensor, turn: Turn) -> Tensor:
    """From the gradient of what turned() returned, that of what it took."""
    cos, sin = turn
    return torch.addcmul((gradient * sin).roll(gradient.shape[-1] // 2, -1), gradient, cos)
