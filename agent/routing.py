"""Which weights a question is for: those that were taught, or the untouched ones.

Training costs some of what the base knew. So a question that lies nearer to what people ask of no
document than to what was studied is left to the base: the routing between a main and a side memory
of WISE (Wang et al., NeurIPS 2024), by the sentence embedder instead of by activations. What was
studied are statements and the questions that the model wrote about them: people ask in other words
than documents use. No text is fetched into the prompt; only the weights are chosen. CHANGELOG.md
has the figures.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

import numpy as np

from memory.index import Embed, TextIndex, Vectors
from memory.taught import Taught

_STATED: Final = 0.45  # of a question's nearness to what was stated, under its title, counts for it
_SAID: Final = 0.45  # of that to what was stated, without its title
_ASKED: Final = 0.1  # of that to what was asked
_COMMON: Final = 24  # commonplaces that are looked at: one alone may be near by chance
_AMONG: Final = 0.9  # of a question's mean nearness to those counts against it
_NEAREST: Final = 0.3  # of that to the nearest of them
_LEAST: Final = 0.02  # the least sum from which the taught weights answer


class Router:
    """Compares questions with what the served generation was taught. Threads may share it."""

    def __init__(
        self, open_index: Callable[[str], TextIndex], embed: Embed, common: Sequence[str]
    ) -> None:
        """`open_index` opens the index of a name; `common` is what people ask of no document."""
        names = ("common", "studied", "said", "asked")
        self._common, self._stated, self._said, self._asked = map(open_index, names)
        self._embed = embed
        self._commonplaces = common

    def refresh(self, studied: Taught, save: bool) -> None:
        """Take this as what was studied; see TextIndex.refresh()."""
        for index, texts in (
            (self._common, self._commonplaces),
            (self._stated, studied.statements),
            (self._said, studied.sentences),
            (self._asked, studied.questions),
        ):
            index.refresh({_key(text): text for text in texts}, save)

    def is_studied(self, questions: Sequence[str]) -> bool:
        """Whether any of them is rather about what was studied than about what is common."""
        vectors = self._embed(questions)
        common = _near(self._common, vectors, _COMMON)
        sums = (
            _STATED * _near(self._stated, vectors, 1)[:, 0]
            + _SAID * _near(self._said, vectors, 1)[:, 0]
            + _ASKED * _near(self._asked, vectors, 1)[:, 0]
            - _AMONG * common.mean(axis=1)
            - _NEAREST * common[:, 0]
        )
        return bool(sums.max() >= _LEAST)


def _near(index: TextIndex, vectors: Vectors, k: int) -> Vectors:
    """The cosines of each vector to its k nearest texts [vectors, k], or to all of fewer; 0 where
    there are none."""
    found = index.search(vectors, k)
    return np.array([[near for _, near in row] or [0.0] for row in found], np.float32)


def _key(text: str) -> int:
    """A number for the index: the same text has the same one."""
    return int.from_bytes(sha256(text.encode()).digest()[:7])
