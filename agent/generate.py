"""Batched generation inside the pipeline: what prompts share is read once, answers stop early.

Prompts about the same passage begin with the same tokens. They are grouped by that beginning; its
keys and values are computed once a group and copied for each prompt of it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from agent.lanes import count, lanes
from agent.models import LanguageModel, end_tokens
from agent.prefixes import common

_ROWS = 112  # prompts decoded at the same time, at most
_FEW = 24  # prompts that all cores decode together: each lane would read all weights for its rows
_WORTH = 24  # tokens that prompts must share to be a group
_CROWDED = 0.9  # share of a batch's rows below which those that are done leave it
_LIKELIEST = 50  # tokens to draw from


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as tokens, and how long its answer may get."""

    tokens: tuple[int, ...]
    most: int  # new tokens


Writer = Callable[
    [LanguageModel, nn.Module, Sequence[Asked], float, int, Callable[[int], None]], list[str]
]  # as generate() below


@dataclass(frozen=True, slots=True)
class _Choice:
    """How a token is chosen: the likeliest at temperature 0, else one of the likeliest 50."""

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


@dataclass(frozen=True, slots=True)
class _Group:
    """Prompts that begin with the same tokens, by their place in the order given."""

    shared: tuple[int, ...]
    members: tuple[int, ...]


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
    answers: dict[int, str] = {}
    workers = count(model.device) if len(prompts) > _FEW else 1
    with lanes(model.device, workers) as pool:
        most = math.ceil(min(_ROWS, len(prompts)) / workers)
        cut = list(_batches(_groups(prompts, most), prompts, most))

        def write(number: int) -> list[str]:
            chance = torch.Generator(model.device).manual_seed(seed + number)
            return _batch(model, network, cut[number], prompts, _Choice(temperature, chance))

        for groups, texts in zip(cut, pool.map(write, range(len(cut))), strict=True):
            rows = [i for group in groups for i in group.members]
            answers |= dict(zip(rows, texts, strict=True))
            on_done(len(rows))
    return [answers[i] for i in range(len(prompts))]


def _groups(prompts: Sequence[Asked], most: int) -> list[_Group]:
    """Of so many members at most; neighbours in alphabetical order share the most."""
    order = sorted(range(len(prompts)), key=lambda i: prompts[i].tokens)
    groups: list[_Group] = []
    for i in order:
        mine = prompts[i].tokens[:-1]  # the last token is never shared: it gives the first logits
        alike = common(groups[-1].shared, mine) if groups else 0
        if groups and len(groups[-1].members) < most and _pays(alike, groups[-1]):
            groups[-1] = _Group(mine[:alike], (*groups[-1].members, i))
        else:
            groups.append(_Group(mine, (i,)))
    return groups


def _pays(alike: int, group: _Group) -> bool:
    """Whether one more member is worth the tokens that the group would no longer share."""
    return alike >= max(_WORTH, len(group.shared) // 2)


def _batches(
    groups: Sequence[_Group], prompts: Sequence[Asked], most: int
) -> Iterator[list[_Group]]:
    """Groups of like length together, each batch with at most so many prompts."""

    def size(group: _Group) -> tuple[int, int]:
        return max(prompts[i].most for i in group.members), len(group.shared)

    batch: list[_Group] = []
    for group in sorted(groups, key=size):
        if batch and sum(len(one.members) for one in [*batch, group]) > most:
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch


@torch.no_grad()
def _batch(
    model: LanguageModel,
    network: nn.Module,
    groups: Sequence[_Group],
    prompts: Sequence[Asked],
    choose: _Choice,
) -> list[str]:
    """Answers in the order of the groups' members."""
    members = [prompts[i] for group in groups for i in group.members]
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
    decoded = model.tokenizer.batch_decode(written, skip_special_tokens=True)
    return [str(text).strip() for text in decoded]


@dataclass(slots=True)
class _Rows:
    """Prompts on their way."""

    tokens: Tensor  # [rows, new], what the network has not seen
    mask: Tensor  # [rows, seen + new]
    cache: DynamicCache

    def step(self, network: nn.Module, choose: _Choice) -> list[int]:
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
    choose: _Choice,
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
