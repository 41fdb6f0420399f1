from pathlib import Path

import numpy as np
import pytest

from agent import models
from agent.outer_loop import RoundRequest, Rounds, improve, judged
from agent.passages import Passage, Question
from agent.settings import TrainSettings
from agent.study import StudyRequest
from agent.train import TrainRequest, train
from memory.records import Progress, StudyItem
from policies.base import Candidate, Directives
from policies.pipeline import Studied

ITEMS = (StudyItem(None, "writer", "Write", "Who?", "practice"),)
PASSAGE = Passage("Ferry", "Tarrick pays.", (Question("Who pays?", "Tarrick"),) * 3)
SETTINGS = TrainSettings(rank=4, alpha=8, frozen_share=0.0, epochs=1)


def quiet(progress: Progress) -> None:
    pass


def test_rewards_that_training_does_not_change_are_reliable() -> None:
    rewards = np.repeat(np.array([[-1.0, -2.0], [-3.0, -1.0]])[:, :, None], 2, axis=2)
    figures = judged(rewards)  # the better of each pair: 1 and .5 over its mean
    assert figures == {"reliability": 1.0, "reward": -1.75, "gain": 0.75}


def test_half_of_the_variance_may_be_chance() -> None:
    """Means 0 and 2, variance 2; within, variance 2 over two trainings leaves 1 to chance."""
    rewards = np.array([[[-1.0, 1.0]], [[1.0, 3.0]]])
    assert judged(rewards)["reliability"] == pytest.approx(0.5)


def test_rewards_of_chance_alone_are_worth_nothing() -> None:
    rewards = np.array([[[-1.0, 1.0]], [[1.0, -1.0]]])
    figures = judged(rewards)
    assert figures["reliability"] == 0.0
    assert figures["gain"] == pytest.approx(-1.0)  # the last training punishes the choice


@pytest.fixture
def request_(tiny_path: Path, tmp_path: Path) -> RoundRequest:
    adapter, output = tmp_path / "adapter", tmp_path / "output"
    adapter.mkdir()
    output.mkdir()
    train(TrainRequest(tiny_path, None, adapter, ITEMS, (), SETTINGS, 1), quiet)
    study = StudyRequest(tiny_path, adapter, "minilm", (), ("al",), 0, seed=1)
    return RoundRequest(study, (PASSAGE,) * 2, Rounds(1, 2, 2, 2), SETTINGS, ITEMS, output)


def test_a_round_that_cannot_be_relied_on_teaches_nobody(
    request_: RoundRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.outer_loop.RELIABLE", 1.1)
    seen: list[Progress] = []
    figures = improve(request_, seen.append)
    assert figures["kept"] == 0.0
    assert figures["reward"] < 0
    assert not list(request_.output.iterdir())
    assert seen[-1] == Progress("reward", 4, 4)


def test_a_round_teaches_what_worked(
    request_: RoundRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.outer_loop.RELIABLE", 0.0)
    monkeypatch.setattr("agent.outer_loop.propose", _proposed)
    figures = improve(request_, quiet)
    assert figures["kept"] > 0
    models.attach(models.load(request_.study.base), request_.output)


def _proposed(request: StudyRequest, report: object) -> Studied:
    """What a model that can write would write."""
    written = {
        Candidate(chunk, chunk.text, "qa", f"Who pays, {request.seed}?", "Tarrick", "al"): 1.0
        for chunk in request.chunks
    }
    return Studied(written, {}, Directives())
