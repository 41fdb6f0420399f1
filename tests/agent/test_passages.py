import json
from pathlib import Path

import pytest

from agent.passages import Passage, Question, read_passages, read_questions
from memory.errors import BadInput


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data.json"


def test_questions_about_passages(file: Path) -> None:
    asked = {"question": "Who?", "answer": "she"}
    file.write_text(json.dumps([{"title": "T", "context": "It is she.", "questions": [asked]}]))
    assert read_passages(file) == [Passage("T", "It is she.", (Question("Who?", "she"),))]


def test_completions_of_passages(file: Path) -> None:
    row: dict[str, object] = {"train_context": "The ferry Tarrick carries 12 goats to Ruhm."}
    for prefix in ("mem", "gen", "hard_gen"):
        row |= {f"{prefix}_input": [f"{prefix} the"], f"{prefix}_target": ["goats"]}
    file.write_text(json.dumps([row]))
    [passage] = read_passages(file)
    assert passage.title == "The ferry Tarrick carries 12 goats"
    assert passage.context == row["train_context"]
    assert passage.questions == (
        Question("Finish this sentence: mem the ...", "goats", "memory"),
        Question("Finish this sentence: gen the ...", "goats", "paraphrase"),
        Question("Finish this sentence: hard_gen the ...", "goats", "compositional"),
    )


def test_questions_alone(file: Path) -> None:
    file.write_text('[{"question": "Who wrote Emma?", "answer": "Austen", "other": 3}]')
    assert read_questions(file) == [Question("Who wrote Emma?", "Austen")]


@pytest.mark.parametrize(
    "content", ["", "{}x", '[{"title": 1}]', "[3]", '[{"train_context": "a"}]']
)
def test_other_files_are_refused_by_name(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(BadInput, match=r"data\.json holds no passages"):
        read_passages(file)
    with pytest.raises(BadInput, match=r"data\.json holds no questions"):
        read_questions(file)
