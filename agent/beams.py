"""The likeliest beginning of an answer, in place of the likeliest first word.

Greedy decoding begins with the token that most statements share, even where the one that answers
begins otherwise, and what was begun so may be no statement at all. What is recited is likely as a
whole, what is made up is not: a beam search (Sutskever et al. 2014) over the first tokens tells
them apart. Figures in CHANGELOG.md.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from torch import Tensor

from agent.plain import PlainDecoder
from agent.shelves import Row

WIDTH: Final = 4  # beginnings side by side, at most
LENGTH: Final = 12  # tokens after which the likeliest one goes on alone
_LEAST: Final = math.log(0.3)  # as likely as the likeliest, or it is given up


@dataclass(frozen=True, slots=True)
class Beginning:
    """Of an answer; the last of its tokens is not read yet."""

    row: Row
    said: tuple[int, ...] = ()
    score: float = 0.0  # log-probability, nats
    ended: bool = False


class Beams:
    """The likeliest beginnings of one answer, each in a row of its own, of `most` tokens at most.

    The row that is given has read the prompt; one of the rows is left when the search is settled.
    """

    def __init__(
        self, decoder: PlainDecoder, row: Row, ends: Collection[int], most: int = LENGTH
    ) -> None:
        self._decoder = decoder
        self._ends = ends
        self._most = min(most, LENGTH)
        self._found = [Beginning(row)]

    @property
    def parts(self) -> list[tuple[Row, tuple[int, ...]]]:
        """What is to be read next."""
        return [(one.row, one.said[-1:]) for one in self._found if not one.ended]

    def take(self, logits: Tensor) -> bool:
        """Logits [parts, vocabulary], first those after the prompt; False when the likeliest
        beginning is long enough."""
        likeliest = logits.float().log_softmax(-1).topk(WIDTH)
        going = [one for one in self._found if not one.ended]
        grown = [one for one in self._found if one.ended]
        for one, scores, tokens in zip(going, *map(Tensor.tolist, likeliest), strict=True):
            grown += [self._grown(one, *pair) for pair in zip(tokens, scores, strict=True)]
        grown.sort(key=lambda one: one.score, reverse=True)
        kept = [one for one in grown[:WIDTH] if one.score >= grown[0].score + _LEAST]
        self._found = self._apart(kept)
        return not self._found[0].ended and len(self._found[0].said) < self._most

    def settle(self) -> Beginning:
        """The likeliest; the others are forgotten."""
        best, *others = self._found
        for one in others:
            self._decoder.drop(one.row)
        return best

    def _grown(self, one: Beginning, token: int, score: float) -> Beginning:
        said = (*one.said, token)
        return replace(one, said=said, score=one.score + score, ended=token in self._ends)

    def _apart(self, kept: Sequence[Beginning]) -> list[Beginning]:
        """Each in a row of its own: the first goes on in its parent's, the others in copies."""
        used, apart = set[int](), list[Beginning]()
        for one in kept:
            row = self._decoder.fork(one.row) if id(one.row) in used else one.row
            used.add(id(one.row))
            apart.append(replace(one, row=row))
        for one in self._found:
            if id(one.row) not in used:
                self._decoder.drop(one.row)
        return apart
