"""What each rival asks the child to do, with scripted answers."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from agent.executor import Report
from agent.passages import Passage, Question
from agent.settings import TrainSettings
from agent.study import StudyRequest
from agent.trial import Replies, RespondRequest, Trial, TrialRequest
from memory.records import Probe, StudyItem
from policies.base import StudyPlan
from service.bench import rivals
from service.bench.rivals import Answered, Bench
from service.config import load
from tests.helpers.embedding import embed

FERRY = Passage(
    "Ferry", "The ferry carries goats.", (Question("What does the ferry carry?", "goats"),)
)
TOWER = Passage(
    "Tower",
    "The tower is red. It has nine floors.",
    (
        Question("Which colour has the tower?", "red"),
        Question("How many floors has the tower?", "nine"),
    ),
)
PLAN = StudyPlan(
    tuple(StudyItem(1, "qa", f"Question {n}?", "It is red.", "al") for n in range(10)),
    (Probe(1, "paraphrase", "Which colour?", "red", "It is red."),),
)


@dataclass
class Scripted:
    """An executor that notes what it is asked; the base writes two implications."""

    requests: list[Any] = field(default_factory=list)

    def run(self, job: Any, request: Any, report: Report) -> Any:
        self.requests.append(request)
        return getattr(self, type(request).__name__)(request)

    def free(self) -> None: ...

    def close(self) -> None: ...

    def StudyRequest(self, request: StudyRequest) -> StudyPlan:
        return PLAN

    def TrialRequest(self, request: TrialRequest) -> Trial:
        said = tuple(f"said: {question}" for question in request.questions)
        control = tuple(f"control: {question}" for question in request.control)
        return Trial(Replies(said, 7, 0.5), 2.0, 30, control)

    def RespondRequest(self, request: RespondRequest) -> list[Replies]:
        text = (
            "short"
            if request.adapter
            else "the base"
            if not request.temperature
            else "One follows.\n\n  Two follows. \n"
        )
        return [Replies((text,) * len(batch), 9, 0.25) for batch in request.batches]

    def of(self, kind: type) -> list[Any]:
        return [request for request in self.requests if isinstance(request, kind)]


@pytest.fixture
def executor() -> Scripted:
    return Scripted()


@pytest.fixture
def bench(executor: Scripted, state: Path) -> Bench:
    config = load(None, {"state": state, "engine": {"route": False}})
    alone = ((FERRY,), (TOWER,))
    control = (Question("Who wrote Emma?", "Austen"),)
    return Bench(executor, embed, config, Path("base"), Path("study adapter"), alone, control, 3)


def answer(bench: Bench, method: str) -> Answered:
    ticks: list[int] = []
    found = rivals.answers(bench, method, ticks.append)
    if method in ("base", "raw", "seal", "learnd"):
        assert ticks == [1, 2]
    return found


@pytest.mark.parametrize("method", ["base", "raw", "seal", "learnd"])
def test_closed_book_the_question_stands_alone_and_is_read_afterwards(
    bench: Bench, executor: Scripted, method: str
) -> None:
    found = answer(bench, method)
    assert [request.questions for request in executor.of(TrialRequest)] == [
        ("What does the ferry carry?",),
        ("Which colour has the tower?", "How many floors has the tower?"),
    ]
    read = executor.of(RespondRequest)[-1]
    assert read.adapter == bench.study_adapter
    [first], [_, last] = read.batches
    assert "said: What does the ferry carry?" in first and "goats" not in first
    assert "said: How many floors has the tower?" in last
    assert found.said[0] == ["said: What does the ferry carry?"]
    assert [len(texts) for texts in found.said] == [len(texts) for texts in found.short] == [1, 2]
    assert found.cost.trained_tokens == 60 and found.cost.learning_seconds >= 4.0
    assert found.control == [("control: Who wrote Emma?",)] * 2


def test_base_learns_nothing(bench: Bench, executor: Scripted) -> None:
    answer(bench, "base")
    assert all(request.items == () for request in executor.of(TrialRequest))


def test_raw_is_the_passage_alone(bench: Bench, executor: Scripted) -> None:
    answer(bench, "raw")
    request = executor.of(TrialRequest)[0]
    assert [(one.kind, one.prompt, one.answer) for one in request.items] == [
        ("text", "", "Ferry: The ferry carries goats.")
    ]
    assert (request.settings, request.general) == (bench.config.train, ())


def test_seal_trains_on_what_the_published_model_implied(bench: Bench, executor: Scripted) -> None:
    answer(bench, "seal")
    asked = executor.of(RespondRequest)[0]
    assert (asked.adapter, asked.temperature, asked.most) == (None, 1.0, 256)
    assert asked.batches[0][0].endswith("Ferry\nThe ferry carries goats.\n\nImplications:")
    request = executor.of(TrialRequest)[0]
    assert [one.answer for one in request.items] == [
        "Ferry\nOne follows.",
        "Ferry\nTwo follows.",
        "Ferry\nThe ferry carries goats.",
    ]
    recipe = request.settings
    assert (recipe.rank, recipe.alpha, recipe.learning_rate, recipe.epochs) == (32, 64, 1e-3, 10)
    assert (recipe.frozen_share, request.general) == (0.0, ())


def test_learnd_studies_the_chunks_and_rehearses(bench: Bench, executor: Scripted) -> None:
    answer(bench, "learnd")
    studied = executor.of(StudyRequest)[1]
    assert (studied.study_adapter, studied.pipeline) == (bench.study_adapter, ("al",))
    assert [(one.title, one.text) for one in studied.chunks] == [("Tower", TOWER.context)]
    request = executor.of(TrialRequest)[1]
    assert request.items == PLAN.items
    assert len(request.general) == TrainSettings().general_least
    assert bench.study_adapter and request.kept == bench.study_adapter / "rehearsal.safetensors"
    assert {one.seed for one in executor.requests if not isinstance(one, RespondRequest)} == {3}


def test_gold_reads_the_right_passage(bench: Bench, executor: Scripted) -> None:
    found = answer(bench, "gold")
    [request] = executor.requests
    assert request.adapter == bench.study_adapter
    assert all("The ferry carries goats." in prompt for prompt in request.batches[0])
    assert all("The tower is red." in prompt for prompt in request.batches[1])
    assert found.said == found.short and found.control == ()
    assert found.cost.learning_seconds == found.cost.trained_tokens == 0


def test_rag_reads_the_nearest_passages_first(bench: Bench, executor: Scripted) -> None:
    answer(bench, "rag1")
    answer(bench, "rag3")
    one, three = executor.requests
    assert "goats" in one.batches[0][0] and "tower" not in one.batches[0][0]
    [_, prompt] = three.batches[1]
    assert prompt.index("The tower is red.") < prompt.index("Ferry: The ferry carries goats.")


def test_a_group_is_learned_at_once_and_asked_passage_by_passage(
    bench: Bench, executor: Scripted
) -> None:
    together = replace(bench, groups=((FERRY, TOWER),))
    found = rivals.answers(together, "learnd", lambda done: None)
    [studied], [tried] = executor.of(StudyRequest), executor.of(TrialRequest)
    assert [(one.id, one.document_id, one.title) for one in studied.chunks] == [
        (1, 1, "Ferry"),
        (2, 2, "Tower"),
    ]
    assert studied.probes_per_chunk == 3  # so that there are six
    assert len(tried.questions) == 3
    assert [len(texts) for texts in found.said] == [1, 2]
    rivals.answers(together, "seal", lambda done: None)
    assert [one.answer for one in executor.of(TrialRequest)[1].items] == [
        f"{title}\n{line}"
        for title, text in (("Ferry", FERRY.context), ("Tower", TOWER.context))
        for line in ("One follows.", "Two follows.", text)
    ]


def test_learnd_answers_as_it_would_be_served(bench: Bench, executor: Scripted) -> None:
    routed = replace(bench, config=load(None, {"state": bench.config.state}))
    routed = replace(routed, groups=((TOWER,),))
    found = rivals.answers(routed, "learnd", lambda done: None)
    [far] = executor.of(RespondRequest)[0].batches
    assert "Who wrote Emma?" in far
    assert found.control == [("the base",)]
    assert rivals.answers(routed, "raw", lambda done: None).control == [
        ("control: Who wrote Emma?",)
    ]
