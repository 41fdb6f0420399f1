"""Shared prompts are read once, and nothing else changes."""

from pathlib import Path

import pytest

from agent import models
from agent.likelihood import likelihoods
from agent.losses import Example
from agent.train import encode, scores


@pytest.fixture
def model(tiny_path: Path) -> models.LanguageModel:
    return models.load(tiny_path)


def alone(model: models.LanguageModel, examples: list[Example]) -> list[float]:
    return [scores(model.network, [one], model.device)[0][0] for one in examples]


def test_each_answer_is_as_likely_as_alone(model: models.LanguageModel) -> None:
    prompts = ["Who?", "Which port has the server Tarrick?", "Where does the ferry dock?"]
    answers = ["Tarrick", "It listens on port 9362, and on 9481.", "pier 11"]
    examples = [encode(model, prompt, answer) for answer in answers for prompt in prompts]
    found = likelihoods(model, examples)
    assert len(set(found)) == 9
    assert found == pytest.approx(alone(model, examples), abs=2e-2)


def test_more_answers_than_fit_at_once(model: models.LanguageModel) -> None:
    examples = [encode(model, "What number?", str(number)) for number in range(70)]
    assert likelihoods(model, examples) == pytest.approx(alone(model, examples), abs=2e-2)


def test_a_prompt_of_one_token_and_one_of_many(model: models.LanguageModel) -> None:
    examples = [Example((3, 8, 9), 1), Example((3, 4, 5, 6, 7), 4), Example((3, 7), 1)]
    assert likelihoods(model, examples) == pytest.approx(alone(model, examples), abs=2e-2)
    assert likelihoods(model, []) == []
