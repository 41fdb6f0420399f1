"""Tests of service.openai: what a request means. Its routes are tested in tests/http."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.answers import BadRequest
from service.engines.base import GenerateRequest, Message
from service.openai import ChatRequest, CompletionRequest, parse

HELLO = [{"role": "user", "content": "Hello"}]


def chat(**more: Any) -> GenerateRequest:
    body = {"model": "learnd", "messages": HELLO, **more}
    [request] = parse(ChatRequest, json.dumps(body).encode()).generate(256)
    return request


def test_defaults_are_greedy_and_the_configured_limit() -> None:
    assert chat() == GenerateRequest((Message("user", "Hello"),), max_tokens=256)


def test_every_setting_arrives() -> None:
    got = chat(max_tokens=9, temperature=0.5, top_p=0.9, seed=0, stop=["a", "b"])
    assert got == GenerateRequest((Message("user", "Hello"),), 9, 0.5, 0.9, 0, ("a", "b"))
    assert chat(stop="x").stop == ("x",)
    assert chat(max_tokens=None, temperature=None, stop=None) == chat()


@pytest.mark.parametrize(
    ("message", "plain"),
    [
        ({"role": "developer", "content": "x"}, Message("system", "x")),
        ({"role": "assistant", "content": None}, Message("assistant", "")),
        ({"role": "assistant"}, Message("assistant", "")),
        ({"role": "tool", "content": "x", "tool_call_id": "1"}, Message("tool", "x")),
        (
            {"role": "user", "content": [{"type": "text", "text": t} for t in "ab"]},
            Message("user", "ab"),
        ),
    ],
)
def test_messages(message: dict[str, Any], plain: Message) -> None:
    assert chat(messages=[message]).prompt == (plain,)


@pytest.mark.parametrize(
    ("fault", "parameter"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "king", "content": ""}]}, "messages.0.role"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"functions": [{}]}, "functions"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
    ],
)
def test_faults_are_named(fault: dict[str, Any], parameter: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(parameter)) as caught:
        chat(**fault)
    assert (caught.value.parameter or "").startswith(parameter)


def test_images_are_refused() -> None:
    image = {"type": "image_url", "image_url": {"url": "http://x"}}
    with pytest.raises(BadRequest, match="only parts of type 'text'"):
        chat(messages=[{"role": "user", "content": [image]}])


@pytest.mark.parametrize("more", [{"echo": True}, {"logprobs": 3}, {"prompt": [[1, 2]]}])
def test_completions_refuse_what_they_cannot_do(more: dict[str, Any]) -> None:
    body = {"model": "learnd", "prompt": "x", **more}
    with pytest.raises(BadRequest):
        parse(CompletionRequest, json.dumps(body).encode())


@given(st.binary())
def test_any_bytes_are_a_request_or_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse(ChatRequest, body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_a_request_or_refused(value: Any) -> None:
    body = {
        "model": "learnd",
        "messages": HELLO,
        "temperature": value,
        "stop": value,
        "seed": value,
    }
    try:
        parse(ChatRequest, json.dumps(body).encode())
    except BadRequest as error:
        assert error.parameter
