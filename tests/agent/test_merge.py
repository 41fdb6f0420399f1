from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from agent import models
from agent.merge import (
    CombineRequest,
    MergeRequest,
    ShrinkRequest,
    combine,
    merge,
    shrink,
)
from agent.settings import TrainSettings
from agent.train import TrainRequest, train
from memory.errors import TrainingDiverged
from memory.records import Progress, StudyItem


def quiet(progress: Progress) -> None:
    pass


@pytest.fixture(scope="module")
def adapter(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("adapter")
    items = (StudyItem(1, "qa", "port?", "47", "al"),)
    settings = TrainSettings(rank=4, learning_rate=2e-2, epochs=4)
    train(TrainRequest(tiny_path, None, output, items, settings, 1), quiet)
    return output


@torch.no_grad()
def logits(network: torch.nn.Module) -> torch.Tensor:
    result: torch.Tensor = network(input_ids=torch.tensor([[5, 6, 7, 8]])).logits
    return result


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-4), (torch.bfloat16, 0.1)])
def test_merged_weights_answer_as_base_with_adapter(
    tiny_path: Path,
    adapter: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dtype: torch.dtype,
    near: float,
) -> None:
    monkeypatch.setattr(models, "preferred_dtype", lambda: dtype)
    merge(MergeRequest(tiny_path, adapter, tmp_path), quiet)
    base = models.load(tiny_path)
    untouched = logits(base.network)
    attached = logits(models.attach(base, adapter))
    merged = logits(models.load(tmp_path).network)
    assert torch.allclose(merged, attached, atol=near)
    assert not torch.allclose(merged, untouched, atol=2 * near)


def test_merging_twice_gives_the_same_bytes(tiny_path: Path, adapter: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        merge(MergeRequest(tiny_path, adapter, tmp_path / name), quiet)
    one, two = (tmp_path / name / "model.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_an_adapter_that_is_not_finite_is_refused(
    tiny_path: Path, adapter: Path, tmp_path: Path
) -> None:
    weights = load_file(adapter / "adapter_model.safetensors")
    name = next(iter(weights))
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
    save_file({**weights, name: weights[name] * float("nan")}, bad / "adapter_model.safetensors")
    request = MergeRequest(tiny_path, adapter, tmp_path / "merged")
    with pytest.raises(TrainingDiverged):
        merge(replace(request, adapter=bad), quiet)
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_shrunk_adapter_changes_its_parent_by_so_much(
    tiny_path: Path, adapter: Path, tmp_path: Path, share: float
) -> None:
    """Merged weights lie on the straight line from the parent's to the child's."""
    child, shrunk = tmp_path / "child", tmp_path / "shrunk"
    for directory in (child, shrunk):
        directory.mkdir()
    items = (StudyItem(1, "qa", "host?", "Tarrick", "al"),)
    settings = TrainSettings(rank=4, learning_rate=2e-2, onward_epochs=4)
    train(TrainRequest(tiny_path, adapter, child, items, settings, 1), quiet)
    shrink(ShrinkRequest(child, adapter, share, shrunk), quiet)
    first, second, between = (weights(tiny_path, one) for one in (adapter, child, shrunk))
    for name, tensor in between.items():
        expected = first[name] + share * (second[name] - first[name])
        assert torch.allclose(tensor, expected, atol=1e-6)
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_without_a_parent_it_shrinks_towards_the_base(
    tiny_path: Path, adapter: Path, tmp_path: Path
) -> None:
    shrink(ShrinkRequest(adapter, None, 0.3, tmp_path), quiet)
    base = dict(models.load(tiny_path, torch.float32).network.named_parameters())
    whole, part = weights(tiny_path, adapter), weights(tiny_path, tmp_path)
    for name, tensor in part.items():
        expected = base[name] + 0.3 * (whole[name] - base[name])
        assert torch.allclose(tensor, expected, atol=1e-6)


@pytest.mark.parametrize("method", ["cat", "linear", "svd", "ties", "dare_linear"])
def test_several_adapters_become_one(
    tiny_path: Path, adapter: Path, tmp_path: Path, method: str
) -> None:
    """Concatenated, they change the base by the sum of their changes; the rest only comes near."""
    other, both = tmp_path / "other", tmp_path / "both"
    for directory in (other, both):
        directory.mkdir()
    items = (StudyItem(1, "qa", "host?", "Tarrick", "al"),)
    settings = TrainSettings(rank=4, learning_rate=2e-2, epochs=4)
    train(TrainRequest(tiny_path, None, other, items, settings, 2), quiet)
    combine(CombineRequest(tiny_path, (adapter, other), method, both), quiet)
    base = dict(models.load(tiny_path, torch.float32).network.named_parameters())
    first, second, found = (weights(tiny_path, one) for one in (adapter, other, both))
    assert any(not torch.equal(found[name], base[name]) for name in base)
    if method == "cat":
        for name, tensor in found.items():
            expected = first[name] + second[name] - base[name]
            assert torch.allclose(tensor, expected, atol=1e-5)


def weights(base: Path, adapter: Path) -> dict[str, torch.Tensor]:
    model = models.merged(models.load(base, torch.float32), adapter)
    return {name: one.detach() for name, one in model.network.named_parameters()}
