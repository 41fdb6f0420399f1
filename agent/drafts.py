"""Guesses of how an answer goes on, so that one pass reads several of its tokens.

A taught model recites: after a few tokens of a statement the rest follows word for word; and every
model repeats what it was asked and what it said. What was guessed is read together with the token
before it, and counts only as far as the model says the same: speculative decoding (Leviathan et
al., ICML 2023), with statements and prompt lookup (Saxena 2023) in place of a draft model.
"""

from collections.abc import Iterable, Sequence
from typing import Final

_SEEN: Final = (3, 2)  # tokens of the answer that must stand in a statement, most first


class Drafts:
    """Looks up what follows in statements, given as tokens."""

    def __init__(self, statements: Iterable[Sequence[int]] = ()) -> None:
        self._statements = [tuple(one) for one in statements]
        self._places: dict[tuple[int, ...], tuple[int, int]] = {}  # statement, what follows
        for number, tokens in enumerate(self._statements):
            for size in _SEEN:
                for end in range(size, len(tokens)):
                    self._places[tokens[end - size : end]] = (number, end)

    def after(self, said: Sequence[int], most: int) -> tuple[int, ...]:
        """At most so many tokens that may follow; none where nothing is known."""
        for size in _SEEN:
            if place := self._places.get(tuple(said[-size:])):
                number, end = place
                return self._statements[number][end : end + most]
        return ()


class Echo:
    """What a chat may repeat: itself."""

    def __init__(self, tokens: Iterable[int]) -> None:
        self._tokens = list[int]()
        self._ends: dict[tuple[int, int], int] = {}  # where two tokens in a row ended last
        for token in tokens:
            self.add(token)

    def add(self, token: int) -> None:
        """It goes on. What ends with the newest token is known from the next one on."""
        if len(self._tokens) > 1:
            self._ends[self._tokens[-2], self._tokens[-1]] = len(self._tokens)
        self._tokens.append(token)

    def after(self, most: int) -> tuple[int, ...]:
        """As Drafts.after()."""
        if len(self._tokens) < 2:
            return ()
        end = self._ends.get((self._tokens[-2], self._tokens[-1]), len(self._tokens))
        return tuple(self._tokens[end : end + most])
