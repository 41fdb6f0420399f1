import math
from dataclasses import replace

import pytest

from memory.records import Chunk
from policies.base import Candidate
from policies.checks import Mismatch
from policies.entst import WEIGHTS, EntailmentVerifier, Signals, signals, support, verdicts
from policies.pipeline import Pipeline
from tests.helpers.tools import FakeTools

CHUNK = Chunk(3, 1, 0, "Servers", "Tarrick listens on port 9362. The hive of Oster has 30 bees.")
PORT = Candidate(CHUNK, "Tarrick listens on port 9362.", "qa", "Which port?", "9362", "al")
HIVE = Candidate(CHUNK, "The hive of Oster has 30 bees.", "qa", "How many bees?", "30", "al")
WRONG = replace(PORT, answer="9444")


def reader(prompt: str, answer: str) -> float:
    """Holds likely what stands in the text before the question."""
    text = prompt.split("\n\nAnswer", maxsplit=1)[0]
    return -1.0 if answer in text else -8.0


TOOLS = FakeTools({"Which port?": "9362", "How many bees?": "30"}, reader)


def test_support_by_hand() -> None:
    found = Signals(-2.0, -5.0, -4.0, -1.5, frozenset({Mismatch.NUMBER}))
    assert found.features == (-0.5, 3.0, 2.0, 1.0)
    weights = (1.0, 2.0, 0.5, 0.25, -3.0)
    odds = 1.0 - 1.0 + 1.5 + 0.5 - 3.0
    assert support(found, weights) == pytest.approx(1 / (1 + math.exp(-odds)))


def test_each_signal_comes_from_its_own_prompt() -> None:
    tools = FakeTools({"Which port?": "9362"}, reader)
    one, other = signals([PORT, HIVE], tools, seed=0)
    assert one == Signals(-1.0, -8.0, -8.0, -1.0, frozenset())
    assert other.best == -8.0  # the reader said nothing
    prompts = [prompt for prompt, _ in tools.lessons]
    assert PORT.evidence in prompts[0] and prompts[1] == "Which port?"
    assert HIVE.evidence in prompts[2] and "Which port?" in prompts[2]


def test_a_true_pair_is_trusted_more_than_a_wrong_one() -> None:
    right, wrong = (support(one) for one in signals([PORT, WRONG], TOOLS, seed=0))
    assert right > 0.5 > wrong
    assert signals([WRONG], TOOLS, seed=0)[0].against == {Mismatch.NUMBER}


def test_what_is_contradicted_is_dropped_and_what_is_by_construction_true_stays() -> None:
    hasty = replace(PORT, kind="keywords")
    policy = EntailmentVerifier(cleans=False)
    scores = policy.score([PORT, WRONG, hasty], TOOLS, seed=0)
    assert scores[0] > 0.5 and scores[1:] == [0.0, 1.0]
    health = policy.diagnose([], {})
    assert health.figures["rejected"] == 1 and health.coverage == 0.5
    assert health.reliability is not None and health.reliability > 0.5


def test_a_model_that_cannot_tell_is_not_heeded() -> None:
    policy = EntailmentVerifier()
    policy.score([replace(PORT, chunk=replace(CHUNK, text="So be it."))], FakeTools(), seed=0)
    assert policy.diagnose([], {}).reliability is None  # nothing could be planted
    assert WEIGHTS[1] > 0 > WEIGHTS[4]


def test_a_lone_verdict_among_its_like_is_overruled() -> None:
    """Twenty about the port are trusted but one; twenty about bees are not."""
    ports = [replace(PORT, question=f"Which port {n}?") for n in range(20)]
    hives = [replace(HIVE, question=f"How many bees {n}?") for n in range(20)]
    found = [0.9] * 19 + [0.1] + [0.1] * 20
    kept = verdicts([*ports, *hives], found, TOOLS)
    assert kept[:19] == [True] * 19 and not any(kept[20:])


@pytest.mark.parametrize("candidates", [[], [replace(PORT, kind="text", question="")]])
def test_without_pairs_it_abstains(candidates: list[Candidate]) -> None:
    policy = EntailmentVerifier()
    assert policy.score(candidates, TOOLS, 0) == [1.0] * len(candidates)
    assert policy.diagnose([], {}).abstained


def test_one_alone_and_the_same_fifty_times() -> None:
    [alone] = EntailmentVerifier().score([PORT], TOOLS, 0)
    scores = EntailmentVerifier().score([PORT] * 50, TOOLS, 0)
    assert len(set(scores)) == 1 and scores[0] > 0 and alone > 0


def test_likelihoods_that_are_no_numbers_trust_nothing() -> None:
    tools = FakeTools(logprob=lambda prompt, answer: float("nan"))
    assert EntailmentVerifier().score([PORT], tools, 0) == [0.0]


def test_zero_candidates_left_is_the_pipelines_case() -> None:
    assert Pipeline([EntailmentVerifier()]).run([CHUNK], TOOLS, 0).trusted == {}
