import pytest
import torch
from torch import nn

from agent.losses import Example
from agent.optimiser import Optimiser
from agent.settings import TrainSettings
from memory.errors import TrainingDiverged

COURSE = [[Example((1, 2, 3), 1)] * 4] * 2
SETTINGS = TrainSettings(learning_rate=0.1, batch_tokens=6)


def optimiser(network: nn.Module) -> Optimiser:
    return Optimiser(network, SETTINGS, COURSE)


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Linear(3, 2)


def gradients(one: Optimiser) -> list[torch.Tensor]:
    return [torch.full_like(weight, 0.5) for weight in one.weights]


def test_it_plans_a_step_a_batch() -> None:
    assert optimiser(network()).planned == 4


def test_what_is_frozen_is_not_its_business() -> None:
    layer = network()
    layer.get_parameter("bias").requires_grad_(False)
    assert len(optimiser(layer).weights) == 1


def test_it_goes_on_from_a_point_as_if_nothing_had_been() -> None:
    whole, cut = optimiser(network()), optimiser(network())
    for one in (whole, cut):
        one.step(1.0, gradients(one))
    point = cut.point(1)
    again = optimiser(network())
    assert again.go_on(point) == 1
    for one in (whole, again):
        one.step(1.0, gradients(one))
    assert again.steps == whole.steps == 2
    assert all(torch.equal(a, b) for a, b in zip(whole.weights, again.weights, strict=True))


@pytest.mark.parametrize("loss, gradient", [(float("nan"), 0.5), (1.0, float("inf"))])
def test_what_is_not_finite_is_an_error(loss: float, gradient: float) -> None:
    one = optimiser(network())
    wrong = [torch.full_like(weight, gradient) for weight in one.weights]
    with pytest.raises(TrainingDiverged, match="step 0"):
        one.step(loss, wrong)
