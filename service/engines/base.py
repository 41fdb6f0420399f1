"""What an engine is: it holds the models of some generations and streams their answers."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from agent.endpoint import Endpoint

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """What to continue, and how."""

    prompt: str | tuple[Message, ...]  # raw text, or a chat for the model's own template
    max_tokens: int = 256  # fewer if the model's context ends before
    temperature: float = 0.0  # 0: always the likeliest token
    top_p: float = 1.0  # share of the probability mass that sampling draws from
    seed: int | None = None  # None: a fresh one
    stop: tuple[str, ...] = ()  # the answer ends before the first of these


@dataclass(frozen=True, slots=True)
class Piece:
    """The next part of an answer. The last one, and only that, has a finish reason."""

    text: str  # never a part of a character; may be empty in the last piece
    tokens: int  # generated for this piece
    prompt_tokens: int  # of the request, the same in all its pieces
    finish_reason: FinishReason | None = None


class Engine(Protocol):
    """All methods may be called from any thread; stream belongs to an event loop."""

    def load(self, generation: int, path: Path | None) -> None:
        """Block until the generation can answer; None is the base. The caller has verified path:
        merged weights for an engine in this process, an adapter for vLLM."""

    def unload(self, generation: int) -> None:
        """Take no more requests for it; its memory is freed when the last running one ends."""

    def stream(self, generation: int, request: GenerateRequest) -> AsyncGenerator[Piece, None]:
        """Answer, from that generation alone. Closing the iterator cancels the request.

        Raises, before the first piece, Busy, PromptTooLong or Unavailable.
        """

    @property
    def alive(self) -> bool:
        """Whether it still makes progress; False means that the process should end."""

    @property
    def waiting(self) -> int:
        """Requests that were admitted and are not yet decoded."""

    def close(self) -> None:
        """Stop; running requests fail."""


@runtime_checkable
class Remote(Protocol):
    """An engine whose models live in other processes, which may be away for a while."""

    @property
    def fault(self) -> str | None:
        """Why nothing can be answered at present; None: all is well."""

    def endpoint(self) -> Endpoint | None:
        """Where study items are written; None: not here. Raises Unavailable."""
