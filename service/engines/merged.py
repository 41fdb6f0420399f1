"""The engine over vLLM servers of merged weights: every model has servers of its own.

Weights are never replaced in a running server: a new generation's servers start beside the others,
and go on to be the head only when they answer. A generation that has the weights of one that is
there already, as after a rollback, shares its servers.
"""

import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Final

from agent.endpoint import Endpoint
from memory.errors import BadConfig, LearndError, Unavailable
from service.engines.base import GenerateRequest, Piece
from service.engines.canary import Ask, ask, trusting
from service.engines.fleet import Fleet
from service.engines.managed import DoesNotStart

HALVES: Final = 2  # of the cores, where servers have not all of them
_WEIGHTS: Final = 0  # the only generation of each fleet: what its servers were started with


class MergedEngine:
    """A fleet for each directory of weights that is loaded."""

    def __init__(
        self,
        open_fleet: Callable[[Path | None, int], Fleet],
        canary: Callable[[int, Ask], None] = trusting,
    ) -> None:
        self._open_fleet = open_fleet  # starts servers of these weights, None: the base; on a half
        self._canary = canary  # examines a generation before it is the head; or Unfit
        self._lock = threading.Lock()  # guards what follows; never held while servers start
        self._fleets: dict[Path | None, Fleet] = {}  # that answer
        self._halves: dict[Path | None, int] = {}  # of each of them
        self._weights: dict[int, Path | None] = {}  # of every generation that is loaded
        self._starting: Fleet | None = None  # does not answer yet
        self._ending = ThreadPoolExecutor(1, thread_name_prefix="vllm-end")

    @property
    def alive(self) -> bool:
        return all(fleet.alive for fleet in self._answering())

    @property
    def waiting(self) -> int:
        return sum(fleet.waiting for fleet in self._answering())

    @property
    def fault(self) -> str | None:
        """Why something cannot be answered at present; None: all is well."""
        return next((fleet.fault for fleet in self._answering() if fleet.fault), None)

    def load(self, generation: int, path: Path | None) -> None:
        """Block until servers of these weights answer.

        Raises Unfit, Unavailable; before anything was served also BadConfig, DoesNotStart.
        """
        with self._lock:
            if path in self._fleets:  # from now on no unload of another generation ends it
                self._weights[generation] = path
                return
            half = min(range(HALVES), key=self._load_of)
        fleet = self._started(generation, path, half)
        with self._lock:
            self._fleets[path], self._halves[path] = fleet, half
            self._weights[generation] = path

    def unload(self, generation: int) -> None:
        """Its servers end, unless another generation has the same weights."""
        with self._lock:
            path = self._weights.pop(generation)
            unused = path not in self._weights.values()
            if unused and (fleet := self._fleets.pop(path, None)):  # none: all are closed
                del self._halves[path]
                self._ending.submit(fleet.close)

    async def stream(
        self, generation: int, request: GenerateRequest
    ) -> AsyncGenerator[Piece, None]:
        fleet = self._fleets[self._weights[generation]]
        async with aclosing(fleet.stream(_WEIGHTS, request)) as pieces:
            async for piece in pieces:
                yield piece

    def endpoint(self) -> Endpoint | None:
        """Study items are written by the child: no server holds the adapter for it."""
        return None

    def close(self) -> None:
        with self._lock:
            left, self._fleets = list(self._fleets.values()), {}
        for fleet in [*left, *([self._starting] if self._starting else [])]:
            fleet.close()
        self._ending.shutdown()

    def _answering(self) -> list[Fleet]:
        with self._lock:
            return list(self._fleets.values())

    def _load_of(self, half: int) -> tuple[int, int]:
        """Requests on its servers, and how many fleets those are. The lock is held."""
        there = [fleet for path, fleet in self._fleets.items() if self._halves[path] == half]
        return sum(fleet.requests for fleet in there), len(there)

    def _started(self, generation: int, path: Path | None, half: int) -> Fleet:
        """New servers, which answer, and know what they should."""
        fleet = self._starting = self._open_fleet(path, half)
        try:
            fleet.load(_WEIGHTS, None)
            if path is not None:
                self._canary(generation, partial(ask, partial(fleet.stream, _WEIGHTS)))
        except LearndError as error:
            fleet.close()
            if self._answering() and isinstance(error, BadConfig | DoesNotStart):
                raise Unavailable(str(error)) from error  # no reason to end what answers
            raise
        finally:
            self._starting = None
        return fleet
