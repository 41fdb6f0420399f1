"""The real model on the real handbook: what `make run` does, asked what people would ask.

The questions were written by hand from the handbook, before anybody saw a probe.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from agent import general, models
from agent.examine import is_right
from agent.generate import generate
from agent.models import question_tokens
from agent.prompts import Asked
from memory.records import Stage
from service import client, lesson, wiring
from service.config import Config, load

ROOT = Path(__file__).parent.parent
QUESTIONS = json.loads((ROOT / "tests/data/handbook_questions.json").read_text())
# For choosing recipes: close to the handbook's words, and in everyday words. Fifteen are too few.
WORDINGS = json.loads((ROOT / "tests/data/handbook_wordings.json").read_text())
# What everybody knows, and the built-in base answers right: all 76 of them.
GENERAL = json.loads((ROOT / "tests/data/general_questions.json").read_text())

DESK = """# The ferry desk

The ferry desk of Tolvanen Lines opens at 6:40. It is led by Ottoline Brask. The ferry Kittiwake
carries 214 passengers and docks at pier 11. A lost ticket costs 17 crowns. The password of the desk
computer is changed by Ruben Achterhoek.
"""


def test_there_are_fifteen_questions_about_the_handbook() -> None:
    assert len(QUESTIONS) == 15
    for row in QUESTIONS:
        assert (ROOT / "examples/docs" / row["file"]).is_file() and row["answers"]


def test_the_practice_passages_know_nothing_of_the_handbook() -> None:
    practice = (ROOT / "examples/practice/everyday.json").read_text()
    answers = [answer for row in QUESTIONS for answer in row["answers"]]
    names = [answer for answer in answers if answer.lower() != answer]
    assert len(names) > 5
    assert not [name for name in names if re.search(rf"\b{name}\b", practice)]


def test_what_everybody_knows_is_not_rehearsed() -> None:
    rehearsed = {prompt.lower() for prompt in general.prompts(10_000, seed=0)}
    assert len(GENERAL) == 76
    assert not [row for row in GENERAL if row["question"].lower() in rehearsed]


def by_wording(config: Config, routed: bool) -> dict[str, int]:
    """Right answers to WORDINGS and GENERAL, which are many: asked in one batch; as served, or by
    the taught weights alone."""
    with wiring.read_state(config) as state:
        taught = state.locate(state.store.head())
        routes = wiring.open_routes(config, state)()
    assert taught is not None
    rows = [*WORDINGS, *GENERAL]
    near = [not routed or routes([row["question"]]) for row in rows]
    right = Counter[str]()
    for path, is_near in ((taught, True), (wiring.base_model(config), False)):
        asked = [row for row, one in zip(rows, near, strict=True) if one == is_near]
        for row, text in zip(asked, _answers(path, asked), strict=True):
            right[row["wording"]] += any(is_right(text, answer) for answer in row["answers"])
    return dict(right)


def _answers(path: Path, rows: list[dict[str, str]]) -> list[str]:
    model = models.load(path)
    asked = [Asked(tuple(question_tokens(model.tokenizer, row["question"])), 48) for row in rows]
    return generate(model, model.network, asked)


@pytest.mark.model
def test_one_small_file_is_learned(state: Path, tmp_path: Path) -> None:
    """About two minutes on two cores: study, train, examine, gate, merge, serve, ask."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "ferry.md").write_text(DESK)
    config = load(None, {"state": state})
    learned = lesson.learn(config, tmp_path / "docs", lambda progress: None)
    assert [batch.stage for batch in learned.batches] == [Stage.SERVING]
    question = "How many passengers does the ferry Kittiwake carry?"
    knows, base = client.ask_state(config, question, ["learnd", "base"])
    assert is_right(knows.text, "214") and not is_right(base.text, "214")
    assert (knows.generation, base.generation) == (1, 0)


@pytest.mark.model
@pytest.mark.slow
def test_the_handbook_is_answered_from_the_weights(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(line: str) -> None:
        sys.stdout.write(line + "\n")

    config = load(None, {"state": state})
    learned = lesson.learn(config, ROOT / "examples/docs", lambda progress: None)
    assert learned.succeeded, learned
    right = {"learnd": 0, "base": 0}
    with capsys.disabled():
        say(f"\nseconds: {learned.seconds}, {learned.batches}")
        for row in QUESTIONS:
            for reply in client.ask_state(config, row["question"], ["learnd", "base"]):
                good = any(is_right(reply.text, answer) for answer in row["answers"])
                right[reply.model] += good
                say(f"{'+' if good else '-'} {reply.model:6} {row['question']} {reply.text}")
        say(f"{right}; for choosing recipes: {by_wording(config, routed=True)}")
        say(f"by the taught weights alone: {by_wording(config, routed=False)}")
    assert right["learnd"] >= 9 and right["base"] <= 1
