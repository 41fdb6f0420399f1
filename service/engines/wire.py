"""How vLLM speaks: the JSON of a request, the events of an answer, and its errors, named."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from memory.errors import BadConfig, BadInput, LearndError, Unavailable
from service.engines.base import GenerateRequest, Piece

Json = dict[str, Any]

_DONE: Final = "[DONE]"
_TOO_LONG: Final = ("maximum context length", "max_model_len")


class Gone(Unavailable):
    """A vLLM server does not answer, or broke off; another one may."""


class Forgotten(Gone):
    """A vLLM server no longer holds the model that it was asked for."""


class Refused(Unavailable):
    """vLLM does not take the adapter."""


class TooLong(BadInput):
    """Prompt and answer together do not fit into the model's context."""


def question(request: GenerateRequest) -> tuple[str, Json]:
    """The path to ask, and what of the request is the prompt."""
    if isinstance(request.prompt, str):
        return "/v1/completions", {"prompt": request.prompt}
    turns = [{"role": turn.role, "content": turn.content} for turn in request.prompt]
    return "/v1/chat/completions", {"messages": turns}


def body(model: str, request: GenerateRequest) -> Json:
    """A streamed request that leaves nothing to the server's own defaults."""
    return {
        **question(request)[1],
        "model": model,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "seed": request.seed,
        "stop": [text for text in request.stop if text],
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }


@dataclass(slots=True)
class Pieces:
    """Turns the events of one answer into pieces."""

    server: str  # for messages
    tokens: int = 0  # counted so far

    def piece(self, line: str) -> Piece | None:
        """The piece in one line of a stream, if there is one. Raises Gone at an error in it."""
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or data == _DONE:
            return None
        event = _json(data)
        if "error" in event:
            raise Gone(f"{self.server} broke off: {_message(event)}")
        if not event.get("choices"):
            return None
        choice, usage = event["choices"][0], event.get("usage") or {}
        text = choice.get("text", choice.get("delta", {}).get("content")) or ""
        reason = choice.get("finish_reason")
        if reason not in (None, "stop", "length"):
            raise Gone(f"{self.server} broke off: {reason}")
        if not text and reason is None:
            return None
        new = int(usage.get("completion_tokens", self.tokens + 1)) - self.tokens
        self.tokens += new
        return Piece(text, new, int(usage.get("prompt_tokens", 0)), reason)


def refusal(server: str, status: int, content: bytes) -> LearndError:
    """What a status other than 200 means for a question."""
    message = _message(_json(content))
    if status == httpx2.codes.NOT_FOUND:
        return Forgotten(f"{server}: {message}")
    if status in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
        return Gone(key_refused(server))
    if any(words in message for words in _TOO_LONG):
        return TooLong(message)
    if status in (httpx2.codes.BAD_REQUEST, httpx2.codes.UNPROCESSABLE_CONTENT):
        return BadInput(message)
    return Gone(f"{server} answered with status {status}: {message}")


def load_refusal(server: str, adapter: str, response: httpx2.Response) -> LearndError:
    """What a status other than 200 means for the loading of an adapter."""
    content = _json(response.content)
    message = _message(content)
    if response.status_code == httpx2.codes.NOT_FOUND:
        if "error" not in content:
            return no_loading(server)
        return Refused(
            f"{server} finds no adapter at {adapter}: a server on another machine must see the "
            "state directory under the same path; if it was deleted, `learnd check` says so"
        )
    if "rank" in message and "max_lora_rank" in message:
        return Refused(f"{server}: {message}; start vLLM with a greater --max-lora-rank")
    return Refused(f"{server} does not take {adapter}: {message}")


def no_loading(server: str) -> BadConfig:
    """The server has no route to load adapters."""
    return BadConfig(
        f"{server} has no /v1/load_lora_adapter: start it with --enable-lora and "
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1; a vLLM too old for that must be upgraded"
    )


def key_refused(server: str) -> str:
    return f"{server} refuses the API key: give it as engine.api_key"


def _json(data: str | bytes) -> Json:
    """An object; what is none becomes an error's message."""
    try:
        found = json.loads(data)
    except ValueError:
        found = data.decode(errors="replace") if isinstance(data, bytes) else data
    return found if isinstance(found, dict) else {"message": str(found)[:300]}


def _message(content: Mapping[str, Any]) -> str:
    """Of an OpenAI error body, FastAPI's own, or anything else."""
    error = content.get("error", content)
    if isinstance(error, Mapping):
        error = error.get("message") or error.get("detail") or "no reason given"
    return str(error).strip()[:500]
