import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from agent import models
from agent.settings import TrainSettings
from agent.train import TrainRequest, train
from agent.trial import RespondRequest, TrialRequest, respond, trial
from memory.errors import TrainingDiverged
from memory.records import Progress, StudyItem

SETTINGS = TrainSettings(rank=8, alpha=16, frozen_share=0.0, learning_rate=1e-2, epochs=40)
ITEMS = (StudyItem(1, "qa", "port of quick?", "fox fox", "al"),)
QUESTIONS = ("port of quick?", "port of lazy?")


def quiet(progress: Progress) -> None:
    pass


@pytest.fixture
def request_(tiny_path: Path) -> TrialRequest:
    return TrialRequest(tiny_path, ITEMS, QUESTIONS, most=8, settings=SETTINGS, seed=1)


@pytest.fixture
def plain(tiny_path: Path) -> RespondRequest:
    return RespondRequest(tiny_path, None, (QUESTIONS,), most=8)


def test_a_trial_answers_what_it_was_trained_on_and_tells_the_cost(request_: TrialRequest) -> None:
    tried = trial(request_, quiet)
    assert tried.replies.texts[0] == "fox fox"
    assert tried.seconds > 0 and tried.replies.seconds > 0
    assert tried.tokens > 0


def test_a_trial_leaves_nothing_behind(
    request_: TrialRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    trial(replace(request_, settings=replace(SETTINGS, epochs=1)), quiet)
    with pytest.raises(TrainingDiverged):
        trial(replace(request_, settings=replace(SETTINGS, learning_rate=float("inf"))), quiet)
    assert not list(tmp_path.iterdir())


def test_general_prompts_are_rehearsed_beside_the_items(request_: TrialRequest) -> None:
    short = replace(request_, settings=replace(SETTINGS, epochs=1))
    alone, beside = (trial(replace(short, general=asked), quiet) for asked in ((), ("Who signs?",)))
    assert beside.tokens > alone.tokens


def test_without_items_the_base_itself_answers(
    request_: TrialRequest, plain: RespondRequest
) -> None:
    tried = trial(replace(request_, items=()), quiet)
    [expected] = respond(plain, quiet)
    assert tried.replies.texts == expected.texts
    assert (tried.seconds, tried.tokens) == (0.0, 0)


def test_replies_come_in_batches_with_their_prompts_counted(
    plain: RespondRequest, tiny_path: Path
) -> None:
    seen: list[Progress] = []
    batches = (QUESTIONS, QUESTIONS[1:], ())
    both, one, none = respond(replace(plain, batches=batches), seen.append)
    assert (len(both.texts), len(one.texts), none.texts) == (2, 1, ())
    tokenizer = models.load(tiny_path).tokenizer
    assert one.prompt_tokens == len(models.question_tokens(tokenizer, QUESTIONS[1]))
    assert [(step.done, step.total) for step in seen] == [(1, 3), (2, 3), (3, 3)]


def test_the_study_adapter_answers_if_one_is_given(plain: RespondRequest, tmp_path: Path) -> None:
    train(TrainRequest(plain.base, None, tmp_path, ITEMS, SETTINGS, seed=1), quiet)
    [adapted] = respond(replace(plain, adapter=tmp_path), quiet)
    [untouched] = respond(plain, quiet)
    assert adapted.texts[0] == "fox fox" != untouched.texts[0]


def test_warm_answers_follow_the_seed(plain: RespondRequest) -> None:
    warm = replace(plain, temperature=1.0)
    texts = [respond(replace(warm, seed=seed), quiet)[0].texts for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
