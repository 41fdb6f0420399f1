"""The whole benchmark with students who forget by a rule."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.executor import InlineExecutor
from agent.passages import Passage
from memory.errors import BadInput
from memory.records import Progress
from service import main
from service.bench import commands, retain, students
from service.bench.retain import Options
from service.bench.rivals import Bench
from service.config import Config, load
from tests.helpers.embedding import embed

FIGURES = [
    "method", "base", "just_learned", "final", "backward_transfer",
    "general_before", "general_after", "seconds", "idle_seconds", "refused",
]  # fmt: skip


class Forgetful:
    """Knows the last batches that it was taught, and Austen until it is taught anything."""

    def __init__(self, bench: Bench, keeps: int) -> None:
        self._keeps = keeps
        self._taught: list[Sequence[Passage]] = []

    def learn(self, group: Sequence[Passage]) -> None:
        self._taught.append(group)

    def rest(self) -> None: ...

    def answer(self, questions: Sequence[str]) -> Sequence[str]:
        kept = self._taught[-self._keeps :]
        known = {
            asked.text: f"It is {asked.answer}."
            for group in kept
            for one in group
            for asked in one.questions
        }
        if not self._taught:
            known["Who wrote Emma?"] = "Austen"
        return [known.get(question, "no idea") for question in questions]

    def refused(self) -> int:
        return 0


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    keeps = {"sequential": 1, "seal": 2, "learnd": 9}

    @contextmanager
    def student(bench: Bench, method: str) -> Iterator[students.Student]:
        yield Forgetful(bench, keeps.get(method, 3))

    monkeypatch.setattr(students, "student", student)
    monkeypatch.setattr("agent.catalog.resolve", lambda name, cache: Path("base"))


@pytest.fixture
def config(state: Path) -> Config:
    return load(None, {"state": state})


def written(file: Path, titles: int, prefix: str = "") -> Path:
    rows = [
        {
            "title": f"{prefix}{t}",
            "context": f"Text {t}.",
            "questions": [{"question": f"{prefix}{t}?", "answer": f"{prefix}{t}"}],
        }
        for t in range(titles)
    ]
    file.write_text(json.dumps(rows))
    return file


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return written(tmp_path / "data.json", 4)


def rows(config: Config, **options: Any) -> dict[str, Any]:
    seen: list[Progress] = []
    *_, found = retain.retain(config, Options(**options), InlineExecutor(), embed, seen.append)
    assert seen[-1].done == seen[-1].total
    return {row["method"]: row for row in found.rows}


def test_what_was_learned_and_what_is_left(config: Config, data: Path) -> None:
    found = rows(config, data=data, n=4)
    assert list(found) == ["sequential", "seal", "learnd"]
    assert all(row["base"] == 0.0 and row["just_learned"] == 1.0 for row in found.values())
    assert [row["final"] for row in found.values()] == [0.25, 0.5, 1.0]
    assert found["sequential"]["backward_transfer"] == -1.0
    assert found["seal"]["backward_transfer"] == pytest.approx(-2 / 3)
    assert found["seal"]["by_age"] == [1.0, 1.0, 0.0, 0.0]
    assert found["learnd"]["matrix"]["rows"][-1] == (1.0, 1.0, 1.0, 1.0)


def test_general_knowledge_is_asked_before_and_after(config: Config, data: Path) -> None:
    control = data.parent / "control.json"
    control.write_text('[{"question": "Who wrote Emma?", "answer": "Austen"}]')
    row = rows(config, data=data, n=2, general=control)["learnd"]
    assert (row["general_before"], row["general_after"]) == (1.0, 0.0)


def test_each_sequence_has_its_own_passages_and_the_outcome_grows_with_each_batch(
    config: Config, data: Path
) -> None:
    options = Options(data=data, n=3, sequences=2, methods=("seal", "learnd"))
    outcomes = list(retain.retain(config, options, InlineExecutor(), embed, print))
    assert [len(one.rows) for one in outcomes] == [1] * 3 + [2] * 9
    lengths = [len(one.rows[0]["matrix"]["rows"]) for one in outcomes]
    assert lengths == [1, 2, *[3] * 10]
    assert [len(each["rows"]) for each in outcomes[6].rows[0]["sequences"]] == [3, 1]
    assert len(outcomes[-1].rows[0]["sequences"]) == 2
    assert outcomes[-1].ratios == {
        "seal_kept": pytest.approx(2 / 3),
        "learnd_kept": 1.0,
    }


def test_a_first_batch_of_other_passages(config: Config, data: Path) -> None:
    first = written(data.parent / "first.json", 3, "fiction")
    row = rows(config, data=data, n=4, together=2, first=first)["sequential"]
    assert len(row["matrix"]["base"]) == 3  # two of fiction, then two and two


def test_an_unknown_method_lists_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"'magic'; known: sequential, seal, learnd"):
        Options(data=Path("data.json"), methods=("magic",))


def test_the_default_is_every_method() -> None:
    assert tuple(commands.RETAINERS.split(",")) == students.METHODS


def test_from_the_command_line(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.models.Embedder", lambda name: embed)
    monkeypatch.setenv("COLUMNS", "200")
    file, picture = tmp_path / "found.json", tmp_path / "found.png"
    arguments = ["--data", data, "--n", 3, "--json", file, "--png", picture]
    arguments += ["--without", "replay, kl"]
    result = CliRunner().invoke(main.app, ["bench", "retain", *map(str, arguments)])
    assert result.exception is None, result.exception
    found = json.loads(file.read_text())
    assert [name for name in FIGURES if name not in found["rows"][0]] == []
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "backward transfer" in result.stdout and "sequences" not in result.stdout


def test_a_place_for_the_picture_is_looked_at_before_the_work(data: Path) -> None:
    arguments = ["bench", "retain", "--data", str(data), "--png", "nowhere/found.png"]
    error = CliRunner().invoke(main.app, arguments).exception
    assert isinstance(error, BadInput) and "nowhere" in str(error)
