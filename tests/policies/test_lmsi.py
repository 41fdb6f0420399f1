from dataclasses import replace

import pytest

from memory.records import Chunk
from policies.base import Candidate
from policies.lmsi import SelfImprovement, agreement, agrees
from policies.pipeline import Pipeline
from tests.helpers.tools import FakeTools

CHUNK = Chunk(3, 1, 0, "Servers", "Tarrick listens on port 9362. The hive of Oster has 30 bees.")
PORT = Candidate(CHUNK, "Tarrick listens on port 9362.", "qa", "Which port?", "9362", "al")
HASTY = replace(PORT, kind="keywords", question="port, what?")


class Reader:
    """Right so many times of five; a planted gap is read right, unless the text does not hold."""

    def __init__(self, right: int) -> None:
        self.right, self.asked = right, 0

    def __call__(self, prompt: str, temperature: float, seed: int) -> str:
        assert temperature == 0.7
        if "Which port?" not in prompt:
            return "not stated"
        self.asked += 1
        return "port 9362" if self.asked <= self.right else "9361"


@pytest.mark.parametrize(
    ("answer", "expected", "same"),
    [
        ("9362", "port 9362", True),
        ("port 9361", "port 9362", False),
        ("nine", "9", True),
        ("30 days", "thirty crowns", False),
        ("12 days", "twelve crowns", False),
        ("the harbour master", "The Harbour Master's", True),
        ("harbour", "the old harbour gate", True),
        ("gate", "the old harbour gate of Oster", False),
        ("not stated", "Oster", False),
        ("", "", False),
        ("the", "a", False),
    ],
)
def test_what_is_the_same_answer(answer: str, expected: str, same: bool) -> None:
    assert agrees(answer, expected) == agrees(expected, answer) == same


@pytest.mark.parametrize(("right", "score"), [(5, 1.0), (3, 0.6), (0, 0.05)])
def test_the_share_of_votes_that_agree_is_the_score(right: int, score: float) -> None:
    policy = SelfImprovement()
    assert policy.score([PORT, HASTY], FakeTools(Reader(right)), seed=1) == [score, 1.0]
    health = policy.diagnose([PORT], {})
    assert health.figures["agreement"] == right / 5 and health.figures["asked"] == 1


def test_votes_by_hand() -> None:
    tools = FakeTools(Reader(2))
    assert agreement([PORT], 5, tools, seed=0) == [2 / 5]
    assert len(tools.prompts) == 5 and PORT.evidence in tools.prompts[0]


def test_a_reader_who_knows_nothing_is_not_heeded() -> None:
    """It tells planted pairs from their twins no better than a coin: reliability 0."""
    policy = SelfImprovement()
    policy.score([PORT], FakeTools({"Which": "9361"}), seed=1)
    assert policy.diagnose([PORT], {}).reliability == 0


def test_each_fact_is_put_in_four_formats_once() -> None:
    again = replace(PORT, question="On what port?")
    found = SelfImprovement().diversify([PORT, again, HASTY], FakeTools(), seed=0)
    assert found[:3] == [PORT, again, HASTY]
    assert [(one.kind, one.question, one.statement) for one in found[3:]] == [
        ("cloze", "Servers: Tarrick listens on port ____.", PORT.evidence),
        ("rationale", "Which port?", f"{PORT.evidence} So the answer is 9362."),
        ("text", "", PORT.evidence),
    ]
    assert SelfImprovement(formats=False).diversify([PORT], FakeTools(), 0) == [PORT]


def test_the_control_neither_votes_nor_adds() -> None:
    control, tools = SelfImprovement().controlled(), FakeTools()
    assert control.diversify([PORT], tools, 0) == [PORT]
    assert control.score([PORT], tools, 0) == [1.0] and not tools.prompts


@pytest.mark.parametrize("candidates", [[], [HASTY]])
def test_without_questions_it_abstains(candidates: list[Candidate]) -> None:
    policy = SelfImprovement()
    assert policy.score(candidates, FakeTools(), 0) == [1.0] * len(candidates)
    assert policy.diagnose(candidates, {}).abstained


def test_the_same_item_fifty_times_is_scored_fifty_times() -> None:
    tools = FakeTools({"Which port?": "9362"})
    assert SelfImprovement().score([PORT] * 50, tools, 0) == [1.0] * 50
    assert Pipeline([SelfImprovement()]).run([CHUNK], FakeTools(), 0).trusted == {}
