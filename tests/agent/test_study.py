from pathlib import Path

import pytest

from agent.study import StudyRequest, study
from memory.errors import UnknownPolicy
from memory.records import Chunk, Progress

CHUNK = Chunk(1, 1, 0, "Systems > Servers", "The server Tarrick listens on port 9362.")


def test_a_model_that_cannot_write_still_studies(tiny_path: Path) -> None:
    """The random model writes garbage; the round trip drops it, and what rules make remains."""
    seen: list[Progress] = []
    plan = study(StudyRequest(tiny_path, None, (CHUNK,), ("al",), 4, seed=1), seen.append)
    assert {item.kind for item in plan.items} == {"keywords"}
    assert {item.answer for item in plan.items} == {CHUNK.text}
    assert plan.health["facts_phrased"] == 0 and not plan.probes
    assert seen[-1].done == seen[-1].total > 0


def test_an_unknown_policy_lists_the_known_ones(tiny_path: Path) -> None:
    with pytest.raises(UnknownPolicy, match="al"):
        study(StudyRequest(tiny_path, None, (CHUNK,), ("all",), 4, seed=1), lambda progress: None)
