from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agent import models, pace
from agent.losses import Example
from agent.pace import METHODS, PaceRequest
from agent.settings import TrainSettings
from agent.train import encode
from memory.records import Progress, StudyItem

ITEMS = tuple(
    StudyItem(1, "qa", f"port of {name}?", port, "al")
    for name, port in (("quick", "47"), ("lazy", "9"), ("the fox", "4711"))
)
EXAMPLES = [Example((5, 6, 7, 8), 2), Example((9, 10, 11), 1)]


@pytest.fixture
def request_(tiny_path: Path) -> PaceRequest:
    settings = TrainSettings(rank=4, alpha=8, batch_tokens=32, frozen_share=0.5)
    return PaceRequest(tiny_path, ITEMS, 2, settings, seed=1)


def test_every_method_goes_over_the_items_equally_often(request_: PaceRequest) -> None:
    seen: list[Progress] = []
    found = pace.pace(request_, seen.append)
    assert tuple(one.method for one in found) == METHODS
    assert all(len(one.seconds) == 2 and one.tokens_per_s > 0 for one in found)
    assert [one.method for one in found if one.once] == ["learnd_all_layers", "learnd"]
    assert [one.done for one in seen] == list(range(3))


def test_speed_is_that_of_all_passes_with_what_is_done_once(
    request_: PaceRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_timed", lambda work: iter((1.0, 3.0)).__next__)
    ours = pace.pace(request_, lambda progress: None)[2]
    model = models.load(request_.base)
    tokens = sum(len(encode(model, item.prompt, item.answer)) for item in ITEMS)
    assert ours.seconds == (1.0, 3.0)
    assert ours.tokens_per_s == pytest.approx(2 * tokens / (ours.once + 4.0))


def test_the_trainer_learns_what_we_learn(request_: PaceRequest) -> None:
    """Its answers are padded and masked so that the loss falls on them alone."""
    many = replace(
        request_,
        items=ITEMS[:1],
        settings=replace(request_.settings, learning_rate=3e-2, batch_tokens=8),
    )
    model = models.load(many.base)
    examples = [encode(model, item.prompt, item.answer) for item in many.items]
    with pace._trainer(model, examples * 40, many) as (_, go):
        assert go() > 0
    logits = model.network(torch.tensor([examples[0].tokens])).logits[0, examples[0].start - 1 : -1]
    assert logits.argmax(-1).tolist() == list(examples[0].labels)


def test_a_step_holds_about_as_many_tokens_as_ours() -> None:
    assert pace._together(EXAMPLES, 14) == 4
    assert pace._together(EXAMPLES, 1) == 1


def test_a_prompt_bears_no_loss() -> None:
    assert pace._Rows(EXAMPLES)[0] == {
        "input_ids": [5, 6, 7, 8],
        "attention_mask": [1, 1, 1, 1],
        "labels": [-100, -100, 7, 8],
    }


def test_the_limit_counts_the_products_of_every_layer(
    request_: PaceRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_speed", lambda weights, pack: 1.0)
    model = models.load(request_.base)
    # a layer: q and o 32 x 32, k and v 16 x 32, gate, up and down 64 x 32; a head of `words` x 32
    words = model.network.config.vocab_size
    weights = 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32)
    ends = 2 * (2 * 64 + 2 * 48 + 3 * 96)
    tokens, targets = 7, 4
    expected = tokens * (4 * weights + 6 * 4 * ends) + targets * 4 * words * 32
    assert pace._products(model, EXAMPLES, rank=4)() == expected


def test_the_speed_of_products_is_finite(request_: PaceRequest) -> None:
    weights = [one for one in models.load(request_.base).network.parameters() if one.ndim == 2]
    assert all(0 < pace._speed(weights[:3], pack) < float("inf") for pack in (True, False))
