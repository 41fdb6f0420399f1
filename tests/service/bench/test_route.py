"""Tests of service.bench.route; the whole benchmark runs on a tiny random model."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.executor import InlineExecutor, Report
from agent.passages import Passage
from agent.trial import Replies
from memory.errors import BadInput
from memory.records import Progress
from memory.taught import Taught
from service import main
from service.bench import rivals
from service.bench.outcome import Outcome
from service.bench.rivals import Bench, Lesson
from service.bench.route import Options, route
from service.config import Config, load
from tests.helpers.embedding import embed
from tests.helpers.tiny_model import save_tiny_model

FERRY = "The ferry Tarrick carries twelve goats."
TOWER = "The tower Oster has nine bells."
ASKED = {FERRY: "ferry Tarrick carries goats", TOWER: "tower Oster bells"}


@pytest.fixture
def options(tmp_path: Path) -> Options:
    rows = [
        {
            "title": text.split()[1],
            "context": text,
            "questions": [{"question": asked, "answer": "nine"}],
        }
        for text, asked in ASKED.items()
    ]
    general = [
        {"question": "What is the capital of France?", "answer": "Paris"},
        {"question": "tower Oster bells nine", "answer": "rung"},  # near to what is studied
        {"question": "ferry Tarrick twelve goats", "answer": "sailed"},
    ]
    data, control = tmp_path / "data.json", tmp_path / "general.json"
    data.write_text(json.dumps(rows))
    control.write_text(json.dumps(general))
    return Options(data, control, n=2, together=1)


@pytest.fixture
def config(state: Path, tmp_path: Path) -> Config:
    model = save_tiny_model(tmp_path / "tiny", seed=1, context=2048)
    return load(None, {"state": state, "model": str(model), "train": {"threads": 1}})


class Base:
    """An executor whose model knows of Paris and of bells."""

    def run(self, job: Any, request: Any, report: Report) -> Any:
        known = {"capital": "It is Paris.", "bells": "They were rung."}
        said = [
            next((text for word, text in known.items() if word in asked), "No.")
            for asked in request.batches[0]
        ]
        return [Replies(tuple(said), 5, 0.1)]

    def free(self) -> None: ...

    def close(self) -> None: ...


def learned(bench: Bench, method: str, group: Sequence[Passage]) -> Lesson:
    """The text of each passage, and nothing asked."""
    assert method == "learnd" and bench.config.engine.route
    said = tuple(passage.context for passage in group)
    titled = tuple(f"{passage.title}: {passage.context}" for passage in group)
    return Lesson((), bench.config.train, studied=Taught(titled, said))


def test_what_stays_what_leaves_and_what_can_be_lost(
    monkeypatch: pytest.MonkeyPatch, config: Config, options: Options
) -> None:
    monkeypatch.setattr(rivals, "lesson", learned)
    shown: list[Progress] = []
    unrouted = config.model_copy(update={"engine": replace(config.engine, route=False)})
    *_, found = route(unrouted, options, Base(), embed, shown.append)
    first, second = found.rows
    assert first == {  # the ferry comes first with this seed, and the base knows nothing of goats
        "method": "1 passages",
        "kept": 1.0,
        "left": pytest.approx(2 / 3),
        "at_risk": 0,
        "known": 2,
    }
    assert second == {
        "method": "2 passages",
        "kept": 1.0,
        "left": pytest.approx(1 / 3),
        "at_risk": 1,
        "known": 2,
    }
    assert [one.done for one in shown] == [0, 0, 1]


def test_a_file_that_asks_nothing_is_told(config: Config, options: Options) -> None:
    options.general.write_text("[]")
    with pytest.raises(BadInput, match="holds no question"):
        next(route(config, options, Base(), embed, lambda progress: None))


def test_the_whole_benchmark_on_a_tiny_model(config: Config, options: Options) -> None:
    [*_, found] = route(config, options, InlineExecutor(), embed, lambda progress: None)
    assert [row["method"] for row in found.rows] == ["1 passages", "2 passages"]
    assert all(0 <= row["at_risk"] <= row["known"] <= 3 for row in found.rows)


def test_the_command_prints_a_table(
    monkeypatch: pytest.MonkeyPatch, options: Options, tmp_path: Path
) -> None:
    def run(config: Config, given: Options, show: object) -> Any:
        assert given == replace(options, n=7)
        yield Outcome("route", {}, {}, ({"method": "5 passages", "kept": 0.98},), {})

    monkeypatch.setattr("service.bench.route.run", run)
    arguments = f"bench route --data {options.data} --general {options.general} --n 7 --together 1"
    shown = CliRunner().invoke(main.app, arguments.split())
    assert shown.exit_code == 0 and "5 passages" in shown.output
