"""The four policies that verify and choose, once on the built-in model."""

import math
from collections.abc import Iterator

import pytest

from agent import catalog
from agent.settings import TrainSettings
from agent.study import ModelTools, opened
from memory.records import Chunk
from policies import load
from policies.base import Candidate
from service.config import Config

pytestmark = [pytest.mark.model, pytest.mark.slow]
TEXT = (
    "The server Tarrick listens on port 9362. It was set up in 2011 by Maren Oduya-Stroud. "
    "Backups are kept for 30 days."
)
CHUNK = Chunk(1, 1, 0, "Systems", TEXT)
RIGHT = (
    ("Which port does the server Tarrick listen on?", "9362"),
    ("Who set up the server Tarrick?", "Maren Oduya-Stroud"),
    ("How long are backups kept?", "30 days"),
)
WRONG = (
    ("Which port does the server Tarrick listen on?", "9633"),
    ("Who set up the server Tarrick?", "Catrin Boateng"),
    ("How long are backups kept?", "2011"),
)


def candidate(question: str, answer: str) -> Candidate:
    return Candidate(CHUNK, TEXT, "qa", question, answer, "al")


CANDIDATES = [candidate(*pair) for pair in (*RIGHT, *WRONG)]


@pytest.fixture(scope="module")
def tools() -> Iterator[ModelTools]:
    config = Config()
    base, adapter = catalog.resolve(config.model, config.cache), catalog.study_adapter(config.model)
    yield opened(base, adapter, config.embedder, TrainSettings(), lambda progress: None)


@pytest.mark.parametrize("name", ["entst", "lmsi"])
def test_right_answers_are_trusted_more_than_wrong_ones(name: str, tools: ModelTools) -> None:
    policy = load(name)
    scores = policy.score(CANDIDATES, tools, seed=0)
    assert sum(scores[:3]) > sum(scores[3:]) + 0.5
    health = policy.diagnose(CANDIDATES, {})
    assert health.reliability is not None and health.figures["planted"] > 0


def test_icm_labels_every_claim_and_says_what_its_labels_are_worth(tools: ModelTools) -> None:
    policy = load("icm")
    scores = policy.score(CANDIDATES, tools, seed=0)
    assert set(scores) <= {0.0, 1.0}
    health = policy.diagnose(CANDIDATES, {})
    assert health.reliability is not None and math.isfinite(health.figures["utility"])


def test_daar_chooses_seven_in_ten(tools: ModelTools) -> None:
    trusted = {
        candidate(f"{question} ({n})", answer): 1.0 for n in range(7) for question, answer in RIGHT
    }
    assert len(load("daar").select(trusted, tools, seed=0)) == round(0.7 * len(trusted))
