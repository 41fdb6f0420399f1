"""Losses over packed examples: several examples in one row, each blind to the others.

On study items cross-entropy; on what the frozen base said itself, forward KL to its most likely
tokens (prompt distillation uses the same top 20), which keeps the rest of its mind in place.

Packing wastes nothing on padding, and logits are computed only where there is a target: a full
[tokens, vocabulary] tensor would cost more than a third of the step on a small model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_LEADING = 3  # targets of an answer that decide what it will be


@dataclass(frozen=True, slots=True)
class Teacher:
    """What another model holds likely at each of N targets: its K best tokens."""

    tokens: Tensor  # [N, K]
    chances: Tensor  # [N, K], each row sums to one


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids; the loss falls on tokens[start:]."""

    tokens: tuple[int, ...]
    start: int  # at least 1: the first token has nothing before it to be predicted from
    teacher: Teacher | None = None  # in place of the bare targets
    states: Tensor | None = None  # [tokens, width], in place of the tokens: see trunk.py
    renumbered: tuple[int, ...] | None = None  # labels of another vocabulary: see shortlist.py

    @property
    def labels(self) -> tuple[int, ...]:
        """What is to be predicted, from tokens[start - 1] on."""
        return self.tokens[self.start :] if self.renumbered is None else self.renumbered

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class Packed:
    """Examples in one row of T tokens with N targets.

    Positions begin again at 0 with each example; that is how the attention mask knows them apart.
    """

    tokens: Tensor  # [1, T]
    positions: Tensor  # [1, T]
    sources: Tensor  # [N], where the logits of each target are read
    targets: Tensor  # [N]
    lengths: list[int]  # targets of each example, in order
    teachers: list[Teacher | None]  # of each example
    states: Tensor | None = None  # [1, T, width]


def pack(examples: Sequence[Example], device: torch.device) -> Packed:
    """Put examples one after the other into one row."""
    tokens: list[int] = []
    positions: list[int] = []
    sources: list[int] = []
    targets: list[int] = []
    for example in examples:
        offset = len(tokens)
        tokens += example.tokens
        positions += range(len(example))
        sources += range(offset + example.start - 1, offset + len(example) - 1)
        targets += example.labels
    return Packed(
        torch.tensor([tokens], device=device),
        torch.tensor([positions], device=device),
        torch.tensor(sources, device=device),
        torch.tensor(targets, device=device),
        [len(example) - example.start for example in examples],
        [example.teacher for example in examples],
        _joined([example.states for example in examples if example.states is not None]),
    )


def _joined(states: Sequence[Tensor]) -> Tensor | None:
    return torch.cat(list(states))[None] if states else None


def target_logits(network: nn.Module, batch: Packed) -> Tensor:
    """Float32 logits [N, vocabulary] of the tokens that have a target."""
    given = {"input_ids": batch.tokens} if batch.states is None else {"inputs_embeds": batch.states}
    output = network(
        **given,
        position_ids=batch.positions,
        logits_to_keep=batch.sources,
        use_cache=False,
    )
    logits: Tensor = output.logits[0]
    return logits.float()


def study_loss(logits: Tensor, batch: Packed, lead: float = 1.0, general: float = 1.0) -> Tensor:
    """Of the batch's logits [N, vocabulary], per target, in nats: cross-entropy; where there is a
    teacher, cross-entropy to its chances, which differs from the forward KL by a constant.

    The first words of a recital decide which sentence it will be; the others follow from them. So
    the first three targets of an answer weigh `lead` times as much as the rest, and what a teacher
    says `general` times.
    """
    logprobs = logits.log_softmax(-1)
    parts = zip(
        torch.split(logprobs, batch.lengths),
        torch.split(batch.targets, batch.lengths),
        batch.teachers,
        strict=True,
    )
    losses = [
        _surprise(chosen, targets, lead)
        if teacher is None
        else general * _divergence(chosen, teacher)
        for chosen, targets, teacher in parts
    ]
    return torch.stack(losses).sum() / len(batch.targets)


def _surprise(logprobs: Tensor, targets: Tensor, lead: float) -> Tensor:
    """Cross-entropy of one example, summed over its targets."""
    each = -logprobs.gather(-1, targets[:, None])[:, 0]
    return each.sum() + (lead - 1) * each[:_LEADING].sum()


def _divergence(logprobs: Tensor, teacher: Teacher) -> Tensor:
    return -(teacher.chances * logprobs.gather(-1, teacher.tokens)).sum()


@torch.no_grad()
def teach(network: nn.Module, batch: Packed, count: int = 20) -> list[Teacher]:
    """What the network holds likely at the targets of each example: its `count` best tokens."""
    logits = target_logits(network, batch)
    values, tokens = logits.topk(min(count, logits.shape[-1]))
    parts = zip(
        torch.split(tokens, batch.lengths),
        torch.split(values.softmax(-1), batch.lengths),
        strict=True,
    )
    return [Teacher(one.clone(), chances.clone()) for one, chances in parts]


@torch.no_grad()
def target_scores(network: nn.Module, batch: Packed) -> list[tuple[float, bool]]:
    """Per example: mean log-probability of its targets (nats), and whether each is the most likely.

    The second is exactly whether greedy decoding would answer with the targets, token by token.
    """
    logits = target_logits(network, batch)
    chosen = logits.log_softmax(-1).gather(-1, batch.targets[:, None])[:, 0]
    hit = logits.argmax(-1) == batch.targets
    parts = zip(torch.split(chosen, batch.lengths), torch.split(hit, batch.lengths), strict=True)
    return [(float(part.mean()), bool(same.all())) for part, same in parts]


def batches(examples: Sequence[Example], tokens: int) -> list[list[Example]]:
    """Cut a sequence of examples, in order, into batches of at most so many tokens each."""
    cut: list[list[Example]] = []
    room = 0
    for example in examples:
        if not cut or len(example) > room:
            cut.append([])
            room = tokens
        cut[-1].append(example)
        room -= len(example)
    return cut
