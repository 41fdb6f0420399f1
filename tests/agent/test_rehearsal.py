from pathlib import Path

import pytest
import torch
from peft import PeftModel

from agent import models
from agent.generate import Asked, generate
from agent.models import LanguageModel, question_tokens
from agent.rehearsal import recall
from agent.settings import TrainSettings
from agent.train import adapted

PROMPTS = ("Where is the fox?", "Who signs?")


@pytest.fixture
def pupil(tiny_path: Path) -> tuple[LanguageModel, PeftModel]:
    """A model whose adapter has already changed what it says."""
    model = models.load(tiny_path)
    network = adapted(model, None, TrainSettings(rank=4, alpha=8))
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=1.0)
    return model, network


def test_the_frozen_base_answers_not_the_pupil(
    tiny: LanguageModel, pupil: tuple[LanguageModel, PeftModel]
) -> None:
    asked = [Asked(tuple(question_tokens(tiny.tokenizer, prompt)), 32) for prompt in PROMPTS]
    said = generate(tiny, tiny.network, asked)
    assert generate(*pupil, asked) != said
    for example, prompt, answer in zip(recall(*pupil, PROMPTS), PROMPTS, said, strict=True):
        assert list(example.tokens[: example.start]) == question_tokens(tiny.tokenizer, prompt)
        again = tiny.tokenizer(answer, add_special_tokens=False).input_ids
        assert list(example.tokens[example.start :])[:32] == again[:32]


def test_each_token_comes_with_what_else_was_likely(
    pupil: tuple[LanguageModel, PeftModel],
) -> None:
    for example in recall(*pupil, PROMPTS):
        assert example.teacher is not None
        assert example.teacher.tokens.shape == (len(example) - example.start, 20)
        assert len(example) - example.start <= 33


def test_nothing_to_rehearse_is_no_work(pupil: tuple[LanguageModel, PeftModel]) -> None:
    assert recall(*pupil, ()) == []
