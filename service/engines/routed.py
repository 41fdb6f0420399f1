"""An engine that leaves to the untouched base what lies far from all that was studied.

A generation is then its adapter and the base together: the number that an answer carries is the
same whichever weights gave it.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Final, Protocol

from agent.endpoint import Endpoint
from service.engines.base import Engine, GenerateRequest, Piece, Remote

_BASE: Final = -1  # the number of the base that is kept beside every generation
_LAST_CHARACTERS: Final = 600  # of a raw prompt or a message: what it ends with is what it is about


class Routes(Protocol):
    """Says whether any of the questions is about what was studied; may be slow."""

    def __call__(self, questions: list[str]) -> bool: ...


class RoutedEngine:
    """Passes everything on to another engine."""

    def __init__(
        self,
        engine: Engine,
        open_routes: Callable[[], Routes],
        is_routed: Callable[[int], bool] = lambda generation: True,
    ) -> None:
        self._engine = engine
        self._open_routes = open_routes  # for what the head was taught now
        self._is_routed = is_routed  # not what knows a task: whoever asks it means the task
        self._routes: Routes | None = None
        self._taught: set[int] = set()  # generations with weights of their own

    def load(self, generation: int, path: Path | None) -> None:
        if path is not None and self._is_routed(generation):
            if self._routes is None:
                self._engine.load(_BASE, None)
            self._routes = self._open_routes()
            self._taught.add(generation)
        self._engine.load(generation, path)

    def unload(self, generation: int) -> None:
        self._taught.discard(generation)
        self._engine.unload(generation)

    async def stream(
        self, generation: int, request: GenerateRequest
    ) -> AsyncGenerator[Piece, None]:
        chosen = generation
        if generation in self._taught and not await asyncio.to_thread(self._is_studied, request):
            chosen = _BASE
        async with aclosing(self._engine.stream(chosen, request)) as pieces:
            async for piece in pieces:
                yield piece

    def _is_studied(self, request: GenerateRequest) -> bool:
        """A chat stays with the documents once it was about them: "and how deep is it?"."""
        assert self._routes is not None, "a taught generation is loaded"
        questions = [text[-_LAST_CHARACTERS:] for text in _asked(request) if text.strip()]
        return not questions or self._routes(questions)

    @property
    def alive(self) -> bool:
        return self._engine.alive

    @property
    def waiting(self) -> int:
        return self._engine.waiting

    @property
    def fault(self) -> str | None:
        return self._engine.fault if isinstance(self._engine, Remote) else None

    def endpoint(self) -> Endpoint | None:
        return self._engine.endpoint() if isinstance(self._engine, Remote) else None

    def close(self) -> None:
        self._engine.close()


def _asked(request: GenerateRequest) -> list[str]:
    """What the user wrote."""
    if isinstance(request.prompt, str):
        return [request.prompt]
    return [turn.content for turn in request.prompt if turn.role == "user"]
