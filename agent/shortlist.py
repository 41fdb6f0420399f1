"""The head for the tokens that can come up: the whole one is a fifth of a small model's work.

After Jean et al. 2015 ("On Using Very Large Target Vocabulary for Neural Machine Translation"): the
loss is over the tokens that this training wants, those that the base holds likely in its own
answers, and the first of the vocabulary, which are the most frequent ones.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from agent.losses import Example

_FREQUENT = 4096  # tokens from the beginning of the vocabulary


class Shortlist:
    """A choice of the vocabulary; its tokens are numbered anew, from 0."""

    def __init__(self, network: PeftModel, examples: Sequence[Example]) -> None:
        self._network: Any = network.get_base_model()
        self._whole = self._network.get_output_embeddings()  # type: ignore[operator]
        size = self._whole.weight.shape[0]
        wanted = {token for example in examples for token in _named(example)}
        self._tokens = torch.tensor(sorted(wanted | set(range(min(_FREQUENT, size)))))
        self._place = torch.zeros(size, dtype=torch.long)
        self._place[self._tokens] = torch.arange(len(self._tokens))

    def renumber(self, examples: Sequence[Example]) -> list[Example]:
        """The same examples with labels as the short head numbers them."""
        return [self._renumbered(example) for example in examples]

    @contextmanager
    def head(self) -> Iterator[None]:
        """Inside, the network's logits are [tokens, shortlist]."""
        self._network.set_output_embeddings(_rows(self._whole, self._tokens))
        try:
            yield
        finally:
            self._network.set_output_embeddings(self._whole)

    def _renumbered(self, example: Example) -> Example:
        labels = self._place[torch.tensor(example.labels, dtype=torch.long)]
        teacher = example.teacher
        if teacher is not None:
            place = self._place.to(teacher.tokens.device)
            teacher = replace(teacher, tokens=place[teacher.tokens])
        return replace(example, renumbered=tuple(labels.tolist()), teacher=teacher)


def _named(example: Example) -> Iterator[int]:
    """Tokens that the loss of an example speaks of."""
    yield from example.labels
    if example.teacher is not None:
        yield from example.teacher.tokens.flatten().tolist()


def _rows(whole: nn.Linear, tokens: Tensor) -> nn.Linear:
    """The part of a head that gives these tokens' logits; it is not trained."""
    rows = tokens.to(whole.weight.device)
    part = nn.Linear(whole.in_features, len(tokens), bias=whole.bias is not None, device="meta")
    part.weight = nn.Parameter(whole.weight.detach()[rows], requires_grad=False)
    if whole.bias is not None:
        part.bias = nn.Parameter(whole.bias.detach()[rows], requires_grad=False)
    return part
