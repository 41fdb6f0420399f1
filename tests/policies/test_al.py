from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from memory.records import Chunk
from policies.al import AutonomousLearning, facts
from policies.base import Ask
from tests.helpers.embedding import embed

CHUNK = Chunk(3, 1, 0, "Systems > Servers", "There is one server. It listens on port 9362.")


class Scripted:
    """Answers by the first script line that stands in the prompt; remembers what it was asked."""

    def __init__(self, **script: str) -> None:
        self.script = {key.replace("_", " "): value for key, value in script.items()}
        self.prompts: list[str] = []

    def generate(self, asks: Sequence[Ask], temperature: float, seed: int) -> list[str]:
        self.prompts += [ask.prompt for ask in asks]
        return [self._answer(ask.prompt) for ask in asks]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return embed(texts)

    def _answer(self, prompt: str) -> str:
        return next((value for key, value in self.script.items() if key in prompt), "")


@pytest.mark.parametrize(
    ("text", "passage"),
    [
        ("One server. Tarrick listens on port 9362.", "Tarrick listens on port 9362."),
        ("Tarrick hums. It listens on port 9362.", "Tarrick hums. It listens on port 9362."),
        ("It hums. It listens on port 9362.", "Servers: It listens on port 9362."),
    ],
)
def test_a_fact_carries_what_is_needed_to_understand_it(text: str, passage: str) -> None:
    (fact,) = (one for one in facts(replace(CHUNK, text=text)) if one.span.text == "9362")
    assert fact.passage == passage


def test_written_questions_come_beside_hasty_ones() -> None:
    asked = "On which port does the server listen?\nserver port number\nserver port number"
    tools = Scripted(Write_4_questions=asked)
    candidates = AutonomousLearning().propose([CHUNK], tools, seed=0)
    kinds = [one.kind for one in candidates if one.answer == "9362"]
    assert sorted(kinds) == ["keywords", "qa", "qa"]  # the same question twice counts once
    assert all(one.answer in one.evidence for one in candidates)


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "port",
        "Port 9362 is what the server uses, is it?",
        "Which which port is the server?",
        "What do the the bees like?",
        "Why?",
        "\n \n",
    ],
)
def test_garbage_is_no_question(garbage: str) -> None:
    candidates = AutonomousLearning().propose([CHUNK], Scripted(Write=garbage), seed=0)
    about_port = [one for one in candidates if one.answer == "9362"]
    assert "qa" not in {one.kind for one in about_port}


@pytest.mark.parametrize(
    ("question", "trusted"),
    [
        ("server listens on which port?", True),
        ("how many bees live in the hive garden", False),  # leads to other passages
        ("zebra crossing", False),  # leads nowhere
    ],
)
def test_the_round_trip_decides(question: str, trusted: bool) -> None:
    hives = (f"The hive garden number {n} has {n}0 bees." for n in range(3, 7))
    chunk = replace(CHUNK, text=f"The server listens on port 9362. {' '.join(hives)}")
    policy, tools = AutonomousLearning(), Scripted(Write=question)
    candidates = policy.propose([chunk], tools, seed=0)
    scores = dict(zip(candidates, policy.score(candidates, tools, seed=0), strict=True))
    written = [score for one, score in scores.items() if one.kind == "qa" and one.answer == "9362"]
    assert [score > 0 for score in written] == [trusted]
    assert all(score == 1 for one, score in scores.items() if one.kind != "qa")


def test_a_question_is_as_clear_as_it_leads_before_the_next_passage() -> None:
    chunk = replace(
        CHUNK, text="The server listens on port 9362. The hive garden number 3 has 30 bees."
    )
    policy, tools = (
        AutonomousLearning(),
        Scripted(Write="the server listens on port, hive garden number has bees"),
    )
    candidates = policy.propose([chunk], tools, seed=0)
    scores = dict(zip(candidates, policy.score(candidates, tools, seed=0), strict=True))
    written = {one.answer: score for one, score in scores.items() if one.kind == "qa"}
    assert 0 < written["9362"] < 0.5 < written["30 bees"] < 1
    assert written["9362"] + written["30 bees"] == pytest.approx(1)  # one's lead is the other's lag
