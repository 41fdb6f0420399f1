"""One request in the embedded engine: its weights, its text, how its tokens are drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from agent import models
from agent.decoding import Decoder, Line
from agent.drafts import Drafts, Echo
from agent.plain import PlainDecoder
from memory.errors import PromptTooLong
from service.engines.base import FinishReason, GenerateRequest, Piece
from service.engines.text import TextStream

Delivery = Piece | Exception  # what the decoding thread hands to a request
ECHOES: Final = 4  # guesses from what was said before: they are right less often
_NO_DRAFTS: Final = Drafts()


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Loaded:
    """A generation's weights and what decodes with them."""

    model: models.LanguageModel
    decoder: Decoder
    drafts: Drafts = _NO_DRAFTS


def drafts(decoder: Decoder, model: models.LanguageModel, statements: Sequence[str]) -> Drafts:
    """Guesses for a model that was taught these. Only where what was wrong can be taken back: a
    sliding window has forgotten what it would need."""
    if not isinstance(decoder, PlainDecoder) or not statements:
        return _NO_DRAFTS
    encoded = model.tokenizer(list(statements), add_special_tokens=False).input_ids
    return Drafts([*one, model.tokenizer.eos_token_id] for one in encoded)


class Running:
    """One request on its way: its model, sampler and the way back to its event loop."""

    def __init__(
        self,
        loaded: Loaded,
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
        self.guessed: tuple[int, ...] = ()  # read after them, in case that they follow
        self.answering = False  # it has its first token
        self._said: list[int] = []
        self._echo = Echo(prompt)
        self._deliver = deliver
        self._prompt_tokens = len(prompt)
        self._room = min(request.max_tokens, model.context - len(prompt))
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
        self._last: Piece | None = None

    def fail(self, error: Exception) -> None:
        self._deliver(error)

    def part(self, most: int, guesses: int) -> tuple[Line, list[int]]:
        """What is to be read next, a token at least; after the last one so many guesses at most."""
        if self.line is None:
            self.line = self.loaded.decoder.open(self.pending)
            self.pending = self.pending[self.line.seen :]
        part, self.pending = self.pending[: max(1, most)], self.pending[max(1, most) :]
        self.guessed = self._guess(min(guesses, self._room - 1)) if self.answering else ()
        return self.line, [*part, *self.guessed]

    def _guess(self, most: int) -> tuple[int, ...]:
        """From what was taught; else, where passes are small, from what was said before."""
        if most <= 0:
            return ()
        taught = self.loaded.drafts.after(self._said, most)
        if taught or most < 2 * ECHOES or not isinstance(self.loaded.decoder, PlainDecoder):
            return taught
        return self._echo.after(ECHOES)

    def take(self, logits: torch.Tensor, likeliest: Sequence[int]) -> bool:
        """Choose a token, and one more as long as it is the one that was guessed; False when the
        answer is complete, and only end() is left. Logits [1 + guessed, vocabulary], and the
        likeliest token of each."""
        for place, guess in enumerate((*self.guessed, None)):
            token = likeliest[place]
            if self.request.temperature > 0:
                token = _draw(logits[place].float().cpu(), self.request, self._generator)
            goes_on = self._accept(token)
            if token != guess or not goes_on:
                break
        assert self.line is not None, "it was read"
        if wrong := len(self.guessed) - place:
            self.loaded.decoder.rewind(self.line, wrong)
        return goes_on

    def end(self) -> None:
        """Hand over the last piece, then give back what the decoder holds."""
        if self._last:
            self._deliver(self._last)
        if self.line is not None:
            self.loaded.decoder.close(self.line)

    def _accept(self, token: int) -> bool:
        """Take the next token; False when the answer is complete."""
        self.answering = True
        self._said.append(token)
        self._echo.add(token)
        self.pending = [token]
        self._room -= 1
        self._undelivered += 1
        text = "" if token in self._ends else self._text.push(token)
        stopped = token in self._ends or self._text.stopped
        if stopped or self._room <= 0:
            self._last = self._piece(text + self._text.finish(), "stop" if stopped else "length")
        elif text:
            self._deliver(self._piece(text, None))
        return self._last is None

    def _piece(self, text: str, reason: FinishReason | None) -> Piece:
        piece = Piece(text, self._undelivered, self._prompt_tokens, reason)
        self._undelivered = 0
        return piece


def prompt_tokens(model: models.LanguageModel, request: GenerateRequest) -> list[int]:
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


def _draw(logits: torch.Tensor, request: GenerateRequest, generator: torch.Generator) -> int:
    """Logits [vocabulary] float32 -> token."""
    likeliest = torch.softmax(logits / request.temperature, dim=-1).sort(descending=True)
    shares = likeliest.values
    shares[shares.cumsum(0) - shares > request.top_p] = 0  # the first one always stays
    return int(likeliest.indices[torch.multinomial(shares, 1, generator=generator)])
