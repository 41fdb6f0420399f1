from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from agent import catalog, general, models
from agent.generate import generate
from agent.losses import pack, teach
from agent.models import LanguageModel, question_tokens
from agent.prompts import Asked
from agent.rehearsal import KEPT, keep, recall, rehearse
from agent.settings import TrainSettings
from agent.train import adapted

PROMPTS = ("Where is the fox?", "Who signs?")


@pytest.fixture
def pupil(tiny_path: Path) -> tuple[LanguageModel, PeftModel]:
    """A model whose adapter has already changed what it says."""
    model = models.load(tiny_path, torch.float32)
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


def test_what_is_kept_is_not_asked_again(
    pupil: tuple[LanguageModel, PeftModel], tmp_path: Path
) -> None:
    first, second = recall(*pupil, PROMPTS)
    keep(PROMPTS[:1], [second], tmp_path / KEPT)  # a wrong answer: it must come back as it is
    kept, fresh = rehearse(*pupil, PROMPTS, tmp_path / KEPT)
    assert kept.labels == second.labels
    assert kept.tokens[: kept.start] == first.tokens[: first.start]
    assert (fresh.tokens, fresh.start) == (second.tokens, second.start)
    assert kept.teacher is not None and second.teacher is not None
    assert torch.equal(kept.teacher.tokens, second.teacher.tokens)
    torch.testing.assert_close(kept.teacher.chances, second.teacher.chances, atol=1e-3, rtol=1e-3)


def test_without_a_file_all_is_asked(pupil: tuple[LanguageModel, PeftModel]) -> None:
    said = [example.tokens for example in recall(*pupil, PROMPTS)]
    assert [example.tokens for example in rehearse(*pupil, PROMPTS, None)] == said


@pytest.mark.model
def test_what_comes_with_the_built_in_model_is_what_it_says() -> None:
    built_in = catalog.BUILT_IN["smollm2-135m"]
    model = models.load_gguf(models.package_directory(built_in.package) / built_in.file)
    network = adapted(model, None, TrainSettings(rank=4, alpha=8)).float()
    everything = general.prompts(10_000, seed=1)
    known = load_file(built_in.study_adapter / KEPT)
    assert {key.rpartition("/")[0] for key in known} == set(everything)
    some = rehearse(model, network, everything[:8], built_in.study_adapter / KEPT)
    again = teach(network, pack(some, model.device))
    kept = [one.teacher for one in some if one.teacher is not None]
    same = torch.cat([a.tokens[:, 0] == b.tokens[:, 0] for a, b in zip(kept, again, strict=True)])
    assert len(kept) == 8
    assert same.float().mean() > 0.95  # another data type may tip the scales here and there
