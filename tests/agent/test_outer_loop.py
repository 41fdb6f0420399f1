from pathlib import Path

import pytest

from agent import models
from agent.executor import Report
from agent.outer_loop import RoundRequest, Rounds, improve
from agent.passages import Passage, Question
from agent.rehearsal import KEPT, keep
from agent.settings import TrainSettings
from agent.study import TRIAL_GENERAL, StudyRequest
from agent.train import TrainRequest, train
from agent.trial import Trial, TrialRequest, trial
from memory.records import Progress, StudyItem
from policies.base import Candidate, Directives
from policies.pipeline import Studied

ITEMS = (StudyItem(None, "writer", "Write", "Who?", "practice"),)
PASSAGE = Passage("Ferry", "Tarrick pays.", (Question("Who pays?", "Tarrick"),) * 3)
SETTINGS = TrainSettings(rank=4, alpha=8, frozen_share=0.0, epochs=1)


def quiet(progress: Progress) -> None:
    pass


@pytest.fixture
def request_(tiny_path: Path, tmp_path: Path) -> RoundRequest:
    adapter, output = tmp_path / "adapter", tmp_path / "output"
    adapter.mkdir()
    output.mkdir()
    train(TrainRequest(tiny_path, None, adapter, ITEMS, SETTINGS, 1), quiet)
    keep((), (), adapter / KEPT)
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


def test_throw_away_adapters_are_aimed(
    request_: RoundRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[TrialRequest] = []

    def noted(request: TrialRequest, report: Report) -> Trial:
        asked.append(request)
        return trial(request, report)

    monkeypatch.setattr("agent.outer_loop.trial", noted)
    improve(request_, quiet)
    assert [len(one.general) for one in asked] == [TRIAL_GENERAL] * 4
    adapter = request_.study.study_adapter
    assert adapter and {one.kept for one in asked} == {adapter / KEPT}


def _proposed(request: StudyRequest, report: object) -> Studied:
    """What a model that can write would write."""
    written = {
        Candidate(chunk, chunk.text, "qa", f"Who pays, {request.seed}?", "Tarrick", "al"): 1.0
        for chunk in request.chunks
    }
    return Studied(written, {}, Directives())
