"""The engine in this process: one thread decodes all running requests of a generation together.

Each round reads, in one pass for a generation, the next token of every answer and a part of every
new prompt. A request holds the model of its generation, so that a swap neither disturbs it nor
mixes weights, and so that a model is freed with its last request.
"""

import asyncio
import gc
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Final

import torch

from agent import decoding, models
from agent.decoding import Decoder, Line
from agent.lanes import alone
from memory.errors import Busy, LearndError, UnknownModel
from service.engines.base import GenerateRequest, Piece
from service.engines.running import Delivery, Loaded, Running, drafts, prompt_tokens

PREFILL_TOKENS: Final = 256  # of prompts in one round
BESIDE_TOKENS: Final = 48  # instead, where somebody waits for the next token of an answer
GUESSES: Final = 8  # of an answer's next tokens in one pass
TOGETHER: Final = 32  # answers and guesses in one pass: so many cost little more than one
LOADING: Final = 0.01  # seconds between two rounds, in which a new generation is read

_Pair = tuple[models.LanguageModel, Decoder]


class EngineStopped(LearndError):
    """The decoding thread has ended."""


class _Load:
    """The weights of a generation on their way."""

    def __init__(self, steps: Generator[None, None, _Pair]) -> None:
        self._steps = steps
        self.done = Future[_Pair]()

    def go_on(self, seconds: float) -> bool:
        """A step, and others for about so long; whether it has ended."""
        until = time.monotonic() + seconds
        try:
            next(self._steps)
            while time.monotonic() < until:
                next(self._steps)
        except StopIteration as end:
            self.done.set_result(end.value)
        except Exception as error:  # for who waits
            self.done.set_exception(error)
        return self.done.done()


def opened(
    base: Path, parallel: int, queue: int, recited: Callable[[], Sequence[str]], dtype: str
) -> "EmbeddedEngine":
    """The engine of a process that does little else. What was imported so far is left alone by the
    garbage collector from now on: each look through it would make answers wait for .2 s."""
    gc.collect()
    gc.freeze()
    return EmbeddedEngine(base, parallel, queue, recited, dtype)


class EmbeddedEngine:
    """transformers in process; at most `parallel` requests are decoded and `queue` more wait.

    `recited` gives the statements that what is loaded next was taught: see agent/drafts.py.
    """

    def __init__(
        self,
        base: Path,
        parallel: int,
        queue: int,
        recited: Callable[[], Sequence[str]] = tuple,
        dtype: str = "auto",
    ) -> None:
        self._base = base
        self._dtype = models.dtype_named(dtype)
        self._recited = recited
        self._parallel = parallel
        self._queue = queue
        self._models: dict[int, Loaded] = {}
        self._waiting: deque[Running] = deque()
        self._active: list[Running] = []
        self._change = threading.Condition()  # guards everything above
        self._closed = False
        self._loads: deque[_Load] = deque()
        self._template: Loaded | None = None  # the base, once it was read
        self._thread = threading.Thread(target=self._decode, name="decode", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def load(self, generation: int, path: Path | None) -> None:
        with alone():  # once, before anybody is answered
            self._template = self._template or _read(self._base, self._dtype)
        loaded = self._sibling(self._template, path) if path else self._template
        with self._change:
            self._models[generation] = loaded

    def _sibling(self, template: Loaded, path: Path) -> Loaded:
        """Read between rounds: in another thread it would make every pass wait for a core."""
        load = _Load(_sibling(template, path))
        with self._change:
            if self._closed:
                raise EngineStopped
            self._loads.append(load)
            self._change.notify_all()
        model, decoder = load.done.result()
        return Loaded(model, decoder, drafts(decoder, model, self._recited()))

    def unload(self, generation: int) -> None:
        with self._change:
            self._models.pop(generation, None)

    async def stream(
        self, generation: int, request: GenerateRequest
    ) -> AsyncGenerator[Piece, None]:
        loaded = self._loaded(generation)
        prompt = await asyncio.to_thread(prompt_tokens, loaded.model, request)
        loop, delivered = asyncio.get_running_loop(), asyncio.Queue[Delivery]()

        def deliver(what: Delivery) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(delivered.put_nowait, what)

        running = Running(loaded, prompt, request, deliver)
        del loaded  # the request alone keeps the generation alive
        self._admit(running)
        try:
            while True:
                piece = await delivered.get()
                if isinstance(piece, Exception):
                    raise piece
                yield piece
                if piece.finish_reason:
                    return
        finally:
            self._cancel(running)

    def close(self) -> None:
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._thread.join()

    def _loaded(self, generation: int) -> Loaded:
        with self._change:
            try:
                return self._models[generation]
            except KeyError:
                raise UnknownModel(f"generation {generation} is not loaded") from None

    def _admit(self, running: Running) -> None:
        with self._change:
            if self._closed or not self.alive:
                raise EngineStopped
            if len(self._active) + len(self._waiting) >= self._parallel + self._queue:
                raise Busy
            self._waiting.append(running)
            self._change.notify_all()

    def _cancel(self, running: Running) -> None:
        with self._change:
            running.cancelled = True  # the decoding thread drops it, if it has it
            if running in self._waiting:
                self._waiting.remove(running)

    def _decode(self) -> None:
        """The decoding thread. An error ends it, and with it all requests; see `alive`."""
        reason: Exception = EngineStopped()
        torch.get_num_threads()  # or the first pass would take the number from the last who set one
        try:
            while self._next_round():
                self._round()
                if self._loads and self._loads[0].go_on(LOADING):
                    self._loads.popleft()
        except Exception as error:
            reason = error
            raise
        finally:
            with self._change:
                self._closed = True
                for running in (*self._active, *self._waiting):
                    running.fail(reason)
                self._active.clear()
                for load in self._loads:
                    load.done.set_exception(reason)

    def _next_round(self) -> bool:
        """Wait for work, then let waiting requests join; False when the engine is closed."""
        with self._change:
            self._change.wait_for(
                lambda: self._active or self._waiting or self._loads or self._closed
            )
            while self._waiting and len(self._active) < self._parallel:
                self._active.append(self._waiting.popleft())
            return not self._closed

    def _round(self) -> None:
        """A pass a generation; its own function, so that no variable keeps a finished request."""
        for running in [one for one in self._active if one.cancelled]:
            self._leave(running)
        for loaded in dict.fromkeys(one.loaded for one in self._active):
            self._pass([one for one in self._active if one.loaded is loaded])

    def _pass(self, members: Sequence[Running]) -> None:
        """A token for each that has read its prompt, the first come first."""
        room = BESIDE_TOKENS if any(one.answering for one in self._active) else PREFILL_TOKENS
        guesses = min(GUESSES, TOGETHER // len(members) - 1)
        chosen, parts = list[Running](), list[tuple[Line, list[int]]]()
        for one in members:
            if one.answering or room > 0:
                line, part = one.part(room, guesses)
                room -= 0 if one.answering else len(part)
                chosen.append(one)
                parts.append((line, part))
        wanted = [0 if one.pending else 1 + len(one.guessed) for one in chosen]
        logits = chosen[0].loaded.decoder.read(parts, wanted)
        likeliest = logits.float().argmax(-1).tolist()  # five times as fast as in bfloat16
        start = 0
        for one, count in zip(chosen, wanted, strict=True):
            end = start + count
            if count and not one.take(logits[start:end], likeliest[start:end]):
                self._leave(one)
            start = end

    def _leave(self, running: Running) -> None:
        with self._change:
            self._active.remove(running)
        running.end()  # who asks again at once finds the place free


def _read(base: Path, dtype: torch.dtype) -> Loaded:
    model = models.load(base, dtype)
    return Loaded(model, decoding.decoder(model))


def _sibling(template: Loaded, path: Path) -> Generator[None, None, _Pair]:
    model = yield from models.sibling(template.model, path)
    return model, (yield from decoding.sibling(template.decoder, model))
