"""Tests of agent.endpoint, over HTTP with a fake of vLLM."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import models
from agent.endpoint import Endpoint, RemoteWriter, away_named
from agent.models import LanguageModel
from agent.prompts import Asked
from memory.errors import LearndError, Unavailable
from tests.helpers.fake_vllm import FakeVllm, fake_vllm

PROMPTS = [Asked((5, 6, number), 2 + number) for number in range(3)]


@pytest.fixture
def model(tiny_path: Path) -> LanguageModel:
    return models.load(tiny_path)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Endpoint, FakeVllm]]:
    with fake_vllm(tmp_path) as (url, fake):
        fake.adapters["learnd-me-study"] = (str(tmp_path), "study")
        yield Endpoint(url, None, "secret", "learnd-me-study", "the-base", 2), fake


def write(model: LanguageModel, place: Endpoint, name: str, temperature: float = 0.0) -> list[str]:
    done = list[int]()
    with away_named():
        said = RemoteWriter(place, name)(model, model.network, PROMPTS, temperature, 7, done.append)
    assert sum(done) == len(PROMPTS)
    return said


def test_prompts_go_as_tokens_and_answers_come_in_their_order(
    model: LanguageModel, place: tuple[Endpoint, FakeVllm]
) -> None:
    endpoint, fake = place
    fake.key = "secret"
    assert write(model, endpoint, endpoint.practised) == [
        "study study",
        "study study study",
        "study study study",
    ]
    assert write(model, endpoint, endpoint.published, 0.8)[0] == "base base"
    greedy, drawn = fake.asked[:3], fake.asked[3:]
    assert sorted(each["prompt"] for each in greedy) == [[5, 6, 0], [5, 6, 1], [5, 6, 2]]
    assert {each["temperature"] for each in greedy} == {0.0}
    assert {each["temperature"] for each in drawn} == {0.8}
    assert {each["seed"] - each["prompt"][-1] for each in drawn} == {7}
    assert greedy[0]["stop_token_ids"] == [model.tokenizer.eos_token_id]
    assert "secret" not in repr(endpoint)


def test_a_server_that_is_away_is_named(
    model: LanguageModel, place: tuple[Endpoint, FakeVllm]
) -> None:
    endpoint, fake = place
    with pytest.raises(Unavailable, match=r"does not write: 404, .*does not exist"):
        write(model, endpoint, "forgotten")
    fake.healthy = False
    with pytest.raises(Unavailable, match="does not write: 500"):
        write(model, endpoint, "the-base")
    nowhere = Endpoint("http://127.0.0.1:9", None, "", "a", "b", 1)
    with pytest.raises(Unavailable, match=r"the server at http://127\.0\.0\.1:9 does not write"):
        write(model, nowhere, "a")


def test_a_prompt_that_it_does_not_take_is_no_outage(
    model: LanguageModel, place: tuple[Endpoint, FakeVllm]
) -> None:
    long = [Asked(tuple(range(100)), 8)]
    with pytest.raises(LearndError, match=r"does not take a prompt: .*context length") as caught:
        RemoteWriter(place[0], "the-base")(model, model.network, long, 0.0, 0, lambda done: None)
    assert not isinstance(caught.value, Unavailable)
