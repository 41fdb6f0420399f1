"""How soon a file is answered: the figures with a scripted daemon, the daemon itself alone."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

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

    def status(self) -> dict[str, Any]:
        self._looks += 1
        files = len(list(self._docs.iterdir()))
        if self._looks % 3 == 0 and files > self._learned + self._refused:
            self._clock += 10.0
            if files == 3:
                self._refused += 1
            else:
                self._learned += 1
        counts = {"learned": self._learned, "quarantined": self._refused}
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
