"""Which way gradients are found."""

from pathlib import Path

import pytest

from agent import models
from agent.backprop import WrittenOut
from agent.gradients import gradients
from agent.losses import Packed, pack
from agent.nullspace import aim
from agent.settings import TrainSettings
from agent.train import adapted
from tests.helpers.aimed import KNOWN, STUDIED

SETTINGS = TrainSettings(rank=4, alpha=8, frozen_share=0.0)


@pytest.mark.parametrize("wrong", [False, True])
def test_what_is_written_out_is_used_where_it_is_right(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: bool
) -> None:
    network = adapted(models.load(tiny_path), None, SETTINGS)
    aim(network, STUDIED, KNOWN)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    write, calls = WrittenOut.gradients, list[Packed]()

    def counted(ours: WrittenOut, batch: Packed, *given: object) -> object:
        calls.append(batch)
        loss, found = write(ours, batch, *given)  # type: ignore[arg-type]
        return loss * (1.1 if wrong else 1), found

    monkeypatch.setattr(WrittenOut, "gradients", counted)
    step = gradients(network, weights, SETTINGS, STUDIED[:1])
    calls.clear()
    batch = pack(STUDIED[:3], weights[0].device)
    loss, found = step(batch)
    assert len(calls) == (0 if wrong else 1)
    assert loss > 0 and len(found) == len(weights)
    assert all(one is not None and one.isfinite().all() for one in found)


def test_what_is_not_written_out_is_recorded(tiny_path: Path) -> None:
    network = adapted(models.load(tiny_path), None, SETTINGS)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    step = gradients(network, weights, SETTINGS, STUDIED[:1])
    loss, found = step(pack(STUDIED[:3], weights[0].device))
    assert loss > 0
    assert all(one is not None for one in found)  # of A, too
