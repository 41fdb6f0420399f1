from pathlib import Path

import pytest

from agent.study import StudyRequest, study
from memory.errors import UnknownPolicy
from memory.records import Chunk, Progress

CHUNK = Chunk(1, 1, 0, "Systems > Servers", "The server Tarrick listens on port 9362.")


def test_a_model_that_cannot_write_still_studies(tiny_path: Path) -> None:
    """What a random model writes is garbage; beside it stands what rules make."""
    seen: list[Progress] = []
    plan = study(StudyRequest(tiny_path, None, "minilm", (CHUNK,), ("al",), 4, seed=1), seen.append)
    assert "keywords" in {item.kind for item in plan.items}
    assert {item.answer for item in plan.items} == {CHUNK.text}
    assert seen[-1].done == seen[-1].total > 0


def test_an_unknown_policy_lists_the_known_ones(tiny_path: Path) -> None:
    with pytest.raises(UnknownPolicy, match="al"):
        study(
            StudyRequest(tiny_path, None, "minilm", (CHUNK,), ("all",), 4, seed=1),
            lambda progress: None,
        )
