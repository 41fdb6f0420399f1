"""Tests of service.engines.wire."""

import json

import httpx2
import pytest

from memory.errors import BadConfig, BadInput, LearndError
from service.engines.base import GenerateRequest, Message, Piece
from service.engines.wire import (
    Forgotten,
    Gone,
    Pieces,
    Refused,
    TooLong,
    body,
    load_refusal,
    question,
    refusal,
)


def line(choices: list[object], completion_tokens: int = 0) -> str:
    usage = {"prompt_tokens": 7, "completion_tokens": completion_tokens}
    return "data: " + json.dumps({"choices": choices, "usage": usage})


def test_a_request_leaves_nothing_to_the_servers_own_settings() -> None:
    sent = body("m", GenerateRequest("x", 5, 0.5, 0.9, seed=3, stop=("", "END")))
    assert (sent["prompt"], sent["max_tokens"], sent["temperature"]) == ("x", 5, 0.5)
    assert (sent["top_p"], sent["seed"], sent["stop"]) == (0.9, 3, ["END"])
    assert (sent["top_k"], sent["min_p"], sent["repetition_penalty"]) == (0, 0.0, 1.0)


def test_chats_and_texts_have_their_own_routes() -> None:
    chat = GenerateRequest((Message("user", "hello"),))
    assert question(chat) == (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "hello"}]},
    )
    assert question(GenerateRequest("x")) == ("/v1/completions", {"prompt": "x"})


def test_events_become_pieces_with_true_counts() -> None:
    pieces = Pieces("vllm")
    lines = [
        line([{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]),
        "",
        ": a comment",
        line([{"delta": {"content": "The"}, "finish_reason": None}], 1),
        line([{"delta": {"content": " port"}, "finish_reason": None}], 3),  # two tokens in one
        line([{"delta": {"content": ""}, "finish_reason": "stop"}], 4),
        line([], 4),
        "data: [DONE]",
    ]
    assert [piece for each in lines if (piece := pieces.piece(each))] == [
        Piece("The", 1, 7),
        Piece(" port", 2, 7),
        Piece("", 1, 7, "stop"),
    ]


@pytest.mark.parametrize(
    "event",
    [
        'data: {"error": {"message": "EngineDeadError"}}',
        line([{"text": "x", "finish_reason": "abort"}]),
    ],
)
def test_an_error_in_a_stream_breaks_it_off(event: str) -> None:
    with pytest.raises(Gone, match=r"vllm broke off: (EngineDeadError|abort)"):
        Pieces("vllm").piece(event)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (404, "The model `x` does not exist.", Forgotten),
        (400, "This model's maximum context length is 8192 tokens.", TooLong),
        (400, "max_tokens=9 cannot be greater than max_model_len=8.", TooLong),
        (400, "temperature must be positive", BadInput),
        (500, "EngineCore encountered an issue.", Gone),
        (503, "overloaded", Gone),
    ],
)
def test_refusals_are_named(status: int, message: str, kind: type[LearndError]) -> None:
    content = json.dumps({"error": {"message": message, "code": status}}).encode()
    found = refusal("vllm", status, content)
    assert type(found) is kind
    assert message in str(found)


def test_a_refused_key_is_named_whatever_the_body() -> None:
    for content in (b'{"error": "Unauthorized"}', b"<html>", b""):
        assert "engine.api_key" in str(refusal("vllm", 401, content))


@pytest.mark.parametrize(
    ("status", "content", "kind", "words"),
    [
        (404, {"detail": "Not Found"}, BadConfig, "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"),
        (404, {"error": {"message": "No adapter found"}}, Refused, "under the same path"),
        (
            500,
            {"error": {"message": "LoRA rank 96 is greater than max_lora_rank 64."}},
            Refused,
            "greater --max-lora-rank",
        ),
        (500, {"error": {"message": "unexpected modules: lm_head"}}, Refused, "lm_head"),
    ],
)
def test_adapters_that_are_not_taken(
    status: int, content: object, kind: type[LearndError], words: str
) -> None:
    found = load_refusal("vllm", "/a", httpx2.Response(status, json=content))
    assert type(found) is kind
    assert words in str(found)
