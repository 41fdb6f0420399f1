"""How soon a file is answered: the figures with a scripted daemon, the daemon itself alone."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.passages import Passage, Question
from memory.errors import LearndError
from service import main
from service.bench import fresh
from service.client import Reply
from service.config import Config, load
from tests.helpers.tiny_model import save_tiny_model


class Scripted:
    """Learns each file at the second look; knows the first question about it; refuses number 2."""

    def __init__(self, docs: Path) -> None:
        self._docs = docs
        self._looks = 0
        self._learned = self._refused = 0
        self._clock = 0.0
        self._seen: set[str] = set()

    def status(self) -> dict[str, Any]:
        self._looks += 1
        files = [file.read_text() for file in self._docs.iterdir()]
        self._seen |= set(files)
        if self._looks % 3 == 0 and len(self._seen) > self._learned + self._refused:
            self._clock += 10.0
            if len(self._seen) == 3 and "Text" in files[0]:
                self._refused += 1
            else:
                self._learned += 1
        learned = min(self._learned, len(files) - self._refused)
        retired = self._learned - learned
        counts = {"learned": learned, "retired": retired, "quarantined": self._refused}
        return {"head": {"number": self._learned}, "counts": counts}

    def stages(self) -> dict[str, float]:
        return {"study": self._clock, "review": 99.0} if self._clock else {}

    def ask(self, question: str, models: Sequence[str]) -> list[Reply]:
        known = question.endswith("first?") and "2" not in question
        return [Reply("learnd", 1, "it is gold" if known else "no idea")]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "data.json"
    questions = [{"question": f"{n}?", "answer": "gold"} for n in ("first", "second")]
    rows = [{"title": f"T{t}", "context": f"Text {t}.", "questions": questions} for t in range(4)]
    file.write_text(json.dumps(rows))
    return file


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    @contextmanager
    def running(config: Config, arguments: Sequence[str]) -> Iterator[tuple[Path, Scripted]]:
        docs = tmp_path / "docs"
        docs.mkdir()
        yield docs, Scripted(docs)

    monkeypatch.setattr(fresh, "running", running)
    monkeypatch.setattr(fresh, "PERIOD", 0.0)


@pytest.mark.usefixtures("scripted")
def test_each_file_is_followed_through_its_stages(state: Path, data: Path) -> None:
    config = load(None, {"state": state})
    *_, found = fresh.run(config, fresh.Options(data, n=3), (), lambda progress: None)
    rows = {row["method"]: row for row in found.rows}
    assert list(rows) == ["settle", "study", "answer", "total"]
    assert rows["study"]["seconds"] == [10.0, 10.0, 10.0]
    assert rows["total"]["files"] == 3
    assert found.ratios == {"files_answered": 1.0, "questions_right": 0.5}


@pytest.mark.usefixtures("scripted")
def test_an_edit_is_followed_if_the_new_value_is_said(
    state: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [{"question": "How deep?", "answer": "12 feet"}]
    rows = [{"title": f"T{t}", "context": "It is 12 feet deep.", "questions": asked} for t in "123"]
    data.write_text(json.dumps(rows))
    docs = state.parent / "docs"

    def follows(daemon: Scripted, question: str, models: Sequence[str]) -> list[Reply]:
        """What the first file says; of all others what they said at first."""
        text = (docs / "1.md").read_text() if (docs / "1.md").exists() else "12 feet"
        return [Reply("learnd", 1, "12 feet" if (docs / "2.md").exists() else text)]

    monkeypatch.setattr(Scripted, "ask", follows)
    config = load(None, {"state": state})
    options = fresh.Options(data, n=2, edits=True)
    *_, found = fresh.run(config, options, (), lambda progress: None)
    assert found.rows[-1]["method"] == "edit_total" and found.rows[-1]["files"] == 1
    assert found.ratios["edits_followed"] == found.ratios["edits_stale"] == 0.5
    assert found.ratios["questions_right"] == 1.0


@pytest.mark.parametrize(
    ("answer", "text", "kept"),
    [
        ("12 feet", "It was {} deep, and {} it is.", True),
        ("12", "The {} of 1,512, of 12.5 and of 312, or {}.", True),
        ("deep", "It was 12 feet {}.", False),  # neither number nor name
        ("14 feet", "It was 12 feet deep.", False),  # the text does not say so
    ],
)
def test_an_edit_puts_another_number_in_every_place(answer: str, text: str, kept: bool) -> None:
    said = text.replace("{}", answer)
    edit = fresh.edited(Passage("T", said, (Question("How?", answer),)), 1)
    assert (edit is not None) == kept
    if edit:
        [question] = edit.passage.questions
        assert edit.passage.context == text.replace("{}", question.answer) != said
        assert (edit.old, question.text) == (answer, "How?")


@pytest.mark.usefixtures("scripted")
def test_a_file_that_is_never_answered_has_no_total(
    state: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scripted, "ask", lambda *asked: [Reply("learnd", 1, "no idea")])
    config = load(None, {"state": state})
    *_, found = fresh.run(config, fresh.Options(data, n=2), (), lambda progress: None)
    assert found.rows[-1]["method"] == "total" and found.rows[-1]["median_s"] is None
    assert found.ratios["files_answered"] == 0.0


@pytest.mark.usefixtures("scripted")
def test_from_the_command_line(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    arguments = ["bench", "fresh", "--data", str(data), "--n", "1", "--json", str(file)]
    result = CliRunner().invoke(main.app, arguments)
    assert result.exception is None, result.exception
    assert json.loads(file.read_text())["bench"] == "fresh"
    assert "files answered" in result.stdout


def test_a_real_daemon_on_an_empty_folder(state: Path, tmp_path: Path) -> None:
    config = load(None, {"state": state})
    model = save_tiny_model(tmp_path / "model")
    with fresh.running(config, ["--model", str(model)]) as (docs, daemon):
        assert list(docs.iterdir()) == []
        assert daemon.status()["head"]["number"] == 0
        assert daemon.stages() == {}
    assert not docs.exists()


def test_a_daemon_that_does_not_start_says_why(state: Path) -> None:
    config = load(None, {"state": state})
    with (
        pytest.raises(LearndError, match=r"did not start: .*no model 'nothing-such'"),
        fresh.running(config, ["--model", "nothing-such"]),
    ):
        pass
