"""How likely answers are where many share a prompt: each prompt is read once.

A policy that judges asks for many answers to few prompts: several questions about one passage, one
answer with the text open and closed. Reading the prompt anew for each is most of the work.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from agent.losses import Example
from agent.models import LanguageModel
from agent.padded import left_padded, read_beginnings
from agent.products import packed

_ROWS = 32  # answers at a time: logits are as wide as the vocabulary
_Group = tuple[int, ...]  # examples with the same prompt, by their place


@torch.inference_mode()
def likelihoods(model: LanguageModel, examples: Sequence[Example]) -> list[float]:
    """Mean log-probability of each example's answer, in nats per token, in the order given.

    As train.scores(), but for the last digits: there nothing is shared.
    """
    network: nn.Module = model.network
    network.eval()
    found: dict[int, float] = {}
    with packed(network):
        for groups in _batches(list(_groups(examples))):
            found |= zip(chain(*groups), _batch(model, examples, groups), strict=True)
    return [found[i] for i in range(len(examples))]


def _groups(examples: Sequence[Example]) -> Iterator[_Group]:
    """The shortest prompts first, so that little is padded; a large group in parts."""
    by_prompt: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, one in enumerate(examples):
        by_prompt[one.tokens[: one.start]].append(place)
    for prompt in sorted(by_prompt, key=len):
        members = sorted(by_prompt[prompt], key=lambda place: len(examples[place]))
        yield from (tuple(members[i : i + _ROWS]) for i in range(0, len(members), _ROWS))


def _batches(groups: Sequence[_Group]) -> Iterator[list[_Group]]:
    batch: list[_Group] = []
    for group in groups:
        if batch and sum(map(len, batch)) + len(group) > _ROWS:
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch


def _batch(
    model: LanguageModel, examples: Sequence[Example], groups: Sequence[_Group]
) -> list[float]:
    """In the order of the groups' members. The last token of a prompt is read with the answer: it
    is what the answer's first token is predicted from."""
    rows = [examples[i] for i in chain(*groups)]
    of = torch.tensor([g for g, group in enumerate(groups) for _ in group], device=model.device)
    prompts = [examples[group[0]] for group in groups]
    shared, seen = left_padded([one.tokens[: one.start - 1] for one in prompts], model)
    own, unseen = _right_padded([one.tokens[one.start - 1 : -1] for one in rows], model)
    targets, _ = _right_padded([one.tokens[one.start :] for one in rows], model)
    mask = torch.cat([seen[of], unseen], dim=1)
    logits = model.network(
        input_ids=own,
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0)[:, -own.shape[1] :],
        past_key_values=_read(model, shared, seen, of),
        use_cache=True,
    ).logits
    each = logits.float().log_softmax(-1).gather(-1, targets[..., None])[..., 0] * unseen
    return [float(mean) for mean in each.sum(1) / unseen.sum(1)]


def _read(model: LanguageModel, shared: Tensor, seen: Tensor, of: Tensor) -> DynamicCache:
    """A prompt of one token shares nothing."""
    return read_beginnings(model.network, shared, seen, of) if shared.shape[1] else DynamicCache()


def _right_padded(rows: Sequence[Sequence[int]], model: LanguageModel) -> tuple[Tensor, Tensor]:
    """Token ids and mask [rows, longest]."""
    longest, pad = max(map(len, rows)), model.tokenizer.eos_token_id
    tokens = [[*row, *[pad] * (longest - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return torch.tensor(tokens, device=model.device), torch.tensor(mask, device=model.device)
