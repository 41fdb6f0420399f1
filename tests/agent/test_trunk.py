from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from agent import models
from agent.activations import Activations
from agent.backprop import WrittenOut
from agent.losses import Example, pack
from agent.settings import TrainSettings
from agent.train import adapted
from agent.trunk import Trunk
from tests.helpers.losses import loss_of

SETTINGS = TrainSettings(rank=4, alpha=8, frozen_share=0.5)

EXAMPLES = [Example((5, 6, 7, 8), 2), Example((12, 13, 14, 15, 16, 17, 18), 5)]
CPU = torch.device("cpu")


@pytest.fixture
def network(tiny_path: Path) -> PeftModel:
    torch.manual_seed(1)
    network = adapted(models.load(tiny_path, torch.float32), None, SETTINGS)
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)  # an adapter that does something
    return network


def gradients(network: PeftModel, examples: list[Example]) -> tuple[float, list[torch.Tensor]]:
    loss = loss_of(network, pack(examples, CPU))
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    return loss.item(), list(torch.autograd.grad(loss, weights))


def test_loss_and_gradients_are_those_of_the_whole(network: PeftModel) -> None:
    trunk = Trunk(network)
    assert trunk.depth == 1
    loss, expected = gradients(network, EXAMPLES)
    remembered = trunk.remember(EXAMPLES)
    with trunk.cut_off():
        again, found = gradients(network, remembered)
    assert again == pytest.approx(loss, abs=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(expected, found, strict=True))


def test_the_network_is_whole_again_afterwards(network: PeftModel) -> None:
    trunk = Trunk(network)
    before = list(network.state_dict())
    with trunk.cut_off():
        assert list(network.state_dict()) != before
    assert list(network.state_dict()) == before


def test_an_adapter_on_every_layer_has_no_trunk(tiny_path: Path) -> None:
    network = adapted(models.load(tiny_path), None, replace(SETTINGS, frozen_share=0.0))
    trunk = Trunk(network)
    assert trunk.depth == 0
    assert trunk.remember(EXAMPLES) == EXAMPLES


def test_a_decoder_that_scales_its_input_is_trained_whole(network: PeftModel) -> None:
    """As Gemma does: activations fed back in would be scaled once more."""
    decoder: torch.nn.Module = network.get_base_model().get_decoder()  # type: ignore[operator]

    def scale(module: object, inputs: Any, keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if keywords.get("inputs_embeds") is not None:
            keywords["inputs_embeds"] = keywords["inputs_embeds"] * 24
        return inputs, keywords

    decoder.register_forward_pre_hook(scale, with_kwargs=True)
    assert Trunk(network).depth == 0


def test_what_is_kept_is_not_computed_again(network: PeftModel, tmp_path: Path) -> None:
    kept, trunk = Activations(tmp_path / "kept", "tiny"), Trunk(network)
    trunk.remember(EXAMPLES[:1], kept)
    expected = trunk.remember(EXAMPLES)
    both = trunk.remember(EXAMPLES, kept)
    for weight in network.parameters():
        weight.data.zero_()  # what is computed now would be nothing
    again = trunk.remember(EXAMPLES, kept)
    for one, two, three in zip(expected, both, again, strict=True):
        assert one.states is not None and two.states is not None and three.states is not None
        assert torch.allclose(one.states, two.states, atol=1e-6)
        assert torch.equal(two.states, three.states)


def test_the_trunk_is_read_by_what_is_written_out_where_that_is_right(
    network: PeftModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Trunk(network)
    assert ours._read != ours._by_network
    monkeypatch.setattr(WrittenOut, "states", lambda ours, batch: -ours._read(batch)[0])
    theirs = Trunk(network)
    assert theirs.depth == 1 and theirs._read == theirs._by_network
    for one, other in zip(ours.remember(EXAMPLES), theirs.remember(EXAMPLES), strict=True):
        assert one.states is not None and other.states is not None
        assert torch.allclose(one.states, other.states, atol=1e-5)
