"""Decoding many sequences side by side, each at its own place: what the embedded engine runs on.

The decoder of a plain Llama or Qwen2 is written out (plain.py): one pass for all rows. It is used
only where it says what the network says; any other network reads one row after the other.
"""

from collections.abc import Generator, Sequence
from typing import Final, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache

from agent import layers
from agent.agreement import agree
from agent.models import LanguageModel
from agent.plain import PlainDecoder, is_plain

_PROBE: Final = (7, 3, 11, 5, 2, 13, 17, 4)  # tokens on which the two must agree


class Line(Protocol):
    """One sequence on its way, as its decoder keeps it."""

    @property
    def seen(self) -> int:
        """Tokens of it that were read."""


class Decoder(Protocol):
    """Belongs to one thread."""

    def open(self, prompt: Sequence[int]) -> Line:
        """A new sequence. What is known of its beginning counts as seen."""

    def read(
        self, parts: Sequence[tuple[Line, Sequence[int]]], last: Sequence[int] | None = None
    ) -> Tensor:
        """Read the next tokens of each; returns the logits [sum(last), vocabulary] after so many of
        the last tokens of each, one if nothing is said."""

    def rewind(self, line: Line, tokens: int) -> None:
        """Forget so many tokens that were read last."""

    def close(self, line: Line) -> None:
        """It has ended."""


def decoder(model: LanguageModel) -> Decoder:
    """The fastest one that says what the network says."""
    return written_out(model) or NetworkDecoder(model)


def sibling(other: Decoder, model: LanguageModel) -> Generator[None, None, Decoder]:
    """For a sibling of the other's model, in steps: what was found of one holds for both."""
    if not isinstance(other, PlainDecoder):
        return NetworkDecoder(model)
    return PlainDecoder(model, (yield from layers.in_steps(model, other.weights)))


def written_out(model: LanguageModel) -> PlainDecoder | None:
    """One that is written out, if it says what the network says. Reads a few tokens."""
    if not is_plain(model.network):
        return None
    slow, fast = NetworkDecoder(model), PlainDecoder(model)
    expected = slow.read([(slow.open(_PROBE), _PROBE)])
    line = fast.open(_PROBE)
    fast.read([(line, _PROBE[:-1])])
    found = fast.read([(line, _PROBE[-1:])])
    fast.drop(line)
    return fast if agree(found, expected) else None


class _Cached:
    """A sequence with transformers' own cache."""

    def __init__(self, cache: DynamicCache) -> None:
        self.cache = cache
        self.seen = 0


class NetworkDecoder:
    """Any network that transformers knows, a forward pass a sequence."""

    def __init__(self, model: LanguageModel) -> None:
        self._network = model.network

    def open(self, prompt: Sequence[int]) -> _Cached:
        """A new sequence, of which nothing is known."""
        return _Cached(DynamicCache(config=self._network.config))

    @torch.inference_mode()
    def read(
        self, parts: Sequence[tuple[Line, Sequence[int]]], last: Sequence[int] | None = None
    ) -> Tensor:
        """See Decoder."""
        wanted = last or [1] * len(parts)
        found = [
            self._read(line, tokens, n) for (line, tokens), n in zip(parts, wanted, strict=True)
        ]
        return torch.cat(found)

    def rewind(self, line: Line, tokens: int) -> None:
        """See Decoder."""
        assert isinstance(line, _Cached), "opened here"
        line.seen -= tokens
        line.cache.crop(-tokens)

    def close(self, line: Line) -> None:
        """Nothing to give back."""

    def _read(self, line: Line, tokens: Sequence[int], last: int) -> Tensor:
        """Logits [last, vocabulary]."""
        assert isinstance(line, _Cached), "opened here"
        output = self._network(
            input_ids=torch.tensor([list(tokens)], device=self._network.device),
            past_key_values=line.cache,
            use_cache=True,
            logits_to_keep=max(1, last),
        )
        line.seen += len(tokens)
        logits: Tensor = output.logits[0, -last:] if last else output.logits[0, :0]
        return logits
