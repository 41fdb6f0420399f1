"""What the written-out decoder multiplies, and what siblings share of it."""

from pathlib import Path

import pytest
import torch

from agent import layers, models
from tests.helpers.steps import finished
from tests.helpers.tiny_model import save_tiny_model


def test_a_sibling_shares_what_it_has_in_common(tmp_path: Path) -> None:
    model = models.load(save_tiny_model(tmp_path / "one", 1), torch.float32)
    other = models.load(tmp_path / "one", torch.float32)
    with torch.no_grad():
        other.network.get_parameter("model.layers.1.mlp.up_proj.weight").mul_(2)
    models.save(other, tmp_path / "other")
    sibling, _ = finished(models.sibling(model, tmp_path / "other"))
    mine = layers.weights(model)
    theirs, steps = finished(layers.in_steps(sibling, mine))
    assert steps == len(mine.layers) > 1
    assert theirs.head is mine.head
    assert theirs.layers[0].widen is mine.layers[0].widen
    assert theirs.layers[1].attend is mine.layers[1].attend
    assert theirs.layers[1].widen is not mine.layers[1].widen
    x = torch.randn(3, sibling.network.config.hidden_size)
    up = sibling.network.get_submodule("model.layers.1.mlp.up_proj")
    assert torch.allclose(theirs.layers[1].widen(x).chunk(2, -1)[1], up(x), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_matrix_has_its_product(tmp_path: Path, dtype: torch.dtype) -> None:
    found = layers.weights(models.load(save_tiny_model(tmp_path, 1), dtype))
    assert len(found.products) == 4 * len(found.layers) + 1


@pytest.mark.parametrize("rows", [1, 2])
def test_a_norm_is_that_of_the_network(tmp_path: Path, rows: int) -> None:
    model = models.load(save_tiny_model(tmp_path, 1), torch.float32)
    norm = model.network.get_submodule("model.norm")
    torch.nn.init.normal_(norm.get_parameter("weight"))
    x = 9 * torch.randn(rows, model.network.config.hidden_size)
    assert torch.allclose(layers.Norm(norm)(x), norm(x), atol=1e-5)
