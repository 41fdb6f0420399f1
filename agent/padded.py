"""Decoding for any network that transformers knows: prompts side by side, padded on the left.

The keys and values of what a group of prompts shares are computed once and copied for each of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from agent.models import LanguageModel, end_tokens
from agent.prompts import Asked, Group
from agent.sampling import Choice

_CROWDED: Final = 0.9  # share of a batch's rows below which those that are done leave it


def batches(groups: Sequence[Group], prompts: Sequence[Asked], most: int) -> Iterator[list[Group]]:
    """Groups of like length together, each batch with at most so many prompts."""

    def size(group: Group) -> tuple[int, int]:
        return max(prompts[i].most for i in group.members), len(group.shared)

    batch: list[Group] = []
    for group in sorted(groups, key=size):
        if batch and sum(len(one.members) for one in [*batch, group]) > most:
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch


@torch.no_grad()
def write(
    model: LanguageModel,
    network: nn.Module,
    groups: Sequence[Group],
    prompts: Sequence[Asked],
    choose: Choice,
) -> dict[int, list[int]]:
    """New tokens of each member of the groups."""
    numbers = [i for group in groups for i in group.members]
    members = [prompts[i] for i in numbers]
    of = torch.tensor([g for g, group in enumerate(groups) for _ in group.members])
    of = of.to(model.device)
    shared, seen = left_padded([group.shared for group in groups], model)
    own, unseen = left_padded(
        [prompts[i].tokens[len(group.shared) :] for group in groups for i in group.members], model
    )
    rows = _Rows(
        own, torch.cat([seen[of], unseen], dim=1), read_beginnings(network, shared, seen, of)
    )
    limits = [asked.most for asked in members]
    written = _decode(network, rows, limits, end_tokens(model), choose)
    return dict(zip(numbers, written, strict=True))


@dataclass(slots=True)
class _Rows:
    """Prompts on their way."""

    tokens: Tensor  # [rows, new], what the network has not seen
    mask: Tensor  # [rows, seen + new]
    cache: DynamicCache

    def step(self, network: nn.Module, choose: Choice) -> list[int]:
        """Choose the next token of each row."""
        positions = (self.mask.cumsum(-1) - 1).clamp(min=0)[:, -self.tokens.shape[1] :]
        output = network(
            input_ids=self.tokens,
            attention_mask=self.mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        chosen = choose(output.logits[:, -1])
        self.tokens = chosen[:, None]
        self.mask = torch.cat([self.mask, torch.ones_like(self.tokens)], dim=1)
        return [int(token) for token in chosen]

    def keep(self, places: Sequence[int]) -> None:
        """Go on with these rows alone."""
        kept = torch.tensor(places, device=self.mask.device)
        self.tokens, self.mask = self.tokens[kept], self.mask[kept]
        self.cache.batch_select_indices(kept)


def _decode(
    network: nn.Module,
    rows: _Rows,
    limits: Sequence[int],
    ends: frozenset[int],
    choose: Choice,
) -> list[list[int]]:
    """New tokens of each row, up to its limit or an end token; what is done leaves the batch."""
    written: list[list[int]] = [[] for _ in limits]
    here, unfinished = list(range(len(limits))), set(range(len(limits)))
    while unfinished:
        for row, token in zip(here, rows.step(network, choose), strict=True):
            if token not in ends and row in unfinished:
                written[row].append(token)
            if token in ends or len(written[row]) >= limits[row]:
                unfinished.discard(row)
        if 0 < len(unfinished) < _CROWDED * len(here):
            places = [place for place, row in enumerate(here) if row in unfinished]
            here = [here[place] for place in places]
            rows.keep(places)
    return written


def read_beginnings(network: nn.Module, tokens: Tensor, mask: Tensor, of: Tensor) -> DynamicCache:
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


def left_padded(rows: Sequence[Sequence[int]], model: LanguageModel) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask [rows, longest]."""
    longest = max(map(len, rows))
    pad = model.tokenizer.eos_token_id
    tokens = [[pad] * (longest - len(row)) + list(row) for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(tokens, device=model.device), torch.tensor(mask, device=model.device)
