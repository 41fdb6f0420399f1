"""What serving is measured with."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from agent import models, yardstick
from tests.helpers.tiny_model import save_tiny_model


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), 1)


def test_tokens_are_counted_once_however_many_are_asked_together(path: Path) -> None:
    prompts = ["Who?", "What is the port of the invoice service?", "Where in Malmö?"]
    alone, seconds = yardstick.generate(path, prompts, 6, 1)
    together, _ = yardstick.generate(path, prompts, 6, 2)
    assert 0 < alone == together <= 18
    assert seconds > 0


def test_a_disturbed_model_differs_in_its_upper_half(path: Path, tmp_path: Path) -> None:
    yardstick.disturb(path, tmp_path, 0)
    before = dict(models.load(path).network.named_parameters())
    changed = {
        name
        for name, weight in models.load(tmp_path).network.named_parameters()
        if not torch.equal(weight, before[name])
    }
    assert changed and all(".layers.1." in name for name in changed)


def test_an_adapter_by_chance_changes_what_is_said(path: Path, tmp_path: Path) -> None:
    adapters = [yardstick.write_adapter(path, tmp_path / f"{seed}", seed, 8) for seed in (1, 2)]
    one, other = (load_file(adapter / models.ADAPTER) for adapter in adapters)
    changing = [name for name in one if ".lora_B." in name]
    assert changing and all(one[name].any() for name in changing)
    assert not any(torch.equal(one[name], other[name]) for name in changing)
