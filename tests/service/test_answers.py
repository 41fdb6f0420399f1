"""Tests of service.answers."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from memory.errors import Busy, LearndError, PromptTooLong, UnknownModel
from memory.records import Generation
from service.answers import Answer, BadRequest, Part, TimedOut, collect, error_body, events
from service.engines.base import Piece

G3 = Generation(3, None, None, None, "", "")
PARTS = [
    Part(G3, 0, Piece("Hel", 1, 7)),
    Part(G3, 0, Piece("lo", 1, 7)),
    Part(G3, 0, Piece("", 1, 7, "stop")),
]


async def rest_of(
    parts: Sequence[Part], error: Exception | None = None
) -> AsyncGenerator[Part, None]:
    for part in parts[1:]:
        yield part
    if error is not None:
        raise error


def streamed(
    parts: Sequence[Part], *, chat: bool = True, usage: bool = False, error: Exception | None = None
) -> list[Any]:
    async def read() -> list[str]:
        answer = Answer(chat, "learnd", G3)
        return [event async for event in events(answer, parts[0], rest_of(parts, error), usage)]

    shown = [event.removeprefix("data: ").strip() for event in asyncio.run(read())]
    return [event if event == "[DONE]" else json.loads(event) for event in shown]


def test_a_whole_answer() -> None:
    answer = Answer(True, "learnd", G3)
    body = asyncio.run(collect(answer, PARTS[0], rest_of(PARTS)))
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello"},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert (body["object"], body["system_fingerprint"]) == ("chat.completion", "learnd-g3")


def test_a_stream_begins_with_the_role_and_ends_with_done() -> None:
    *chunks, last = streamed(PARTS)
    assert last == "[DONE]"
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, "stop"]
    assert all("usage" not in chunk for chunk in chunks)


def test_usage_comes_in_a_chunk_of_its_own_if_wanted() -> None:
    *chunks, last, done = streamed(PARTS, usage=True)
    assert all(chunk["usage"] is None for chunk in chunks)
    assert (last["choices"], last["usage"]["total_tokens"], done) == ([], 10, "[DONE]")


def test_an_empty_answer_still_has_a_role() -> None:
    role, end, _ = streamed([Part(G3, 0, Piece("", 1, 7, "stop"))])
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert end["choices"][0]["finish_reason"] == "stop"


def test_plain_completions_have_text() -> None:
    first, *_ = streamed(PARTS, chat=False)
    assert (first["object"], first["choices"][0]["text"]) == ("text_completion", "Hel")


def test_an_error_in_the_middle_ends_the_stream_without_done() -> None:
    *_, last = streamed(PARTS[:2], error=TimedOut())
    assert last["error"]["code"] == "timeout"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (UnknownModel("x"), 404, "model_not_found"),
        (PromptTooLong(), 400, "context_length_exceeded"),
        (BadRequest("x", "n"), 400, None),
        (Busy(), 429, "queue_full"),
        (TimedOut(), 504, "timeout"),
        (LearndError(), 500, None),
    ],
)
def test_errors(error: LearndError, status: int, code: str | None) -> None:
    found, body = error_body(error)
    assert (found, body["error"]["code"]) == (status, code)
    assert body["error"].keys() == {"message", "type", "param", "code"}
