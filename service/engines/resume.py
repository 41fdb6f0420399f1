"""An answer that broke off and is begun again on another server of the same generation.

Greedy decoding, and sampling with a seed, give the same text again. So the client sees nothing but
a pause; where the second answer is another one, it gets an error instead of a mixture.
"""

import secrets
from dataclasses import dataclass, replace

from memory.errors import LearndError
from service.engines.base import GenerateRequest, Piece


class Diverged(LearndError):
    """The server that answered ended, and another one would go on differently; ask again."""


def repeatable(request: GenerateRequest) -> GenerateRequest:
    """The request with a seed, so that it can be asked twice."""
    if request.temperature == 0 or request.seed is not None:
        return request
    return replace(request, seed=secrets.randbits(32))


@dataclass(slots=True)
class Told:
    """What the client has of an answer."""

    text: str = ""
    tokens: int = 0
    _again: str = ""  # what the present attempt said
    _again_tokens: int = 0

    def restart(self) -> None:
        """The answer begins once more."""
        self._again, self._again_tokens = "", 0

    def fresh(self, piece: Piece) -> Piece | None:
        """What of the piece the client does not have yet. Raises Diverged."""
        self._again += piece.text
        self._again_tokens += piece.tokens
        shared = min(len(self.text), len(self._again))
        if self._again[:shared] != self.text[:shared]:
            raise Diverged
        if piece.finish_reason is None and len(self._again) <= len(self.text):
            return None
        if len(self._again) < len(self.text):
            raise Diverged
        new = replace(
            piece,
            text=self._again[len(self.text) :],
            tokens=max(0, self._again_tokens - self.tokens),
        )
        self.text, self.tokens = self._again, max(self.tokens, self._again_tokens)
        return new
