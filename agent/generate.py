"""Batched generation inside the pipeline: what prompts share is read once, answers stop early."""

import math
from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import nn

from agent import continuous, decoding, padded
from agent.lanes import count, lanes
from agent.models import LanguageModel, end_tokens
from agent.products import packed
from agent.prompts import Asked, groups
from agent.sampling import Choice

_ROWS: Final = 128  # prompts decoded at the same time, at most
_FEW: Final = 24  # padded prompts that all cores decode together: each lane reads all weights

Writer = Callable[
    [LanguageModel, nn.Module, Sequence[Asked], float, int, Callable[[int], None]], list[str]
]  # as generate() below


def generate(
    model: LanguageModel,
    network: nn.Module,
    prompts: Sequence[Asked],
    temperature: float = 0.0,
    seed: int = 0,
    on_done: Callable[[int], None] = lambda prompts: None,
) -> list[str]:
    """One answer a prompt, in the order given; greedy at temperature 0. `on_done` counts prompts.

    The same seed and prompts give the same answers on the same machine.
    """
    if not prompts:
        return []
    network.eval()
    decoder = decoding.written_out(model) if network is model.network else None
    if decoder:
        choose, found = _choice(model, temperature, seed), groups(prompts, continuous.ALIKE)
        ends = end_tokens(model)
        # in this thread: one more that works on all cores would halve the speed of both (lanes.py)
        written = continuous.write(decoder, found, prompts, _ROWS, choose, ends, on_done)
    else:
        written = _padded(model, network, prompts, temperature, seed, on_done)
    tokens = [written[i] for i in range(len(prompts))]
    return [text.strip() for text in model.tokenizer.batch_decode(tokens, skip_special_tokens=True)]


def _padded(
    model: LanguageModel,
    network: nn.Module,
    prompts: Sequence[Asked],
    temperature: float,
    seed: int,
    on_done: Callable[[int], None],
) -> dict[int, list[int]]:
    """In lanes, a batch at a time."""
    workers = count(model.device) if len(prompts) > _FEW else 1
    rows = math.ceil(min(_ROWS, len(prompts)) / workers)
    cut = list(padded.batches(groups(prompts, rows), prompts, rows))

    def write(number: int) -> dict[int, list[int]]:
        choose = _choice(model, temperature, seed + number)
        return padded.write(model, network, cut[number], prompts, choose)

    written: dict[int, list[int]] = {}
    with packed(network), lanes(model.device, workers) as pool:
        for part in pool.map(write, range(len(cut))):
            written |= part
            on_done(len(part))
    return written


def _choice(model: LanguageModel, temperature: float, seed: int) -> Choice:
    return Choice(temperature, torch.Generator(model.device).manual_seed(seed))
