from math import log, nan

import numpy as np
import pytest

from memory.records import Chunk
from policies.base import Candidate, Model
from policies.pipeline import Pipeline
from policies.r_zero import RZero, worth
from tests.helpers.tools import FakeTools

CHUNK = Chunk(3, 1, 0, "Servers", "The server Tarrick listens on port 9362.")
QUESTIONS = ("What is easy here?", "Where might it listen?", "Who knows its number?")


def own(question: str) -> Candidate:
    return Candidate(CHUNK, CHUNK.text, "probe", question, "9362", "r_zero")


OWN = [own(one) for one in QUESTIONS]


def solver(**right: int) -> FakeTools:
    """Solves a question, named by its first word, so many times of six: every other time first."""
    asked: dict[str, int] = {}

    def generate(prompt: str, temperature: float, seed: int) -> str:
        word = prompt.split(maxsplit=1)[0]
        n = asked[word] = asked.get(word, -1) + 1
        return "It is 9362." if [0, 3, 1, 4, 2, 5].index(n) < right.get(word, 0) else "No idea."

    return FakeTools(generate)


@pytest.mark.parametrize(
    ("success", "share", "value"),
    [
        (0.5, 0.25, 0.75),
        (0.3, 0.1, 0.5),
        (0.7, 0.1, 0.5),
        (0.2, 0.0, 0.4),
        (0.19, 0.0, 0.0),
        (0.81, 0.0, 0.0),
        (1.0, 0.0, 0.0),
        (0.25, 1.0, 0.01),  # like all others, but at the edge
    ],
)
def test_a_question_is_worth_most_at_the_edge(success: float, share: float, value: float) -> None:
    assert worth(np.array([success]), [share]) == pytest.approx([value])


def test_what_is_solved_half_of_the_time_is_kept() -> None:
    """Success 1, 1/3 and 0; each question a cluster of its own, a third of all."""
    policy = RZero()
    scores = policy.score(OWN, solver(What=6, Where=2), 0)
    assert scores == pytest.approx([0.0, 1 - 2 * (0.5 - 1 / 3) - 1 / 3, 0.0])
    health = policy.diagnose([], {})
    assert health.figures["easy"] == health.figures["edge"] == health.figures["hard"] == 1.0
    assert health.entropy == pytest.approx(log(3)) and health.coverage == pytest.approx(1 / 3)
    assert health.reliability == 1.0  # both halves agree
    assert health.notes == ("difficulty by success",)


def test_the_solver_does_not_see_the_text() -> None:
    tools = solver(What=3)
    RZero().score(OWN, tools, 0)
    assert set(tools.prompts) == set(QUESTIONS)
    assert tools.asked.keys() == {Model.SERVED}


def test_where_nothing_is_solved_the_middle_of_the_batch_is_the_edge() -> None:
    """Ranks 1/6, 1/2 and 5/6, by the sentence and by the answer alone."""
    value = dict(zip(QUESTIONS, (-1.0, -2.0, -3.0), strict=True))
    policy = RZero()
    scores = policy.score(OWN, FakeTools(logprob=lambda prompt, answer: value[prompt]), 0)
    assert scores == pytest.approx([0.0, 1 - 1 / 3, 0.0])
    assert policy.diagnose([], {}).notes == ("difficulty by rank",)


def test_ratings_that_contradict_each_other_are_not_heeded() -> None:
    value = dict(zip(QUESTIONS, (-1.0, -2.0, -3.0), strict=True))
    tools = FakeTools(
        {"Write": "\n".join(QUESTIONS)},
        logprob=lambda prompt, answer: value[prompt] * (1 if answer == "9362" else -1),
    )
    studied = Pipeline([RZero()]).run([CHUNK], tools, 0)
    health = studied.health["r_zero"]
    assert (health.reliability or 0.0) < 0.3 and "below" in (health.abstained or "")
    assert set(studied.trusted.values()) == {1.0}


def test_log_probabilities_that_are_no_numbers_do_not_count_as_known() -> None:
    scores = RZero().score(OWN, FakeTools(logprob=lambda prompt, answer: nan), 0)
    assert scores == pytest.approx([1 - 1 / 3] * 3)  # all equal, all in the middle


def test_fifty_alike_are_worth_the_least() -> None:
    alike = [own(f"Where might it listen {'now ' * n}?") for n in range(3)]
    scores = RZero().score(alike, FakeTools(), 0)
    assert scores == [0.01] * 3


def test_it_proposes_what_only_examines() -> None:
    tools = FakeTools({"Write 4 questions": "\n".join((*QUESTIONS, "Is it 9362?", "", "Why?"))})
    found = RZero().propose([CHUNK], tools, 0)
    about = [one for one in found if one.answer == "9362"]
    assert [one.question for one in about] == list(QUESTIONS)  # none gives its answer away
    assert {one.kind for one in found} == {"probe"}


@pytest.mark.parametrize("count", [0, 1])
def test_with_too_few_it_abstains(count: int) -> None:
    policy = RZero()
    assert policy.score(OWN[:count], FakeTools(), 0) == [1.0] * count
    assert "too few" in (policy.diagnose([], {}).abstained or "")


def test_its_control_selects_nothing() -> None:
    tools = FakeTools()
    assert RZero().controlled().score(OWN, tools, 0) == [1.0] * 3 and not tools.prompts
