"""Guesses of how an answer goes on, so that one pass reads several of its tokens.

A taught model recites: after a few tokens of a statement the rest follows word for word. What was
guessed is read together with the token before it, and counts only as far as the model says the
same: speculative decoding (Leviathan et al., ICML 2023), with the taught statements in place of a
draft model, as in prompt lookup (Saxena 2023).
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
