"""Answers and errors in OpenAI's shapes: bodies, chunks, server-sent events."""

import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from memory.errors import BadInput, Busy, LearndError, PromptTooLong, Unavailable, UnknownModel
from memory.records import Generation
from service.engines.base import FinishReason, Piece
from service.slot import NotReady

Json = dict[str, Any]


class BadRequest(BadInput):
    """The request is not valid."""

    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


class TimedOut(LearndError):
    """The answer took longer than server.request_seconds allows."""


class ClientGone(LearndError):
    """The client went away."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the answer to one of a request's prompts."""

    generation: Generation
    index: int  # of the prompt
    piece: Piece


@dataclass(slots=True)
class Answer:
    """One answer on its way: its names, and what was used so far."""

    chat: bool
    model: str  # as the client named it
    generation: Generation
    prompt_tokens: int = 0
    tokens: int = 0
    id: str = field(init=False)
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        self.id = ("chatcmpl-" if self.chat else "cmpl-") + secrets.token_hex(12)

    def count(self, piece: Piece) -> None:
        self.tokens += piece.tokens
        self.prompt_tokens += piece.prompt_tokens if piece.finish_reason else 0

    def usage(self) -> Json:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens,
            "total_tokens": self.prompt_tokens + self.tokens,
        }

    def whole(self, parts: list[tuple[str, FinishReason]]) -> Json:
        """The body of an answer that is not streamed: (text, finish reason) of each prompt."""
        choices = [
            self._choice(index, "message", {"role": "assistant", "content": text}, text, reason)
            for index, (text, reason) in enumerate(parts)
        ]
        kind = "chat.completion" if self.chat else "text_completion"
        return {**self._head(kind), "choices": choices, "usage": self.usage()}

    def chunk(self, index: int, text: str, *, first: bool = False) -> Json:
        """A part of the text."""
        delta = ({"role": "assistant"} if first else {}) | {"content": text}
        return self._chunk(self._choice(index, "delta", delta, text, None))

    def last_chunk(self, index: int, reason: FinishReason) -> Json:
        """Why the text ends."""
        return self._chunk(self._choice(index, "delta", {}, "", reason))

    def usage_chunk(self) -> Json:
        return {**self._chunk(), "usage": self.usage()}

    def _chunk(self, *choices: Json) -> Json:
        kind = "chat.completion.chunk" if self.chat else "text_completion"
        return {**self._head(kind), "choices": list(choices)}

    def _head(self, kind: str) -> Json:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": f"learnd-{self.generation.name}",
        }

    def _choice(
        self, index: int, key: str, chat: Json, text: str, reason: FinishReason | None
    ) -> Json:
        body = {key: chat} if self.chat else {"text": text}
        return {"index": index, **body, "logprobs": None, "finish_reason": reason}


async def collect(answer: Answer, first: Part, rest: AsyncIterator[Part]) -> Json:
    """Read all parts; the body of the answer."""
    texts: dict[int, list[str]] = {}
    reasons: list[FinishReason] = []
    async for part in _counted(answer, first, rest):
        texts.setdefault(part.index, []).append(part.piece.text)
        if part.piece.finish_reason:
            reasons.append(part.piece.finish_reason)
    whole = ("".join(text) for text in texts.values())
    return answer.whole(list(zip(whole, reasons, strict=True)))


async def events(
    answer: Answer, first: Part, rest: AsyncGenerator[Part, None], include_usage: bool
) -> AsyncIterator[str]:
    """Server-sent events: the chunks, the usage if wanted, [DONE]; an error ends them early."""
    none_yet: Json = {"usage": None} if include_usage else {}
    begun: set[int] = set()
    async with aclosing(rest):
        try:
            async for part in _counted(answer, first, rest):
                index, piece = part.index, part.piece
                if piece.text or index not in begun:
                    chunk = answer.chunk(index, piece.text, first=index not in begun)
                    begun.add(index)
                    yield _event(chunk | none_yet)
                if piece.finish_reason:
                    yield _event(answer.last_chunk(index, piece.finish_reason) | none_yet)
        except LearndError as error:
            yield _event(error_body(error)[1])
            return
    if include_usage:
        yield _event(answer.usage_chunk())
    yield "data: [DONE]\n\n"


async def _counted(answer: Answer, first: Part, rest: AsyncIterator[Part]) -> AsyncIterator[Part]:
    answer.count(first.piece)
    yield first
    async for part in rest:
        answer.count(part.piece)
        yield part


def _event(body: Json) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False, separators=(',', ':'))}\n\n"


def error_body(error: LearndError) -> tuple[int, Json]:
    """HTTP status and OpenAI error body of an error that learnd raised on purpose."""
    parameter = error.parameter if isinstance(error, BadRequest) else None
    for kind, status, type_, code in _ERRORS:
        if isinstance(error, kind):
            return status, failure(str(error), type_, code, parameter)
    return 500, failure(str(error), "server_error", None)


def failure(message: str, type_: str, code: str | None, parameter: str | None = None) -> Json:
    """An error body as OpenAI's clients read it."""
    return {"error": {"message": message, "type": type_, "param": parameter, "code": code}}


_ERRORS: tuple[tuple[type[LearndError], int, str, str | None], ...] = (
    (UnknownModel, 404, "invalid_request_error", "model_not_found"),
    (PromptTooLong, 400, "invalid_request_error", "context_length_exceeded"),
    (BadInput, 400, "invalid_request_error", None),
    (Busy, 429, "rate_limit_error", "queue_full"),
    (ClientGone, 499, "invalid_request_error", "client_gone"),
    (NotReady, 503, "server_error", "loading"),
    (Unavailable, 503, "server_error", "unavailable"),
    (TimedOut, 504, "server_error", "timeout"),
)
