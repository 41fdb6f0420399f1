"""Packed weights multiply as those that they were made of, and let gradients through."""

import pytest
import torch
from peft import LoraConfig
from torch import Tensor, nn

from agent import models, products
from agent.products import Product, packed, packs, pairs
from tests.helpers.tiny_model import save_tiny_model

EXACT = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


@pytest.fixture(params=[torch.float32, torch.bfloat16])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    found: torch.dtype = request.param
    return found


def linear(width: int, out: int, dtype: torch.dtype, bias: bool) -> nn.Linear:
    return nn.Linear(width, out, bias=bias, dtype=dtype).requires_grad_(False)


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_a_product_is_that_of_each_module(dtype: torch.dtype, pack: bool, bias: bool) -> None:
    torch.manual_seed(0)
    several = [linear(48, out, dtype, bias) for out in (32, 8, 80)]
    if pack and not packs(nn.ModuleList(several)):
        pytest.skip("without bfloat16 instructions oneDNN packs float32 alone")
    product = Product(pairs(*several), pack)
    for rows in (1, 7, 130):
        x = torch.randn(rows, 48, dtype=dtype)
        expected = torch.cat([one(x) for one in several], dim=-1)
        assert torch.allclose(product(x), expected, atol=EXACT[dtype])


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_pass_through(dtype: torch.dtype, bias: bool) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(linear(48, 80, dtype, bias), nn.SiLU(), linear(80, 16, dtype, bias))
    x = torch.randn(2, 9, 48, dtype=dtype, requires_grad=True)

    def both() -> tuple[Tensor, Tensor]:
        out: Tensor = network(x)
        return out, torch.autograd.grad((out * out).sum(), x)[0]

    expected = both()
    with packed(network):
        changed = ["forward" in vars(network[place]) for place in (0, 2)]
        found = both()
    assert changed == [dtype == torch.float32] * 2  # elsewhere it does not pay
    assert not any("forward" in vars(one) for one in network)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=10 * EXACT[dtype], rtol=EXACT[dtype])


def test_what_never_changes_is_packed_for_good() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(linear(48, 80, torch.float32, True), nn.Linear(80, 16))
    x = torch.randn(9, 48)
    expected = network(x)
    assert products.pack_frozen(network) == [network[0]]  # the other one is trained
    assert "forward" in vars(network[0]) and torch.allclose(network(x), expected, atol=1e-5)
    assert products.pack_frozen(network) == []


def test_what_is_trained_is_not_packed(tmp_path_factory: pytest.TempPathFactory) -> None:
    model = models.load(save_tiny_model(tmp_path_factory.mktemp("tiny"), 1), torch.float32)
    network = models.adapt(model, LoraConfig(target_modules=["q_proj", "down_proj"]))
    assert packs(network)
    with packed(network), packed(network):  # the second finds nothing to do
        changed = [name for name, one in network.named_modules() if "forward" in vars(one)]
    assert any(name.endswith("q_proj.base_layer") for name in changed)
    assert not any("lora" in name for name in changed)
    assert not any("forward" in vars(one) for one in network.modules())


def test_a_model_that_is_too_big_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    network = linear(48, 80, torch.float32, bias=False)
    assert packs(network)
    monkeypatch.setattr(products, "_memory", lambda: 8 * 4 * 48 * 80 - 1)
    assert not packs(network)
    with packed(network):
        assert "forward" not in vars(network)


def test_what_a_processor_only_emulates_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert not packs(linear(8, 8, torch.bfloat16, bias=False))
    assert packs(linear(8, 8, torch.float32, bias=False))
