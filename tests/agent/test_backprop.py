"""What is written out gives the loss and the gradients that autograd gives."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM

from agent import models, products
from agent.backprop import WrittenOut, can_train
from agent.losses import Example, Teacher, pack
from agent.models import LanguageModel
from agent.nullspace import aim, freeze
from agent.settings import TrainSettings
from agent.train import adapted
from agent.trunk import Trunk
from tests.helpers.aimed import KNOWN, STUDIED
from tests.helpers.losses import loss_of
from tests.helpers.tiny_model import save_tiny_model, tiny_tokenizer

SETTINGS = TrainSettings(rank=4, alpha=8, frozen_share=0.0)
TEACHER = Teacher(torch.tensor([[3, 4], [7, 9]]), torch.tensor([[0.75, 0.25], [0.5, 0.5]]))
EXAMPLES = [
    Example((5, 6, 7, 8), 2, TEACHER),
    Example((9, 10, 11), 1),
    Example((12, 13, 14, 15, 16, 17, 18), 5),
]
CPU = torch.device("cpu")
Make = Callable[[Path, torch.dtype], LanguageModel]


def llama(directory: Path, dtype: torch.dtype) -> LanguageModel:
    return models.load(save_tiny_model(directory, 1), dtype)


def qwen(directory: Path, dtype: torch.dtype) -> LanguageModel:
    """With biases, which its random weights leave at zero."""
    tokenizer = tiny_tokenizer()
    torch.manual_seed(1)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,
        initializer_range=0.2,
    )
    network = Qwen2ForCausalLM(config)
    for name, weight in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight)
    network.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return models.load(directory, dtype)


def speaking(model: LanguageModel, settings: TrainSettings = SETTINGS) -> PeftModel:
    """With an adapter that listens to the same everywhere and does something."""
    torch.manual_seed(1)
    network = adapted(model, None, settings)
    aim(network, STUDIED, KNOWN)
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return network


def weights_of(network: PeftModel) -> list[Tensor]:
    return [weight for weight in network.parameters() if weight.requires_grad]


def by_autograd(
    network: PeftModel, examples: Sequence[Example]
) -> tuple[float, tuple[Tensor, ...]]:
    loss = loss_of(network, pack(examples, CPU), 4.0, 2.0)
    return loss.item(), torch.autograd.grad(loss, weights_of(network))


def written_out(network: PeftModel, examples: Sequence[Example]) -> tuple[float, list[Tensor]]:
    assert can_train(network)
    batch, weights = pack(examples, CPU), weights_of(network)
    loss, found = WrittenOut(network).gradients(batch, weights, 4.0, 2.0)
    return loss, [one for one in found if one is not None]


@pytest.mark.parametrize("make", [llama, qwen])
@pytest.mark.parametrize("pack", [True, False])
def test_loss_and_gradients_are_those_of_autograd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make, pack: bool
) -> None:
    if not pack:
        monkeypatch.setattr(products, "_memory", lambda: 0)
    network = speaking(make(tmp_path, torch.float32))
    for examples in (EXAMPLES, EXAMPLES[2:], [*STUDIED[:9], *EXAMPLES]):
        loss, expected = by_autograd(network, examples)
        again, found = written_out(network, examples)
        assert again == pytest.approx(loss, rel=1e-5)
        for one, other in zip(found, expected, strict=True):
            assert torch.allclose(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("make", [llama, qwen])
def test_in_bfloat16_but_for_rounding(tmp_path: Path, make: Make) -> None:
    network = speaking(make(tmp_path, torch.bfloat16))
    loss, expected = by_autograd(network, EXAMPLES)
    again, found = written_out(network, EXAMPLES)
    assert again == pytest.approx(loss, rel=0.02)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype == torch.float32
        assert torch.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.98


def test_what_stands_on_a_trunk(tmp_path: Path) -> None:
    network = speaking(llama(tmp_path, torch.float32), replace(SETTINGS, frozen_share=0.5))
    loss, expected = by_autograd(network, EXAMPLES)
    trunk = Trunk(network)
    remembered = trunk.remember(EXAMPLES)
    assert not can_train(network)  # the whole has layers without an adapter
    with trunk.cut_off():
        again, found = written_out(network, remembered)
    assert again == pytest.approx(loss, rel=1e-5)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-5, rtol=1e-4)


def test_an_a_that_learns_or_differs_is_left_to_autograd(tmp_path: Path) -> None:
    network = adapted(llama(tmp_path, torch.float32), None, SETTINGS)
    assert not can_train(network)  # it learns
    freeze(network)
    assert not can_train(network)  # each listens to something else


def test_other_architectures_are_left_to_autograd(tmp_path: Path) -> None:
    model = llama(tmp_path, torch.float32)
    network = speaking(model)
    assert can_train(network)
    model.network.config.hidden_act = "gelu"
    assert not can_train(network)
