"""Whether a model says by itself what it was taught: how likely that is, and what it says instead.

Where the network is written out both come from one pass and from decoding on where the answer goes
another way; of any other network the likelihoods are read first, and what is in doubt is decoded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from torch import nn

from agent import continuous, decoding
from agent.generate import generate
from agent.losses import Example
from agent.models import LanguageModel, end_tokens
from agent.prompts import Asked, groups
from agent.train import scores

_ROWS: Final = 64  # answers on their way


@dataclass(frozen=True, slots=True)
class Recital:
    """What a model said where something was expected."""

    logprob: float  # mean of the expected tokens, in nats
    exact: bool  # greedy decoding says just what was expected
    text: str  # what it says; not decoded where it is exact and the network is not written out


def recite(model: LanguageModel, examples: Sequence[Example], spare: int) -> list[Recital]:
    """One for each example, whose targets are what is expected; an answer may be so many tokens
    longer."""
    if not examples:
        return []
    asked = [
        Asked(one.tokens[: one.start], len(one.tokens) - one.start + spare) for one in examples
    ]
    network: nn.Module = model.network
    network.eval()
    decoder = decoding.written_out(model)
    if decoder is None:
        return _in_doubt(model, examples, asked)
    expected = [one.labels for one in examples]
    found = continuous.recite(
        decoder, groups(asked, continuous.ALIKE), asked, expected, _ROWS, end_tokens(model)
    )
    texts = model.tokenizer.batch_decode([one.said for one in found], skip_special_tokens=True)
    pairs = zip(found, texts, strict=True)
    return [Recital(one.logprob, one.exact, text.strip()) for one, text in pairs]


def _in_doubt(
    model: LanguageModel, examples: Sequence[Example], asked: Sequence[Asked]
) -> list[Recital]:
    graded = scores(model.network, examples, model.device)
    unsure = [i for i, (_, exact) in enumerate(graded) if not exact]
    texts = generate(model, model.network, [asked[i] for i in unsure])
    said = dict(zip(unsure, texts, strict=True))
    return [Recital(*one, said.get(i, "")) for i, one in enumerate(graded)]
