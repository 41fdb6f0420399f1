"""One file, whole or overlooked; the whole path is tested in test_train.py."""

from pathlib import Path

import torch

from agent.checkpoint import Checkpoint, Point

POINT = Point(3, 17, {"0 value": torch.tensor([1.0, 2.0]), "0 step": torch.tensor(17.0)})


def test_the_last_point_comes_back(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "training", "this")
    assert checkpoint.last() is None
    checkpoint.keep(Point(1, 5, POINT.tensors))
    checkpoint.keep(POINT)
    found = checkpoint.last()
    assert found is not None and (found.epochs, found.steps) == (3, 17)
    assert all(torch.equal(found.tensors[name], one) for name, one in POINT.tensors.items())
    checkpoint.drop()
    checkpoint.drop()  # twice is as good
    assert checkpoint.last() is None


def test_another_training_and_a_damaged_file_are_overlooked(tmp_path: Path) -> None:
    file = tmp_path / "training"
    Checkpoint(file, "that").keep(POINT)
    assert Checkpoint(file, "this").last() is None
    file.write_bytes(file.read_bytes()[:40])
    assert Checkpoint(file, "that").last() is None


def test_without_a_file_nothing_is_kept() -> None:
    checkpoint = Checkpoint(None, "this")
    checkpoint.keep(POINT)
    checkpoint.drop()
    assert checkpoint.last() is None
