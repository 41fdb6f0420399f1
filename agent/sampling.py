"""How the next token is chosen."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

_LIKELIEST: Final = 50  # tokens to draw from


@dataclass(frozen=True, slots=True)
class Choice:
    """The likeliest token at temperature 0, else one of the likeliest 50."""

    temperature: float
    chance: torch.Generator

    def __call__(self, logits: Tensor) -> Tensor:
        """Logits [rows, vocabulary] -> tokens [rows]."""
        if self.temperature == 0:
            return logits.argmax(-1)
        likeliest = logits.float().topk(min(_LIKELIEST, logits.shape[-1]))
        odds = (likeliest.values / self.temperature).softmax(-1)
        drawn = torch.multinomial(odds, 1, generator=self.chance)
        return likeliest.indices.gather(-1, drawn)[:, 0]
