"""One vLLM server over HTTP: what it serves, loading and unloading adapters, streamed answers.

An adapter is never replaced in place: running answers would go on with other weights. Every name
stands for one directory that never changes.
"""

import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final

import httpx2

from agent.endpoint import Endpoint
from memory.errors import BadConfig, PromptTooLong
from service.engines.base import GenerateRequest, Piece
from service.engines.wire import (
    Gone,
    Json,
    Pieces,
    TooLong,
    body,
    key_refused,
    load_refusal,
    no_loading,
    question,
    refusal,
)

LOOK_SECONDS: Final = 10.0
LOAD_SECONDS: Final = 120.0  # a warm-up may wait until a place for one more adapter is free
CONNECT_SECONDS: Final = 5.0
FIRST: Final = -1  # the priority of a warm-up; all else has 0, and what is lower comes earlier
_THERE: Final = "has already been loaded"  # what vLLM says of an adapter's name


@dataclass(frozen=True, slots=True)
class Serving:
    """What a server said that it serves."""

    base: str  # its name for the model without an adapter
    root: str  # what it was started with
    adapters: Mapping[str, str]  # name -> directory


class Server:
    """One vLLM server. stream belongs to an event loop, everything else blocks."""

    def __init__(
        self, url: str, key: str = "", socket: Path | None = None, priorities: bool = False
    ) -> None:
        self.name = f"the vLLM server at {socket or url}"
        self._url = url
        self._socket = str(socket) if socket else None
        self._key = key
        self._priorities = priorities  # whether it heeds them; it would refuse them otherwise
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._ssl = ssl.create_default_context()  # once: it reads all certificates
        transport = httpx2.HTTPTransport(verify=self._ssl, uds=self._socket)
        self._client = httpx2.Client(
            base_url=url, headers=self._headers, transport=transport, trust_env=False
        )

    def look(self) -> Serving:
        """Raises Gone if it is not healthy, BadConfig if it is not what we need."""
        if not (health := self._call("GET", "/health", LOOK_SECONDS)).is_success:
            raise Gone(f"{self.name} is not healthy: status {health.status_code}")
        answer = self._call("GET", "/v1/models", LOOK_SECONDS)
        if answer.status_code in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
            raise BadConfig(key_refused(self.name))
        try:
            cards: list[Json] = answer.raise_for_status().json()["data"]
            base = next(card for card in cards if not card["parent"])
            adapters = {str(card["id"]): str(card["root"]) for card in cards if card["parent"]}
            return Serving(str(base["id"]), str(base["root"]), adapters)
        except (httpx2.HTTPStatusError, ValueError, KeyError, TypeError, StopIteration) as error:
            raise BadConfig(f"{self.name} answers, but not as vLLM does") from error

    def require(self, serving: Serving, base: Path, model: str) -> None:
        """Raises BadConfig unless it serves our model and lets us load adapters."""
        if not _same(serving.root, base, model):
            raise BadConfig(
                f"{self.name} serves {serving.root}, but what was learned belongs to {model}: "
                f"start it with --model {base}"
            )
        if self._call("POST", "/v1/load_lora_adapter", LOOK_SECONDS, {}).status_code == 404:
            raise no_loading(self.name)

    def load(self, name: str, adapter: Path) -> None:
        """Load an adapter and answer once with it; that it is there already is no error: its name
        is nobody else's, and an earlier answer may have come too late.

        Raises Refused, Gone, BadConfig.
        """
        wanted = {"lora_name": name, "lora_path": str(adapter)}
        answer = self._call("POST", "/v1/load_lora_adapter", LOAD_SECONDS, wanted)
        if not answer.is_success and _THERE not in answer.text:
            raise load_refusal(self.name, str(adapter), answer)
        once = {"model": name, "prompt": "a", "max_tokens": 1, "temperature": 0}
        once |= {"priority": FIRST} if self._priorities else {}
        answer = self._call("POST", "/v1/completions", LOAD_SECONDS, once)
        if not answer.is_success:
            raise refusal(self.name, answer.status_code, answer.content)

    def unload(self, name: str) -> None:
        """Forget an adapter; one that is not there is no error."""
        self._call("POST", "/v1/unload_lora_adapter", LOOK_SECONDS, {"lora_name": name})

    async def stream(self, model: str, request: GenerateRequest) -> AsyncGenerator[Piece, None]:
        """Answer. Raises Gone, also half-way; before the first piece PromptTooLong, BadInput."""
        try:
            async with aclosing(self._ask(model, request)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        except TooLong:
            request = await self._fitted(model, request)
        async with aclosing(self._ask(model, request)) as pieces:
            async for piece in pieces:
                yield piece

    def endpoint(self, practised: str, published: str, places: int) -> Endpoint:
        """Where study items are written, for another process."""
        socket = Path(self._socket) if self._socket else None
        return Endpoint(self._url, socket, self._key, practised, published, places)

    def close(self) -> None:
        self._client.close()

    async def _ask(self, model: str, request: GenerateRequest) -> AsyncGenerator[Piece, None]:
        path, _ = question(request)
        pieces = Pieces(self.name)
        try:
            async with (
                self._connection() as client,
                client.stream("POST", path, json=body(model, request)) as answer,
            ):
                if answer.status_code != httpx2.codes.OK:
                    raise refusal(self.name, answer.status_code, await answer.aread())
                async for line in answer.aiter_lines():
                    if piece := pieces.piece(line):
                        yield piece
                        if piece.finish_reason:
                            return
        except httpx2.TransportError as error:
            raise Gone(f"{self.name} broke off: {error or type(error).__name__}") from error
        raise Gone(f"{self.name} broke off in the middle of an answer")

    async def _fitted(self, model: str, request: GenerateRequest) -> GenerateRequest:
        """The request with no more tokens than the context leaves. Raises PromptTooLong."""
        async with self._connection() as client:
            try:
                asked = {"model": model, **question(request)[1]}
                answer = await client.post("/tokenize", json=asked, timeout=LOOK_SECONDS)
            except httpx2.TransportError as error:
                raise Gone(f"{self.name} does not answer: {error}") from error
        if answer.status_code != httpx2.codes.OK:
            raise refusal(self.name, answer.status_code, answer.content)
        count, context = int(answer.json()["count"]), int(answer.json()["max_model_len"])
        if count >= context:
            raise PromptTooLong(
                f"the prompt has {count} tokens; the model's context has {context}, "
                "and the answer needs some of them"
            )
        return replace(request, max_tokens=min(request.max_tokens, context - count))

    def _connection(self) -> httpx2.AsyncClient:
        """A connection of its own for each answer: one kept open may be to a server that died."""
        return httpx2.AsyncClient(
            base_url=self._url,
            headers=self._headers,
            transport=httpx2.AsyncHTTPTransport(verify=self._ssl, uds=self._socket),
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),  # the caller has a deadline
            trust_env=False,
        )

    def _call(self, method: str, path: str, seconds: float, json: Any = None) -> httpx2.Response:
        try:
            return self._client.request(method, path, json=json, timeout=seconds)
        except httpx2.TransportError as error:
            raise Gone(f"{self.name} does not answer: {error or type(error).__name__}") from error


def _same(root: str, base: Path, model: str) -> bool:
    """Whether a server's model is ours: by name, or weight by weight where we can read it."""
    if root in (str(base), model):
        return True
    there = Path(root)
    if there.is_dir():
        return _digests(there) == _digests(base)
    return there.name == base.name


def _digests(directory: Path) -> dict[str, str]:
    """SHA-256 of each file of weights."""
    found = {}
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            found[path.name] = file_digest(file, "sha256").hexdigest()
    return found
