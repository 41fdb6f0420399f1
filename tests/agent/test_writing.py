from pathlib import Path

import pytest
import torch

from agent import models, writing
from agent.generate import generate
from agent.models import LanguageModel
from agent.prompts import Asked
from agent.study import StudyRequest
from agent.writing import METHODS, WritingRequest, plainly, write
from memory.records import Chunk, Progress

CHUNK = Chunk(1, 1, 0, "Systems > Servers", "The server Tarrick listens on port 9362.")
PROMPTS = [Asked(tuple(range(5, 9 + n)), 6) for n in range(20)]


@pytest.fixture
def tiny32(tiny_path: Path) -> LanguageModel:
    return models.load(tiny_path, dtype=torch.float32)


def test_both_ways_say_the_same_greedily(tiny32: LanguageModel) -> None:
    counted: list[int] = []
    plain = plainly(tiny32, tiny32.network, PROMPTS, 0.0, 0, counted.append)
    assert plain == generate(tiny32, tiny32.network, PROMPTS)
    assert counted == [16, 4]


def test_what_is_drawn_follows_the_seed(tiny32: LanguageModel) -> None:
    first, again, other = (
        plainly(tiny32, tiny32.network, PROMPTS[:3], 1.0, seed, lambda done: None)
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_each_method_takes_each_part_in_turn(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random model writes nothing that is trusted; an echo of the passage is."""
    said = "Which port does the server Tarrick listen on?"
    monkeypatch.setattr(
        writing, "METHODS", dict.fromkeys(METHODS, lambda model, net, asks, *_: [said] * len(asks))
    )
    study = StudyRequest(tiny_path, None, "minilm", (), ("al",), 1, seed=1)
    seen: list[Progress] = []
    found = write(WritingRequest(study, ((CHUNK,), (CHUNK,))), seen.append)
    assert [one.method for one in found] == [*METHODS, *METHODS]
    assert all(one.verified > 0 and one.seconds > 0 for one in found)
    assert [one.done for one in seen] == list(range(3))
