"""Which weights a question is for: those that were taught, or the untouched ones.

Training costs some of what the base knew. So a question that lies nearer to what everybody knows
than to what was studied is left to the base: the routing between a main and a side memory of WISE
(Wang et al., NeurIPS 2024), by the sentence embedder instead of by activations. What was studied
are statements and the questions that the model wrote about them: people ask in other words than
documents use. No text is fetched into the prompt; only the weights are chosen. CHANGELOG.md has the
figures.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent import general
from memory.index import Embed, TextIndex
from memory.taught import Taught

_STATED: Final = 0.7  # of a question's nearness to what was stated counts for it
_ASKED: Final = 0.3  # and of that to what was asked
_COMMON: Final = 0.5  # of that to general questions counts against it
_LEAST: Final = 0.2  # the least sum from which the taught weights answer
_MOST: Final = 0.25  # the same where that would leave too many questions about the documents
_SAME: Final = 0.999  # cosine of a text and itself
_LEAVE: Final = 0.98  # of general questions that must fall below, however much was studied


class Router:
    """Compares questions with what the served generation was taught. Threads may share it."""

    def __init__(self, statements: TextIndex, questions: TextIndex, embed: Embed) -> None:
        self._statements = statements
        self._questions = questions
        self._embed = embed
        self._general = embed(general.everything())  # [texts, dimension]
        self._bound = _LEAST

    def refresh(self, studied: Taught, save: bool) -> None:
        """Take this as what was studied; see TextIndex.refresh().

        The more was studied, the nearer anything lies to some of it: the bound rises with that.
        """
        self._statements.refresh({_key(text): text for text in studied.statements}, save)
        self._questions.refresh({_key(text): text for text in studied.questions}, save)
        own = self._general @ self._general.T
        others = np.where(own > _SAME, 0, own).max(axis=1)
        sums = self._sums(self._general, others)
        self._bound = min(_MOST, max(_LEAST, float(np.quantile(sums, _LEAVE))))

    def is_studied(self, questions: Sequence[str]) -> bool:
        """Whether any of them is about what was studied."""
        vectors = self._embed(questions)
        common = (vectors @ self._general.T).max(axis=1)
        return bool(self._sums(vectors, common).max() >= self._bound)

    def _sums(
        self, vectors: NDArray[np.float32], common: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """How far each of them [vectors] is about what was studied, not about common things."""
        stated, asked = (_nearest(one, vectors) for one in (self._statements, self._questions))
        sums: NDArray[np.float32] = _STATED * stated + _ASKED * asked - _COMMON * common
        return sums


def _nearest(index: TextIndex, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The highest cosine of each vector [vectors]; 0 where the index is empty."""
    return np.array([row[0][1] if row else 0.0 for row in index.search(vectors, 1)], np.float32)


def _key(text: str) -> int:
    """A number for the index: the same text has the same one."""
    return int.from_bytes(sha256(text.encode()).digest()[:7])
