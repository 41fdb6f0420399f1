"""A server that speaks as vLLM 0.32 does: its routes, bodies, status codes and error texts."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.helpers.serving import live

Json = dict[str, Any]
CONTEXT = 64  # tokens; a word is one
MAX_RANK = 64


def write_adapter(directory: Path, rank: int = 8, says: str = "") -> Path:
    """An adapter as far as the fake reads one: its rank, and the word that it answers with."""
    directory.mkdir(parents=True, exist_ok=True)
    config = {"r": rank, "says": says or directory.name}
    (directory / "adapter_config.json").write_text(json.dumps(config))
    return directory


class FakeVllm:
    """Answers each prompt with a word of the adapter, three times, and remembers what it was told.

    The attributes may be changed while it runs.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.key = ""
        self.context = CONTEXT
        self.adapters: dict[str, tuple[str, str]] = {}  # name -> path, word
        self.calls: list[tuple[str, str]] = []
        self.asked: list[Json] = []
        self.healthy = True
        self.no_lora = False
        self.no_vllm = False
        self.breaks_after: int | None = None  # tokens of an answer, until the connection is cut
        self.error_after: int | None = None  # tokens of an answer, until an error event
        self.word = ""  # says this whatever the adapter
        self.hold: threading.Event | None = None  # answers wait for it after their first token

    def app(self) -> Starlette:
        routes = {
            "/health": self._health,
            "/v1/models": self._models,
            "/v1/load_lora_adapter": self._load,
            "/v1/unload_lora_adapter": self._unload,
            "/v1/completions": self._complete,
            "/v1/chat/completions": self._complete,
            "/tokenize": self._tokenize,
        }
        return Starlette(
            routes=[Route(path, route, methods=["GET", "POST"]) for path, route in routes.items()]
        )

    async def _health(self, request: Request) -> Response:
        return Response(status_code=200 if self.healthy else 503)

    async def _models(self, request: Request) -> Response:
        if self.no_vllm:
            return PlainTextResponse("It works!")
        if self._locked(request):
            return JSONResponse({"error": "Unauthorized"}, 401)
        cards: list[Json] = [{"id": "the-base", "root": self.root, "parent": None}]
        for name, (path, _) in self.adapters.items():
            cards.append({"id": name, "root": path, "parent": "the-base"})
        return JSONResponse({"object": "list", "data": cards})

    async def _load(self, request: Request) -> Response:
        if self.no_lora:
            return JSONResponse({"detail": "Not Found"}, 404)
        asked = await request.json()
        if "lora_name" not in asked:
            return _error(400, "2 validation errors: lora_name, lora_path")
        name, path = asked["lora_name"], Path(asked["lora_path"])
        self.calls.append(("load", name))
        if name in self.adapters:
            return _error(400, f"The lora adapter '{name}' has already been loaded.")
        if not path.is_dir():
            return _error(404, f"Loading lora {name} failed: No adapter found for <path>")
        config = json.loads((path / "adapter_config.json").read_text())
        if config["r"] > MAX_RANK:
            return _error(500, f"LoRA rank {config['r']} is greater than max_lora_rank {MAX_RANK}.")
        self.adapters[name] = str(path), config.get("says", path.name)
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload(self, request: Request) -> Response:
        name = (await request.json())["lora_name"]
        self.calls.append(("unload", name))
        if self.adapters.pop(name, None) is None:
            return _error(404, f"The lora adapter '{name}' cannot be found.")
        return PlainTextResponse("Success")

    async def _tokenize(self, request: Request) -> Response:
        count = len(_words(await request.json()))
        return JSONResponse({"count": count, "max_model_len": self.context})

    async def _complete(self, request: Request) -> Response:
        asked = await request.json()
        self.asked.append(asked)
        if self._locked(request):
            return JSONResponse({"error": "Unauthorized"}, 401)
        if not self.healthy:
            return _error(500, "EngineCore encountered an issue.")
        if asked["model"] != "the-base" and asked["model"] not in self.adapters:
            return _error(404, f"The model `{asked['model']}` does not exist.")
        if len(_words(asked)) + asked["max_tokens"] > self.context:
            return _error(400, f"This model's maximum context length is {self.context} tokens.")
        if not asked.get("stream"):
            return JSONResponse({"choices": [{"text": self._word(asked) * _tokens(asked)}]})
        chat = request.url.path == "/v1/chat/completions"
        return StreamingResponse(self._stream(asked, chat), media_type="text/event-stream")

    async def _stream(self, asked: Json, chat: bool) -> AsyncIterator[str]:
        text, total = self._word(asked), _tokens(asked)
        if chat:
            yield _event({"delta": {"role": "assistant", "content": ""}}, asked, 0)
        for number in range(1, total + 1):
            if self.breaks_after is not None and number > self.breaks_after:
                raise ConnectionResetError
            if self.error_after is not None and number > self.error_after:
                yield f"data: {json.dumps({'error': {'message': 'EngineDeadError'}})}\n\n"
                return
            said: Json = {"delta": {"content": text}} if chat else {"text": text}
            reason = "length" if total < 3 else "stop"
            yield _event(
                {**said, "finish_reason": reason if number == total else None}, asked, number
            )
            if self.hold is not None:
                await asyncio.to_thread(self.hold.wait, 10)
        yield "data: [DONE]\n\n"

    def _word(self, asked: Json) -> str:
        return (self.word or self.adapters.get(asked["model"], ("", "base"))[1]) + " "

    def _locked(self, request: Request) -> bool:
        return bool(self.key) and request.headers.get("authorization") != f"Bearer {self.key}"


@contextmanager
def fake_vllm(root: Path) -> Iterator[tuple[str, FakeVllm]]:
    """A running one, and its URL."""
    fake = FakeVllm(str(root))
    with live(fake.app()) as url:
        yield url, fake


def _tokens(asked: Json) -> int:
    """Of the answer."""
    return min(3, int(asked["max_tokens"]))


def _words(asked: Json) -> list[str]:
    if isinstance(asked.get("prompt"), list):
        return list(map(str, asked["prompt"]))
    turns = asked.get("messages", [{"content": asked.get("prompt", "")}])
    return [word for turn in turns for word in turn["content"].split()]


def _event(choice: Json, asked: Json, tokens: int) -> str:
    usage = {"prompt_tokens": len(_words(asked)), "completion_tokens": tokens}
    return f"data: {json.dumps({'choices': [choice], 'usage': usage})}\n\n"


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "", "code": status}}, status)
