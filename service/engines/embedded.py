"""The engine in this process: one thread decodes all running requests in turn, a token each.

Every request has its own key-value cache and holds the model of its generation, so that a swap
neither disturbs it nor mixes weights, and so that a model is freed with its last request.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import torch
from transformers import DynamicCache

from agent import models
from memory.errors import Busy, LearndError, PromptTooLong, UnknownModel
from service.engines.base import FinishReason, GenerateRequest, Piece
from service.engines.text import TextStream

PREFILL_TOKENS: Final = 256  # of a prompt in one turn, so that a long one does not hold up the rest
Delivery = Piece | Exception  # what the decoding thread hands to a request


class EngineStopped(LearndError):
    """The decoding thread has ended."""


class _Running:
    """One request on its way: its model, cache, sampler and the way back to its event loop."""

    def __init__(
        self,
        model: models.LanguageModel,
        prompt: list[int],
        request: GenerateRequest,
        deliver: Callable[[Delivery], None],
    ) -> None:
        self.cancelled = False
        self._model = model
        self._request = request
        self._deliver = deliver
        self._prompt_tokens = len(prompt)
        self._pending = prompt  # tokens that the model has not seen
        self._room = min(request.max_tokens, model.context - len(prompt))
        self._cache = DynamicCache(config=model.network.config)
        self._ends = models.end_tokens(model)
        self._generator = torch.Generator()
        if request.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(request.seed)
        self._text = TextStream(
            lambda tokens: str(model.tokenizer.decode(list(tokens), skip_special_tokens=True)),
            request.stop,
        )
        self._undelivered = 0  # tokens whose text is still held back

    def fail(self, error: Exception) -> None:
        self._deliver(error)

    @torch.inference_mode()
    def step(self) -> bool:
        """One turn: a part of the prompt, or one token. False when the answer is complete."""
        part, self._pending = self._pending[:PREFILL_TOKENS], self._pending[PREFILL_TOKENS:]
        output = self._model.network(
            input_ids=torch.tensor([part], device=self._model.device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        if self._pending:
            return True
        token = _sample(output.logits[0, -1].float().cpu(), self._request, self._generator)
        return self._accept(token)

    def _accept(self, token: int) -> bool:
        self._pending = [token]
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


class EmbeddedEngine:
    """transformers in process; at most `parallel` requests are decoded and `queue` more wait."""

    def __init__(self, base: Path, parallel: int, queue: int) -> None:
        self._base = base
        self._parallel = parallel
        self._queue = queue
        self._models: dict[int, models.LanguageModel] = {}
        self._waiting: deque[_Running] = deque()
        self._active: list[_Running] = []
        self._change = threading.Condition()  # guards everything above
        self._closed = False
        self._thread = threading.Thread(target=self._decode, name="decode", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def load(self, generation: int, path: Path | None) -> None:
        model = models.load(path or self._base)
        models.share(model, list(self._models.values()))
        _warm_up(model)
        with self._change:
            self._models[generation] = model

    def unload(self, generation: int) -> None:
        with self._change:
            self._models.pop(generation, None)

    async def stream(
        self, generation: int, request: GenerateRequest
    ) -> AsyncGenerator[Piece, None]:
        model = self._model(generation)
        prompt = await asyncio.to_thread(_prompt_tokens, model, request)
        loop, delivered = asyncio.get_running_loop(), asyncio.Queue[Delivery]()

        def deliver(what: Delivery) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(delivered.put_nowait, what)

        running = _Running(model, prompt, request, deliver)
        del model  # the request alone keeps the generation alive
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
            self._change.notify()
        self._thread.join()

    def _model(self, generation: int) -> models.LanguageModel:
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
            self._change.notify()

    def _cancel(self, running: _Running) -> None:
        with self._change:
            running.cancelled = True  # the decoding thread drops it, if it has it
            if running in self._waiting:
                self._waiting.remove(running)

    def _decode(self) -> None:
        """The decoding thread. An error ends it, and with it all requests; see `alive`."""
        reason: Exception = EngineStopped()
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

    def _next_round(self) -> bool:
        """Wait for work, then let waiting requests join; False when the engine is closed."""
        with self._change:
            self._change.wait_for(lambda: self._active or self._waiting or self._closed)
            while self._waiting and len(self._active) < self._parallel:
                self._active.append(self._waiting.popleft())
            return not self._closed

    def _round(self) -> None:
        """A token for each; its own function, so that no variable keeps a finished request."""
        for running in list(self._active):
            if running.cancelled or not running.step():
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


def _sample(logits: torch.Tensor, request: GenerateRequest, generator: torch.Generator) -> int:
    """Logits [vocabulary] float32 -> token."""
    if request.temperature == 0:
        return int(logits.argmax())
    likeliest = torch.softmax(logits / request.temperature, dim=-1).sort(descending=True)
    shares = likeliest.values
    shares[shares.cumsum(0) - shares > request.top_p] = 0  # the first one always stays
    return int(likeliest.indices[torch.multinomial(shares, 1, generator=generator)])


@torch.inference_mode()
def _warm_up(model: models.LanguageModel) -> None:
    """One forward pass: pages in the weights and chooses the kernels before a user waits."""
    model.network(input_ids=torch.zeros((1, 8), dtype=torch.long, device=model.device))
