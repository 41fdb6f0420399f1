"""The engine in this process: one thread decodes all running requests of a generation together.

Each round reads, in one pass for a generation, the next token of every answer and a part of every
new prompt. A request holds the model of its generation, so that a swap neither disturbs it nor
mixes weights, and so that a model is freed with its last request.
"""

import asyncio
import gc
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from agent import models
from agent.decoding import Decoder, Line, decoder
from agent.lanes import alone
from memory.errors import Busy, LearndError, PromptTooLong, UnknownModel
from service.engines.base import FinishReason, GenerateRequest, Piece
from service.engines.text import TextStream

PREFILL_TOKENS: Final = 256  # of prompts in one round
BESIDE_TOKENS: Final = 48  # instead, where somebody waits for the next token of an answer
Delivery = Piece | Exception  # what the decoding thread hands to a request


class EngineStopped(LearndError):
    """The decoding thread has ended."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class _Loaded:
    """A generation's weights and what decodes with them."""

    model: models.LanguageModel
    decoder: Decoder


class _Running:
    """One request on its way: its model, sampler and the way back to its event loop."""

    def __init__(
        self,
        loaded: _Loaded,
        prompt: list[int],
        request: GenerateRequest,
        deliver: Callable[[Delivery], None],
    ) -> None:
        model = loaded.model
        self.cancelled = False
        self.loaded = loaded
        self.request = request
        self.line: Line | None = None  # from the first round on
        self.pending = prompt  # tokens that the model has not seen
        self.answering = False  # it has its first token
        self._deliver = deliver
        self._prompt_tokens = len(prompt)
        self._room = min(request.max_tokens, model.context - len(prompt))
        self._ends = models.end_tokens(model)
        self.generator = torch.Generator()
        if request.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(request.seed)
        self._text = TextStream(
            lambda tokens: str(model.tokenizer.decode(list(tokens), skip_special_tokens=True)),
            request.stop,
        )
        self._undelivered = 0  # tokens whose text is still held back

    def fail(self, error: Exception) -> None:
        self._deliver(error)

    def part(self, most: int) -> tuple[Line, list[int]]:
        """What is to be read next, a token at least."""
        if self.line is None:
            self.line = self.loaded.decoder.open(self.pending)
            self.pending = self.pending[self.line.seen :]
        part, self.pending = self.pending[: max(1, most)], self.pending[max(1, most) :]
        return self.line, part

    def leave(self) -> None:
        """Give back what the decoder holds for it."""
        if self.line is not None:
            self.loaded.decoder.close(self.line)

    def accept(self, token: int) -> bool:
        """Take the next token; False when the answer is complete."""
        self.answering = True
        self.pending = [token]
        self._room -= 1
        self._undelivered += 1
        text = "" if token in self._ends else self._text.push(token)
        if token in self._ends or self._text.stopped:
            return self._end(text, "stop")
        if self._room <= 0:
            return self._end(text, "length")
        if text:
            self._send(text, None)
        return True

    def _end(self, text: str, reason: FinishReason) -> bool:
        self._send(text + self._text.finish(), reason)
        return False

    def _send(self, text: str, reason: FinishReason | None) -> None:
        self._deliver(Piece(text, self._undelivered, self._prompt_tokens, reason))
        self._undelivered = 0


def opened(base: Path, parallel: int, queue: int) -> "EmbeddedEngine":
    """The engine of a process that does little else. What was imported so far is left alone by the
    garbage collector from now on: each look through it would make answers wait for .2 s."""
    gc.collect()
    gc.freeze()
    return EmbeddedEngine(base, parallel, queue)


class EmbeddedEngine:
    """transformers in process; at most `parallel` requests are decoded and `queue` more wait."""

    def __init__(self, base: Path, parallel: int, queue: int) -> None:
        self._base = base
        self._parallel = parallel
        self._queue = queue
        self._models: dict[int, _Loaded] = {}
        self._waiting: deque[_Running] = deque()
        self._active: list[_Running] = []
        self._change = threading.Condition()  # guards everything above
        self._closed = False
        self._loading = 0  # generations
        self._used = self._cores = torch.get_num_threads()
        self._template: models.LanguageModel | None = None  # the base, once it was read
        self._thread = threading.Thread(target=self._decode, name="decode", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def load(self, generation: int, path: Path | None) -> None:
        with self._change:
            self._loading += 1
            # the pass that runs has all cores; from the next on one is left
            self._change.wait_for(lambda: not self._active or self._used == self._left())
        try:
            with alone():
                loaded = self._read(path)
        finally:
            with self._change:
                self._loading -= 1
        with self._change:
            self._models[generation] = loaded

    def _read(self, path: Path | None) -> _Loaded:
        self._template = self._template or models.load(self._base)
        model = models.sibling(self._template, path) if path else self._template
        return _Loaded(model, decoder(model))

    def unload(self, generation: int) -> None:
        with self._change:
            self._models.pop(generation, None)

    async def stream(
        self, generation: int, request: GenerateRequest
    ) -> AsyncGenerator[Piece, None]:
        loaded = self._loaded(generation)
        prompt = await asyncio.to_thread(_prompt_tokens, loaded.model, request)
        loop, delivered = asyncio.get_running_loop(), asyncio.Queue[Delivery]()

        def deliver(what: Delivery) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(delivered.put_nowait, what)

        running = _Running(loaded, prompt, request, deliver)
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

    def _loaded(self, generation: int) -> _Loaded:
        with self._change:
            try:
                return self._models[generation]
            except KeyError:
                raise UnknownModel(f"generation {generation} is not loaded") from None

    def _admit(self, running: _Running) -> None:
        with self._change:
            if self._closed or not self.alive:
                raise EngineStopped
            if len(self._active) + len(self._waiting) >= self._parallel + self._queue:
                raise Busy
            self._waiting.append(running)
            self._change.notify_all()

    def _cancel(self, running: _Running) -> None:
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
        except Exception as error:
            reason = error
            raise
        finally:
            with self._change:
                self._closed = True
                for running in (*self._active, *self._waiting):
                    running.fail(reason)
                self._active.clear()
                self._change.notify_all()

    def _next_round(self) -> bool:
        """Wait for work, then let waiting requests join; False when the engine is closed."""
        with self._change:
            self._change.wait_for(lambda: self._active or self._waiting or self._closed)
            while self._waiting and len(self._active) < self._parallel:
                self._active.append(self._waiting.popleft())
            self._used = self._left()
            torch.set_num_threads(self._used)
            self._change.notify_all()
            return not self._closed

    def _left(self) -> int:
        """Cores to decode on. Each load has one of its own: threads that wait for one that has none
        wait in a loop."""
        return max(1, self._cores - self._loading)

    def _round(self) -> None:
        """A pass a generation; its own function, so that no variable keeps a finished request."""
        for running in [one for one in self._active if one.cancelled]:
            self._leave(running)
        for loaded in dict.fromkeys(one.loaded for one in self._active):
            self._pass([one for one in self._active if one.loaded is loaded])

    def _pass(self, members: Sequence[_Running]) -> None:
        """A token for each that has read its prompt, the first come first."""
        most = BESIDE_TOKENS if any(one.answering for one in self._active) else PREFILL_TOKENS
        room = max(1, most * self._used // self._cores)
        chosen, parts = list[_Running](), list[tuple[Line, list[int]]]()
        for one in members:
            if one.answering or room > 0:
                line, part = one.part(room)
                room -= 0 if one.answering else len(part)
                chosen.append(one)
                parts.append((line, part))
        logits = chosen[0].loaded.decoder.read(parts)
        ready = [place for place, one in enumerate(chosen) if not one.pending]
        if ready:
            takers = [chosen[place] for place in ready]
            for one, token in zip(takers, _sample(logits[ready], takers), strict=True):
                if not one.accept(token):
                    self._leave(one)

    def _leave(self, running: _Running) -> None:
        running.leave()
        with self._change:
            self._active.remove(running)


def _prompt_tokens(model: models.LanguageModel, request: GenerateRequest) -> list[int]:
    """Raises PromptTooLong unless at least one token of the context is left for the answer."""
    if isinstance(request.prompt, str):
        tokens = list(model.tokenizer(request.prompt).input_ids)
    else:
        chat = [{"role": turn.role, "content": turn.content} for turn in request.prompt]
        tokens = models.chat_tokens(model.tokenizer, chat)
    if len(tokens) >= model.context:
        raise PromptTooLong(
            f"the prompt has {len(tokens)} tokens; the model's context has {model.context}, "
            "and the answer needs some of them"
        )
    return tokens


def _sample(logits: torch.Tensor, takers: Sequence[_Running]) -> list[int]:
    """Logits [takers, vocabulary] -> a token each."""
    tokens: list[int] = logits.float().argmax(-1).tolist()  # five times as fast as in bfloat16
    for place, one in enumerate(takers):
        if one.request.temperature > 0:
            tokens[place] = _draw(logits[place].float().cpu(), one.request, one.generator)
    return tokens


def _draw(logits: torch.Tensor, request: GenerateRequest, generator: torch.Generator) -> int:
    """Logits [vocabulary] float32 -> token."""
    likeliest = torch.softmax(logits / request.temperature, dim=-1).sort(descending=True)
    shares = likeliest.values
    shares[shares.cumsum(0) - shares > request.top_p] = 0  # the first one always stays
    return int(likeliest.indices[torch.multinomial(shares, 1, generator=generator)])
