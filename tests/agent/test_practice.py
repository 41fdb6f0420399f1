import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from agent import general
from agent.outer_loop import Rounds
from agent.passages import Passage, Question
from agent.practice import PracticeRequest, lessons, practise
from agent.rehearsal import KEPT
from memory.errors import BadInput
from policies import skills

PASSAGES = [
    Passage(
        "Harbour_life",
        f"The ferry {n} leaves at noon. It carries {n} goats. Nobody pays.",
        (
            Question(f"What does ferry {n} carry?", f"{n} goats"),
            Question("When does it leave?", "at dawn"),
        ),
    )
    for n in range(40)
]


def test_questions_are_taught_with_the_sentence_that_answers_them() -> None:
    written = [item for item in lessons(PASSAGES, 100, 0, seed=1) if item.kind == "writer"]
    assert len(written) == 40  # "at dawn" stands in no sentence: nothing to learn from
    assert all("goats" in item.prompt and "Nobody pays" not in item.prompt for item in written)
    assert any("leaves at noon" in item.prompt for item in written)
    assert not all("leaves at noon" in item.prompt for item in written)


def test_wordings_of_one_fact_are_written_together() -> None:
    asked = (
        Question("How many goats?", "3 goats"),
        Question("its load", "3 goats"),
        Question("Who pays?", "Nobody"),
    )
    ferry = Passage("Ferry", "It carries 3 goats. Nobody pays.", asked)
    one, several = sorted(lessons([ferry], 9, 0, seed=1), key=lambda item: item.answer.count("\n"))
    assert one.answer == "Who pays?"
    assert one.prompt.endswith("Write a question whose answer is: Nobody")
    assert several.answer == "How many goats?\nits load"
    assert "Write 2 questions in different words" in several.prompt


def test_some_texts_do_not_hold_the_answer() -> None:
    read = [item for item in lessons(PASSAGES, 0, 40, seed=1) if item.kind == "reader"]
    silent = [item for item in read if item.answer == skills.NOT_STATED]
    assert 0 < len(silent) < len(read) / 2
    for item in read:
        text = item.prompt.split("\n\n")[0]
        assert (item.answer in text) == (item.answer != skills.NOT_STATED)


def test_lessons_follow_the_seed() -> None:
    assert lessons(PASSAGES, 9, 9, seed=1) == lessons(PASSAGES, 9, 9, seed=1)
    assert lessons(PASSAGES, 9, 9, seed=1) != lessons(PASSAGES, 9, 9, seed=2)


def test_practice_leaves_an_adapter_and_what_the_base_says(tmp_path: Path, tiny_path: Path) -> None:
    data = tmp_path / "data.json"
    asked = {"question": "Who signs?", "answer": "Nobody"}
    data.write_text(json.dumps([{"title": "T", "context": "Nobody signs.", "questions": [asked]}]))
    output = tmp_path / "adapter"
    output.mkdir()
    practise(PracticeRequest(tiny_path, (data,), output, 1, 1), lambda progress: None)
    assert {"adapter_model.safetensors", "README.md"} <= {file.name for file in output.iterdir()}
    assert len(load_file(output / KEPT)) == 3 * len(general.prompts(10_000, seed=1))


def test_rounds_go_on_from_an_adapter_and_stand_on_its_card(
    tmp_path: Path, tiny_path: Path
) -> None:
    data = tmp_path / "data.json"
    asked = [{"question": "Who signs?", "answer": "Nobody"}] * 3
    rows = [{"title": "T", "context": "Nobody signs.", "questions": asked}] * 2
    data.write_text(json.dumps(rows))
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    start = PracticeRequest(tiny_path, (data,), first, 1, 1)
    practise(start, lambda progress: None)
    kept = (first / KEPT).read_bytes()
    (first / KEPT).unlink()  # an adapter of somebody else has none
    rounds = Rounds(count=1, passages=2, edits=2, trainings=2)
    figures = practise(
        PracticeRequest(tiny_path, (data,), second, 1, 1, start=first, rounds=rounds),
        lambda progress: None,
    )
    assert "steps" not in figures  # no warm start
    assert 0 <= figures["round 1: reliability"] <= 1
    card = (second / "README.md").read_text()
    assert "round 1: reliability" in card and "--start first" in card
    assert (second / KEPT).read_bytes() == kept


def test_too_few_passages_for_the_rounds_are_noticed_before_the_warm_start(
    tmp_path: Path, tiny_path: Path
) -> None:
    data = tmp_path / "data.json"
    asked = {"question": "Who signs?", "answer": "Nobody"}
    data.write_text(json.dumps([{"title": "T", "context": "Nobody signs.", "questions": [asked]}]))
    request = PracticeRequest(tiny_path, (data,), tmp_path / "none", 1, 1, rounds=Rounds(1))
    with pytest.raises(BadInput, match="1 rounds need"):
        practise(request, lambda progress: None)
