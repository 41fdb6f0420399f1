"""A service on fakes, and a real server around any application."""

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from memory.records import Generation
from memory.store import Store
from memory.testing import memory_store
from service.config import Config, load
from service.engines.base import Engine, GenerateRequest, Piece
from service.http import Service
from service.learner import Activity
from service.metrics import Metrics
from service.slot import Slot


class FakeEngine:
    """Answers "gN gN gN" from generation N, one word a token, and remembers what it was told."""

    def __init__(self) -> None:
        self.loaded: list[int] = []  # now
        self.history: list[tuple[str, int]] = []
        self.requests: list[GenerateRequest] = []
        self.closed_streams = 0
        self.alive = True
        self.waiting = 0
        self.refuse: Exception | None = None  # what stream() raises at once
        self.hold: threading.Event | None = None  # streams wait for it after their first piece

    def load(self, generation: int, path: Path | None) -> None:
        self.history.append(("load", generation))
        self.loaded.append(generation)

    def unload(self, generation: int) -> None:
        self.history.append(("unload", generation))
        self.loaded.remove(generation)

    async def stream(
        self, generation: int, request: GenerateRequest
    ) -> AsyncGenerator[Piece, None]:
        self.requests.append(request)
        if self.refuse is not None:
            raise self.refuse
        assert generation in self.loaded
        words = min(3, request.max_tokens)
        try:
            for number in range(words):
                last = number == words - 1
                yield Piece(f"g{generation} ", 1, 5, "stop" if last else None)
                if self.hold is not None:
                    await asyncio.to_thread(self.hold.wait)
        finally:
            self.closed_streams += 1

    def close(self) -> None:
        self.alive = False


class FakeLearning:
    """A learner that only notes that it was woken."""

    def __init__(self) -> None:
        self.activity = Activity("idle")
        self.alive = True
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


def make_service(
    state: Path,
    engine: Engine | None = None,
    store: Store | None = None,
    locate: Callable[[Generation], Path | None] = lambda generation: None,
    serve: bool = True,
    server: Mapping[str, Any] | None = None,
) -> Service:
    """A service over a store in memory; with serve its head is loaded."""
    settings: Config = load(None, {"state": state, "server": dict(server or {})})
    engine, store = engine or FakeEngine(), store or memory_store()
    metrics = Metrics("test")
    slot = Slot(engine, store, locate, metrics.swapped)
    if serve:
        slot.follow(store.head())
    return Service(settings, store, engine, slot, FakeLearning(), metrics, locate)


@contextmanager
def live(app: ASGIApp) -> Iterator[str]:
    """A real server on a free port; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    settings = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
