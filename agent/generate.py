"""Batched generation inside the pipeline: what prompts share is read once, answers stop early.

Prompts about the same passage begin with the same tokens. They are grouped by that beginning; its
keys and values are computed once a group and copied for each prompt of it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from agent.models import LanguageModel

_ROWS = 96  # prompts decoded together
_WORTH = 24  # tokens that prompts must share to be a group


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as tokens, and how long its answer may get."""

    tokens: tuple[int, ...]
    most: int  # new tokens


@dataclass(frozen=True, slots=True)
class _Group:
    """Prompts that begin with the same tokens, by their place in the order given."""

    shared: tuple[int, ...]
    members: tuple[int, ...]


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
    answers: dict[int, str] = {}
    for groups in _batches(_groups(prompts), prompts):
        rows = [i for group in groups for i in group.members]
        texts = _batch(model, network, groups, prompts, temperature)
        answers |= dict(zip(rows, texts, strict=True))
        on_done(len(rows))
    return [answers[i] for i in range(len(prompts))]


def _groups(prompts: Sequence[Asked]) -> list[_Group]:
    """Neighbours in alphabetical order share the most."""
    order = sorted(range(len(prompts)), key=lambda i: prompts[i].tokens)
    groups: list[_Group] = []
    for i in order:
        mine = prompts[i].tokens[:-1]  # the last token is never shared: it gives the first logits
        common = _common(groups[-1].shared, mine) if groups else 0
        if groups and _pays(common, groups[-1]):
            groups[-1] = _Group(mine[:common], (*groups[-1].members, i))
        else:
            groups.append(_Group(mine, (i,)))
    return groups


def _pays(common: int, group: _Group) -> bool:
    """Whether one more member is worth the tokens that the group would no longer share."""
    return common >= max(_WORTH, len(group.shared) // 2) and len(group.members) < _ROWS


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens that two sequences begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _batches(groups: Sequence[_Group], prompts: Sequence[Asked]) -> Iterator[list[_Group]]:
    """Groups of like length together, each batch with at most so many prompts."""

    def size(group: _Group) -> tuple[int, int]:
        return max(prompts[i].most for i in group.members), len(group.shared)

    batch: list[_Group] = []
    for group in sorted(groups, key=size):
        if sum(len(one.members) for one in [*batch, group]) > _ROWS:
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch


def _batch(
    model: LanguageModel,
    network: nn.Module,
    groups: Sequence[_Group],
    prompts: Sequence[Asked],
    temperature: float,
) -> list[str]:
    """Answers in the order of the groups' members."""
    shared, seen = _left_padded([group.shared for group in groups], model)
    own, unseen = _left_padded(
        [prompts[i].tokens[len(group.shared) :] for group in groups for i in group.members], model
    )
    of = torch.tensor([g for g, group in enumerate(groups) for _ in group.members])
    of = of.to(model.device)
    tokens = torch.cat([shared[of], own], dim=1)
    sampling: dict[str, Any] = (
        {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
    )
    output = network.generate(  # type: ignore[operator]
        input_ids=tokens,
        attention_mask=torch.cat([seen[of], unseen], dim=1),
        past_key_values=_read(network, shared, seen, of),
        max_new_tokens=max(prompts[i].most for group in groups for i in group.members),
        pad_token_id=model.tokenizer.eos_token_id,
        **sampling,
    )
    decoded = model.tokenizer.batch_decode(output[:, tokens.shape[1] :], skip_special_tokens=True)
    return [str(text).strip() for text in decoded]


def _read(network: nn.Module, tokens: Tensor, mask: Tensor, of: Tensor) -> DynamicCache:
    """Keys and values of each group's beginning, once for every row of `of`."""
    cache = DynamicCache()
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    network(
        input_ids=tokens,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    cache.batch_select_indices(of)
    return cache


def _left_padded(rows: Sequence[Sequence[int]], model: LanguageModel) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask [rows, longest]."""
    longest = max(map(len, rows))
    pad = model.tokenizer.eos_token_id
    tokens = [[pad] * (longest - len(row)) + list(row) for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(tokens, device=model.device), torch.tensor(mask, device=model.device)
