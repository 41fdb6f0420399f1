"""The pristine base: a child that studies, trains, examines and merges reads it once.

What is borrowed has modules of its own and shares the weights, which nobody may write to; whoever
changes one puts another in its place, as models.merged() does. The last model that was asked for
stays until the child ends, which is when nothing more is to do.
"""

from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from agent import models
from agent.models import LanguageModel


def borrow(path: Path, dtype: torch.dtype | None = None) -> LanguageModel:
    """As models.load()."""
    files = tuple((file.name, file.stat().st_mtime_ns) for file in path.glob("*.safetensors"))
    held = _held(path, dtype or models.preferred_dtype(), files)
    weights = held.network.parameters()
    shared = {id(one): nn.Parameter(one.data, requires_grad=False) for one in weights}
    return replace(held, network=deepcopy(held.network, shared))


@lru_cache(maxsize=1)
def _held(path: Path, dtype: torch.dtype, files: tuple[tuple[str, int], ...]) -> LanguageModel:
    """`files` tell whether it is still what lies there."""
    return models.load(path, dtype)
