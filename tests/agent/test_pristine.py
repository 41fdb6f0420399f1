import os
from pathlib import Path

import pytest
import torch
from torch import nn

from agent import models
from agent.merge import MergeRequest, merge
from agent.pristine import borrow
from agent.settings import TrainSettings
from agent.train import TrainRequest, train
from memory.records import StudyItem
from tests.helpers.tiny_model import save_tiny_model


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path / "base", seed=1)


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    """One that does something."""
    items = (StudyItem(1, "qa", "port of quick?", "47", "al"),)
    settings = TrainSettings(rank=4, alpha=8, epochs=3, learning_rate=0.1, frozen_share=0.0)
    output = tmp_path / "adapter"
    output.mkdir()
    train(TrainRequest(base, None, output, items, settings, seed=1), lambda progress: None)
    return output


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: one.detach().clone() for name, one in network.named_parameters()}


def test_what_is_borrowed_twice_is_read_once(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = borrow(base)
    monkeypatch.setattr(models, "load", None)
    two = borrow(base)
    assert one.network is not two.network
    for mine, yours in zip(one.network.parameters(), two.network.parameters(), strict=True):
        assert mine.data_ptr() == yours.data_ptr()


def test_it_says_what_a_loaded_one_says(base: Path) -> None:
    tokens = torch.tensor([[5, 6, 7]])
    loaded, borrowed = models.load(base), borrow(base)
    assert torch.equal(loaded.network(tokens).logits, borrowed.network(tokens).logits)


def test_nothing_that_is_done_with_it_harms_the_next(base: Path, adapter: Path) -> None:
    before = weights(models.load(base).network)
    models.merged(borrow(base), adapter)
    models.attach(borrow(base), adapter, trainable=True)
    other = borrow(base)
    other.network.set_attn_implementation("eager")
    after = borrow(base).network
    assert weights(after).keys() == before.keys()
    assert all(torch.equal(one, before[name]) for name, one in weights(after).items())
    assert not any(one.requires_grad for one in after.parameters())
    assert after.config._attn_implementation != "eager"


def test_a_merge_leaves_the_shelf_as_it_was(base: Path, adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "merged").mkdir()
    merge(MergeRequest(base, adapter, tmp_path / "merged"), lambda progress: None)
    before = weights(models.load(base, torch.float32).network)
    assert all(
        torch.equal(one, before[name])
        for name, one in weights(borrow(base, torch.float32).network).items()
    )
    merged = weights(models.load(tmp_path / "merged", torch.float32).network)
    assert any(not torch.equal(one, before[name]) for name, one in merged.items())


def test_other_weights_in_its_place_are_read(base: Path) -> None:
    old = weights(borrow(base).network)
    save_tiny_model(base, seed=2)
    file = base / "model.safetensors"
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    assert any(
        not torch.equal(one, old[name]) for name, one in weights(borrow(base).network).items()
    )
