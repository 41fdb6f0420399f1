"""Batched generation inside the pipeline: sorted by length, stopped early."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agent.models import LanguageModel

_ROWS = 96  # prompts decoded together


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as tokens, and how long its answer may get."""

    tokens: tuple[int, ...]
    most: int  # new tokens


@torch.no_grad()
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
    network.eval()
    torch.manual_seed(seed)
    order = sorted(range(len(prompts)), key=lambda i: (prompts[i].most, len(prompts[i].tokens)))
    answers: dict[int, str] = {}
    for begin in range(0, len(order), _ROWS):
        rows = order[begin : begin + _ROWS]
        texts = _batch(model, network, [prompts[i] for i in rows], temperature)
        answers |= dict(zip(rows, texts, strict=True))
        on_done(len(rows))
    return [answers[i] for i in range(len(prompts))]


def _batch(
    model: LanguageModel, network: nn.Module, prompts: Sequence[Asked], temperature: float
) -> list[str]:
    tokens, mask = _left_padded(prompts, model)
    sampling = {"do_sample": True, "temperature": temperature} if temperature else {}
    output = network.generate(  # type: ignore[operator]
        input_ids=tokens,
        attention_mask=mask,
        max_new_tokens=max(prompt.most for prompt in prompts),
        pad_token_id=model.tokenizer.eos_token_id,
        **(sampling or {"do_sample": False}),
    )
    decoded = model.tokenizer.batch_decode(output[:, tokens.shape[1] :], skip_special_tokens=True)
    return [str(text).strip() for text in decoded]


def _left_padded(prompts: Sequence[Asked], model: LanguageModel) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask [prompts, longest]."""
    longest = max(len(prompt.tokens) for prompt in prompts)
    pad = model.tokenizer.eos_token_id
    tokens = [[pad] * (longest - len(one.tokens)) + list(one.tokens) for one in prompts]
    mask = [[0] * (longest - len(one.tokens)) + [1] * len(one.tokens) for one in prompts]
    return torch.tensor(tokens, device=model.device), torch.tensor(mask, device=model.device)
