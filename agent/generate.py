"""Batched generation inside the pipeline: what prompts share is read once, answers stop early."""

import math
from collections.abc import Callable, Sequence
from itertools import chain
from threading import Lock
from typing import Final

import torch
from torch import nn

from agent import continuous, decoding, padded
from agent.lanes import count, lanes
from agent.models import LanguageModel, end_tokens
from agent.plain import PlainDecoder
from agent.prompts import Asked, Group, groups
from agent.sampling import Choice

_ROWS: Final = 128  # prompts decoded at the same time, at most
_FEW: Final = (
    24  # prompts that all cores decode together: each lane would read all weights for its rows
)
_ALIKE: Final = 16  # prompts that are admitted together, as they begin alike

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
    workers = count(model.device) if len(prompts) > _FEW else 1
    rows = math.ceil(min(_ROWS, len(prompts)) / workers)
    done = _in_turn(on_done)
    fast = network is model.network and decoding.written_out(model)
    parts = _dealt(prompts, workers) if fast else _cut(prompts, rows)

    def write(number: int) -> dict[int, list[int]]:
        chance = torch.Generator(model.device).manual_seed(seed + number)
        choose, part = Choice(temperature, chance), parts[number]
        if fast:
            ends, decoder = end_tokens(model), PlainDecoder(model)
            return continuous.write(decoder, part, prompts, rows, choose, ends, done)
        written = padded.write(model, network, part, prompts, choose)
        done(len(written))
        return written

    with lanes(model.device, workers) as pool:
        written = dict(
            chain.from_iterable(one.items() for one in pool.map(write, range(len(parts))))
        )
    tokens = [written[i] for i in range(len(prompts))]
    return [text.strip() for text in model.tokenizer.batch_decode(tokens, skip_special_tokens=True)]


def _dealt(prompts: Sequence[Asked], workers: int) -> list[list[Group]]:
    """A share of like length for each worker."""
    found = groups(prompts, _ALIKE)
    return [found[i::workers] for i in range(workers)]


def _cut(prompts: Sequence[Asked], rows: int) -> list[list[Group]]:
    """Batches of so many rows."""
    return list(padded.batches(groups(prompts, rows), prompts, rows))


def _in_turn(report: Callable[[int], None]) -> Callable[[int], None]:
    """For several threads."""
    lock = Lock()

    def reported(prompts: int) -> None:
        with lock:
            report(prompts)

    return reported
