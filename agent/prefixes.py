"""How prompts began before: the keys and values of what was read lately need not be computed again.

A chat that goes on begins with all that was said in it; every chat begins with the template's head
and the system's message.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from torch import Tensor

from agent.shelves import Row

TOKENS: Final = 2048  # that are remembered at most: 94 MB for a 135M model in float32
WORTH: Final = 8  # tokens that make it worth while to copy


class Prefixes:
    """The sequences that ended last, newest last, each with its keys and values."""

    def __init__(self, most: int = TOKENS) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()

    def remember(self, row: Row) -> None:
        """Keep a copy of a row that ends; what it goes on from, and what is too old, is dropped."""
        tokens = tuple(row.tokens)
        if row.shelf is None or not WORTH <= len(tokens) <= self._most:
            return
        for known in [one for one in self._kept if tokens[: len(one)] == one]:
            del self._kept[known]
        self._kept[tokens] = row.kept().clone()
        while sum(map(len, self._kept)) > self._most:
            self._kept.popitem(last=False)

    def recall(self, prompt: Sequence[int]) -> tuple[int, Tensor | None]:
        """How many of a prompt's first tokens are known, and the keys and values that begin with
        them. The last token is never among them: it gives the first logits."""
        best, found, beginning = 0, None, prompt[:-1]
        for tokens in self._kept:
            shared = common(tokens, beginning)
            if shared > best:
                best, found = shared, tokens
        if found is None or best < WORTH:
            return 0, None
        self._kept.move_to_end(found)
        return best, self._kept[found]


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens that two sequences begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
