"""Which weights a question is for: those that were taught, or the untouched ones.

Training costs some of what the base knew. So a question that lies nearer to what everybody knows
than to what was studied is left to the base: the routing between a main and a side memory of WISE
(Wang et al., NeurIPS 2024), by the sentence embedder instead of by activations. No text is fetched
into the prompt; only the weights are chosen. CHANGELOG.md has the figures.
"""

from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Final

from agent import general
from memory.index import Embed, TextIndex

_COMMON: Final = 0.3  # of a question's nearness to general questions counts against it
_LEAST: Final = 0.25  # nearness that is left, from which the taught weights answer


class Router:
    """Compares questions with what the served generation was taught. Threads may share it."""

    def __init__(self, index: TextIndex, embed: Embed) -> None:
        self._index = index
        self._embed = embed
        self._general = embed(general.everything())  # [texts, dimension]

    def refresh(self, studied: Collection[str], save: bool) -> None:
        """Take these as what was studied; see TextIndex.refresh()."""
        self._index.refresh({_key(text): text for text in studied}, save)

    def is_studied(self, questions: Sequence[str]) -> bool:
        """Whether any of them is about what was studied."""
        vectors = self._embed(questions)
        common = (vectors @ self._general.T).max(axis=1)
        found = self._index.search(vectors, 1)
        return any(
            row[0][1] - _COMMON * known >= _LEAST
            for row, known in zip(found, common, strict=True)
            if row
        )


def _key(text: str) -> int:
    """A number for the index: the same text has the same one."""
    return int.from_bytes(sha256(text.encode()).digest()[:7])
