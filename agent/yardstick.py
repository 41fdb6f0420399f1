"""What serving is measured with: transformers' generate, and generations that differ a little."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from agent import models, train
from agent.settings import TrainSettings

_CHANGE = 1e-3  # of a weight, about; they are about .1
_SPREAD = 0.02  # of an adapter's output half: answers become other ones


def generate(path: Path, prompts: Sequence[str], most: int, together: int) -> tuple[int, float]:
    """Answer so many prompts at a time with model.generate, greedily; returns tokens and seconds.

    Nothing is counted twice: what comes after the end of a shorter answer is no token.
    """
    model = models.load(path)
    tokenizer = model.tokenizer
    tokenizer.padding_side = "left"
    tokens, seconds = 0, 0.0
    for start in range(-together, len(prompts), together):  # the first ones twice: a warm-up
        chats = [models.question_tokens(tokenizer, text) for text in prompts[max(0, start) :]]
        padded = tokenizer.pad({"input_ids": chats[:together]}, return_tensors="pt")
        began = time.monotonic()
        output = model.network.generate(  # type: ignore[operator]
            **padded.to(model.device),
            max_new_tokens=most,
            do_sample=False,
            pad_token_id=tokenizer.eos_token_id,
        )
        if start >= 0:
            seconds += time.monotonic() - began
            new = output[:, padded["input_ids"].shape[1] :].tolist()
            ends = models.end_tokens(model)
            tokens += sum(_length(row, ends) for row in new)
    return tokens, seconds


def _length(row: Sequence[int], ends: frozenset[int]) -> int:
    """Tokens up to the first that ends it, which counts."""
    return next((place + 1 for place, token in enumerate(row) if token in ends), len(row))


@torch.no_grad()
def disturb(base: Path, directory: Path, seed: int) -> None:
    """Write a model whose upper half of the layers is changed a little, as an adapter would."""
    model = models.load(base)
    chance = torch.Generator(model.device).manual_seed(seed)
    layers = model.network.get_decoder().layers  # type: ignore[no-untyped-call]
    for layer in layers[len(layers) // 2 :]:
        for weight in layer.parameters():
            noise = torch.empty_like(weight).normal_(0.0, _CHANGE, generator=chance)
            weight.add_(noise)
    models.save(model, directory)


@torch.no_grad()
def write_adapter(base: Path, directory: Path, seed: int, rank: int) -> Path:
    """Write an adapter as training does, but by chance; returns its directory, which is new."""
    torch.manual_seed(seed)
    network = train.adapted(models.load(base), None, TrainSettings(rank=rank))
    for name, parameter in network.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=_SPREAD)
    directory.mkdir()
    models.save_adapter(network, base.name, directory, torch.float32)
    return directory
