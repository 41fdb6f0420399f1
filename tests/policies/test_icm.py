from dataclasses import replace

import pytest

from memory.records import Chunk
from policies.base import Candidate
from policies.icm import InternalCoherence, contradictions, stated
from policies.pipeline import Pipeline
from tests.helpers.tools import FakeTools

OLD = Chunk(1, 1, 0, "Manual v1", "Sessions end after 30 seconds. The desk of Oster opens at 9:15.")
NEW = Chunk(2, 2, 0, "Manual v2", "Sessions end after 60 seconds. Guests may park in the yard.")


def candidate(chunk: Chunk, question: str, answer: str) -> Candidate:
    sentence = chunk.text.split(". ")[0] + "."
    return Candidate(chunk, sentence, "qa", question, answer, "al")


TRUE = candidate(NEW, "When do sessions end?", "after 60 seconds")
FALSE = candidate(NEW, "When do sessions end in May?", "after 45 seconds")
STALE = candidate(OLD, "When do sessions end?", "after 30 seconds")


def judge(prompt: str, answer: str) -> float:
    """Knows what stands in the manuals, and is two nats sure."""
    said = prompt.rsplit("\n\n", 1)[-1].splitlines()[0]
    values = {word.strip(".") for word in said.split() if word[0].isdigit()}
    known = values <= {"30", "60", "9:15"}
    return 0.0 if (answer == "True") == known else -2.0


def test_a_superseded_fact_is_flagged_and_the_later_one_named() -> None:
    policy = InternalCoherence()
    scores = policy.score([TRUE, STALE], FakeTools(logprob=judge), seed=0)
    assert scores == [1.0, 0.0]  # both say what their own document says, and one holds
    [note] = policy.diagnose([], {}).notes
    assert note == (
        "Manual v2 says 'Sessions end after 60 seconds.' and Manual v1, which is older, "
        "'Sessions end after 30 seconds.': 30 s or 60 s"
    )


def test_one_document_does_not_contradict_itself_in_the_health() -> None:
    assert contradictions([TRUE, replace(STALE, chunk=replace(OLD, document_id=2))]) == []
    assert stated([TRUE])[0][1].text == "Sessions end after 60 seconds."


def test_what_is_labelled_false_is_dropped() -> None:
    policy = InternalCoherence()
    hasty = replace(TRUE, kind="keywords")
    scores = policy.score([TRUE, FALSE, hasty], FakeTools(logprob=judge), seed=0)
    assert scores == [1.0, 0.0, 1.0]
    health = policy.diagnose([], {})
    assert health.figures["true"] == 0.5 and health.figures["clashes_left"] == 0
    assert health.coverage == 1.0


def test_the_prompt_shows_labelled_neighbours_and_asks_last() -> None:
    tools = FakeTools(logprob=judge)
    InternalCoherence().score([TRUE], tools, seed=0)
    prompt = tools.lessons[0][0]
    assert "Sessions end after 60 seconds.\nTrue or False: True" in prompt
    assert prompt.endswith("When do sessions end? after 60 seconds\nTrue or False:")
    assert {answer for _, answer in tools.lessons} == {"True", "False"}


def test_a_model_that_cannot_tell_is_not_heeded() -> None:
    result = Pipeline([InternalCoherence()]).run([NEW], FakeTools(), 0)
    assert result.health["icm"].abstained == "there was no claim to judge"
    policy = InternalCoherence()
    policy.score([TRUE, FALSE], FakeTools(), seed=0)
    assert policy.diagnose([], {}).reliability == 0


def test_the_control_judges_each_claim_by_itself() -> None:
    scores = InternalCoherence().controlled().score([TRUE, FALSE], FakeTools(logprob=judge), 0)
    assert scores == [1.0, 0.0]


@pytest.mark.parametrize("candidates", [[], [replace(TRUE, kind="text")], [TRUE] * 50])
def test_none_and_the_same_fifty_times(candidates: list[Candidate]) -> None:
    scores = InternalCoherence().score(candidates, FakeTools(logprob=judge), 0)
    assert scores == [1.0] * len(candidates)


def test_likelihoods_that_are_no_numbers_trust_nothing() -> None:
    tools = FakeTools(logprob=lambda prompt, answer: float("nan"))
    assert InternalCoherence().score([TRUE], tools, 0) == [0.0]
