"""Answers are what each prompt alone would get, on either way."""

import threading
from typing import Any

import pytest
import torch

from agent import decoding, padded
from agent.generate import generate
from agent.lanes import count
from agent.models import LanguageModel
from agent.prompts import Asked
from tests.helpers.decoding import plain

CPU = torch.device("cpu")


@pytest.fixture(params=["written out", "by transformers"])
def model(
    tiny: LanguageModel, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> LanguageModel:
    assert decoding.written_out(tiny)
    if request.param == "by transformers":
        monkeypatch.setattr(decoding, "written_out", lambda model: False)
    return tiny


def test_a_batch_answers_as_each_prompt_alone(model: LanguageModel) -> None:
    prompts = [Asked(tuple(range(5, 5 + length)), 6) for length in (9, 3, 17, 1)]
    assert generate(model, model.network, prompts) == [plain(model, one) for one in prompts]


def test_prompts_that_begin_alike_answer_as_each_alone(model: LanguageModel) -> None:
    passages = [tuple(range(5, 45)), tuple(range(60, 95))]
    prompts = [
        Asked((*passage, *range(100, 100 + n)), 6) for n in (1, 9, 4) for passage in passages
    ]
    assert generate(model, model.network, prompts) == [plain(model, one) for one in prompts]


def test_sampling_follows_the_seed(model: LanguageModel) -> None:
    prompts = [Asked((5, 6, 7), 12)] * 2
    first = generate(model, model.network, prompts, temperature=1.0, seed=3)
    assert first == generate(model, model.network, prompts, temperature=1.0, seed=3)
    assert first != generate(model, model.network, prompts, temperature=1.0, seed=4)


def test_no_prompts_give_no_answers(model: LanguageModel) -> None:
    assert generate(model, model.network, []) == []


def test_each_prompt_has_its_own_limit(model: LanguageModel) -> None:
    prompts = [Asked((5, 6, 7), most) for most in (1, 7, 3, 7, 2)]
    assert generate(model, model.network, prompts) == [plain(model, one) for one in prompts]


def test_every_prompt_is_counted_once(model: LanguageModel) -> None:
    counted: list[int] = []
    prompts = [Asked((5, n, 7), 1 + n % 3) for n in range(10, 150)]
    generate(model, model.network, prompts, on_done=counted.append)
    assert sum(counted) == 140 and len(counted) > 1


def test_lanes_share_the_prompts_and_keep_their_order(
    tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, write = set[str](), padded.write

    def noted(*given: Any) -> dict[int, list[int]]:
        threads.add(threading.current_thread().name)
        return write(*given)

    monkeypatch.setattr(decoding, "written_out", lambda model: False)
    monkeypatch.setattr(padded, "write", noted)
    prompts = [Asked((5, n, 7), 1 + n % 3) for n in range(10, 150)]
    assert generate(tiny, tiny.network, prompts) == [plain(tiny, one) for one in prompts]
    assert len(threads) == count(CPU)
