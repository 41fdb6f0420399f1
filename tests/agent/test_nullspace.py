from pathlib import Path

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import Linear
from torch import Tensor

from agent import models
from agent.losses import Example, pack, target_logits
from agent.nullspace import _directions, _loudness, aim
from agent.settings import TrainSettings
from agent.train import adapted
from tests.helpers.aimed import KNOWN, STUDIED


@pytest.fixture
def network(tiny_path: Path) -> PeftModel:
    torch.manual_seed(1)
    return adapted(models.load(tiny_path), None, TrainSettings(rank=4, alpha=8))


def heard(network: PeftModel, examples: list[Example]) -> float:
    """Mean square of what the A of all layers make of the examples."""
    found: list[Tensor] = []
    layers = [one for one in network.modules() if isinstance(one, Linear)]
    hooks = [
        layer.lora_A["default"].register_forward_hook(lambda _, __, out: found.append(out))
        for layer in layers
    ]
    with torch.no_grad():
        target_logits(network, pack(examples, network.device))
    for hook in hooks:
        hook.remove()
    return float(torch.stack([out.square().mean() for out in found]).mean())


def test_an_adapter_hears_what_is_studied_and_not_what_is_known(network: PeftModel) -> None:
    before = heard(network, STUDIED), heard(network, KNOWN)
    aim(network, STUDIED, KNOWN)
    after = heard(network, STUDIED), heard(network, KNOWN)
    assert after[0] == pytest.approx(before[0], rel=0.5)
    assert after[1] < before[1] / 2


def test_nothing_changes_yet_and_only_b_can_learn(network: PeftModel) -> None:
    batch = pack(KNOWN[:2], network.device)
    before = target_logits(network, batch)
    aim(network, STUDIED, KNOWN)
    assert torch.equal(target_logits(network, batch), before)
    able = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert able and all("lora_B" in name for name in able)


def test_the_directions_are_the_generalised_eigenvectors() -> None:
    torch.manual_seed(1)
    wanted, unwanted = (torch.diag(torch.tensor(row)) for row in ([1, 9, 1, 4.0], [1, 1, 9, 1.0]))
    rows = _directions(torch.randn(2, 4), wanted, unwanted)
    best = rows.abs().argmax(1).tolist()
    assert sorted(best) == [1, 3]
    assert rows.abs()[0, best[0]] == pytest.approx(rows.norm(dim=1)[0].item(), rel=1e-3)


def test_the_directions_are_as_loud_as_the_start() -> None:
    torch.manual_seed(1)
    start, rows = torch.randn(3, 6), torch.randn(40, 6)
    wanted = rows.T @ rows / 40
    found = _directions(start, wanted, torch.eye(6))
    assert _loudness(found, wanted) == pytest.approx(_loudness(start, wanted).item(), rel=1e-4)


def test_a_rank_beyond_the_width_leaves_rows_empty() -> None:
    torch.manual_seed(1)
    found = _directions(torch.randn(5, 3), torch.eye(3), torch.eye(3))
    assert found.shape == (5, 3) and torch.linalg.matrix_rank(found) == 3
    assert not found[3:].any()


def test_layers_that_take_the_same_input_listen_to_the_same(network: PeftModel) -> None:
    aim(network, STUDIED, KNOWN)
    found = {name: one for name, one in network.named_parameters() if "lora_A" in name}
    last = max(name.partition(".self_attn.")[0] for name in found if ".self_attn." in name)
    query, key, output = (found[f"{last}.self_attn.{x}_proj.lora_A.default.weight"] for x in "qko")
    assert torch.equal(query, key)
    assert query.data_ptr() != key.data_ptr()
    assert not torch.equal(query, output)
