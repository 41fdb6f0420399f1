"""The OpenAI-compatible routes: /v1/models, /v1/chat/completions, /v1/completions."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from service.answers import (
    Answer,
    BadRequest,
    ClientGone,
    Json,
    Part,
    TimedOut,
    collect,
    events,
)
from service.config import ServerSettings
from service.engines.base import Engine, GenerateRequest, Message, Piece
from service.metrics import Metrics
from service.slot import Slot

INT64 = 2**63
Parsed = TypeVar("Parsed", bound=BaseModel)
Result = TypeVar("Result")


class StreamOptions(BaseModel):
    include_usage: bool = False


class ContentPart(BaseModel):
    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None

    @field_validator("content", mode="before")
    @classmethod
    def _only_text(cls, content: Any) -> Any:
        parts = content if isinstance(content, list) else []
        if any(isinstance(part, dict) and part.get("type") != "text" for part in parts):
            raise ValueError("only parts of type 'text' are supported")
        return content

    def plain(self) -> Message:
        parts = self.content if isinstance(self.content, list) else []
        text = self.content if isinstance(self.content, str) else "".join(p.text for p in parts)
        return Message("system" if self.role == "developer" else self.role, text)


class GenerationRequest(BaseModel):
    """What both kinds of completion share. Fields that are not here are ignored."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-INT64, lt=INT64)] | None = None
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    n: int | None = None

    @field_validator("n")
    @classmethod
    def _one_answer(cls, n: int | None) -> int | None:
        if n not in (None, 1):
            raise ValueError("only n=1 is supported")
        return n

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def _generate(
        self, prompt: str | tuple[Message, ...], limit: int | None, default: int
    ) -> GenerateRequest:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return GenerateRequest(
            prompt,
            max_tokens=limit or default,
            temperature=self.temperature or 0.0,  # we answer facts: greedy unless asked otherwise
            top_p=self.top_p or 1.0,
            seed=self.seed,
            stop=tuple(stop),
        )


class ChatRequest(GenerationRequest):
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    response_format: Json | None = None

    @field_validator("tools", "functions")
    @classmethod
    def _no_tools(cls, tools: list[Any] | None) -> list[Any] | None:
        if tools:
            raise ValueError("tools are not supported")
        return tools

    @field_validator("response_format")
    @classmethod
    def _plain_text(cls, wanted: Json | None) -> Json | None:
        if wanted and wanted.get("type") != "text":
            raise ValueError("only the response format 'text' is supported")
        return wanted

    def generate(self, max_tokens: int) -> list[GenerateRequest]:
        """The one request that this asks of an engine; max_tokens where it names no limit."""
        chat = tuple(message.plain() for message in self.messages)
        return [self._generate(chat, self.max_completion_tokens or self.max_tokens, max_tokens)]


class CompletionRequest(GenerationRequest):
    prompt: str | Annotated[list[str], Field(min_length=1)]
    echo: Literal[False] | None = None
    logprobs: Literal[None] = None

    @field_validator("prompt", mode="before")
    @classmethod
    def _text(cls, prompt: Any) -> Any:
        if isinstance(prompt, list) and not all(isinstance(each, str) for each in prompt):
            raise ValueError("token ids are not supported: send text")
        return prompt

    def generate(self, max_tokens: int) -> list[GenerateRequest]:
        """One request for each prompt; max_tokens where it names no limit."""
        prompts = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        return [self._generate(prompt, self.max_tokens, max_tokens) for prompt in prompts]


def parse(kind: type[Parsed], body: bytes) -> Parsed:
    """Read a request. Raises BadRequest that names the first field at fault.

    The parser stops at 200 levels, so that deep JSON ends here and not in a RecursionError.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{where}: {first['msg']}" if where else first["msg"]
        raise BadRequest(message, where or None) from None


class OpenAI:
    """The routes, over one slot and one engine."""

    def __init__(
        self, slot: Slot, engine: Engine, settings: ServerSettings, metrics: Metrics
    ) -> None:
        self._slot = slot
        self._engine = engine
        self._settings = settings
        self._metrics = metrics

    def add_to(self, app: FastAPI) -> None:
        app.add_api_route("/v1/models", self.models, methods=["GET"])
        app.add_api_route("/v1/models/{name:path}", self.model, methods=["GET"])
        app.add_api_route("/v1/chat/completions", self.chat, methods=["POST"])
        app.add_api_route("/v1/completions", self.complete, methods=["POST"])

    def models(self) -> Json:
        return {"object": "list", "data": [self.model(name) for name in self._slot.names()]}

    def model(self, name: str) -> Json:
        created = datetime.fromisoformat(self._slot.resolve(name).created_at)
        stamp = int(created.timestamp())
        return {"id": name, "object": "model", "created": stamp, "owned_by": "learnd"}

    async def chat(self, request: Request) -> Response:
        wanted = parse(ChatRequest, await request.body())
        return await self._answer(request, wanted, wanted.generate(self._settings.max_tokens))

    async def complete(self, request: Request) -> Response:
        wanted = parse(CompletionRequest, await request.body())
        return await self._answer(request, wanted, wanted.generate(self._settings.max_tokens))

    async def _answer(
        self, request: Request, wanted: GenerationRequest, prompts: Sequence[GenerateRequest]
    ) -> Response:
        """The first piece comes before the status line, so that a refusal can be a status."""
        parts = self._parts(wanted.model, prompts)
        first = await _while_connected(request, anext(parts))
        answer = Answer(isinstance(wanted, ChatRequest), wanted.model, first.generation)
        headers = {"x-learnd-generation": str(first.generation.number)}
        if wanted.stream:
            stream = events(answer, first, parts, wanted.include_usage)
            return StreamingResponse(stream, media_type="text/event-stream", headers=headers)
        async with aclosing(parts):
            body = await _while_connected(request, collect(answer, first, parts))
        return JSONResponse(body, headers=headers)

    async def _parts(
        self, model: str, prompts: Sequence[GenerateRequest]
    ) -> AsyncGenerator[Part, None]:
        """The answers to all prompts, one after another, from one generation held throughout."""
        clock = asyncio.get_running_loop().time
        started = clock()
        deadline = started + self._settings.request_seconds
        first = True
        async with self._slot.borrow(model) as generation:
            for index, prompt in enumerate(prompts):
                async with aclosing(self._engine.stream(generation.number, prompt)) as pieces:
                    async for piece in _until(deadline, pieces):
                        self._metrics.piece(piece, clock() - started if first else None)
                        first = False
                        yield Part(generation, index, piece)


async def _until(
    deadline: float, pieces: AsyncGenerator[Piece, None]
) -> AsyncGenerator[Piece, None]:
    """Pass pieces on; TimedOut if one is not there by the deadline of the event loop's clock."""
    while True:
        try:
            async with asyncio.timeout_at(deadline):  # not around a yield: the task may change
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise TimedOut from None
        yield piece


async def _while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of work, which is cancelled if the client goes away. Raises ClientGone then."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
