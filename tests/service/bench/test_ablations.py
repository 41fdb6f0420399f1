from dataclasses import asdict
from pathlib import Path

import pytest

from service.bench.ablations import METHODS, PARTS, ablated, reviews
from service.config import Config, load


@pytest.fixture
def config(state: Path) -> Config:
    return load(None, {"state": state})


@pytest.mark.parametrize("method", METHODS)
def test_one_part_is_off_and_all_else_as_it_was(config: Config, method: str) -> None:
    changed = ablated(config, method)
    sections = ("study", "train", "gate", "consolidate")
    pairs = [(getattr(config, name), getattr(changed, name)) for name in sections]
    assert sum(before != after for before, after in pairs) == 1
    assert ablated(config, "learnd") == config


def test_what_is_off(config: Config) -> None:
    assert PARTS == ("replay", "kl", "gate", "reviews", "consolidation")
    assert ablated(config, "no_replay").train.replay_most == 0
    assert ablated(config, "no_consolidation").consolidate.after == 0
    assert asdict(ablated(config, "no_gate").gate)["min_learned"] == 0
    assert [reviews(one) for one in ("learnd", "no_replay", "no_reviews")] == [True, True, False]
