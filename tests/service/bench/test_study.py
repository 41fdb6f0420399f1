import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.writing import WritingRequest, Written
from service import main
from service.bench import study
from service.bench.study import Options
from service.config import Config, load
from tests.helpers.tiny_model import save_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), seed=1, context=2048)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "ferry.md").write_text("# Ferry\n\nThe ferry Tarrick carries 12 goats.\n")
    (folder / "tower.md").write_text("# Tower\n\nThe tower is red. It has 9 floors.\n")
    return folder


@pytest.fixture
def config(state: Path, model: Path) -> Config:
    return load(None, {"state": state, "model": str(model)})


class Scripted:
    """Writes as fast as it is told."""

    def __init__(self, *seconds: tuple[float, float], verified: int = 2) -> None:
        self._seconds = seconds
        self._verified = verified
        self.asked: list[WritingRequest] = []

    def run(self, job: Any, request: Any, report: Any) -> Any:
        self.asked.append(request)
        return [
            Written(method, self._verified, seconds)
            for pair in self._seconds
            for method, seconds in zip(("generate16", "learnd"), pair, strict=True)
        ]

    def free(self) -> None: ...

    def close(self) -> None:
        pass


def test_an_item_costs_the_time_of_all_that_was_written(config: Config, docs: Path) -> None:
    executor = Scripted((6.0, 2.0), (10.0, 2.0))
    found = study.measure(config, Options(docs, n=2), executor, lambda progress: None)
    plain, ours = found.rows
    assert plain == {
        "method": "generate16", "seconds_per_item": 4.0, "verified": 4, "seconds": 16.0
    }  # fmt: skip
    assert ours["seconds_per_item"] == 1.0
    assert found.ratios == {"generate16_over_learnd": 4.0}
    assert [[one.title for one in part] for part in executor.asked[0].parts] == [
        ["Ferry"],
        ["Tower"],
    ]


def test_a_model_that_cannot_write_has_no_ratio(config: Config, docs: Path) -> None:
    executor = Scripted((6.0, 2.0), verified=0)
    found = study.measure(config, Options(docs, n=1), executor, lambda progress: None)
    assert found.ratios == {"generate16_over_learnd": None}


def test_it_works_in_a_child_and_from_the_command_line(
    state: Path, model: Path, docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARND_STATE", str(state))
    file = tmp_path / "found.json"
    given = ["--data", str(docs), "--model", str(model), "--n", "1", "--json", str(file)]
    result = CliRunner().invoke(main.app, ["bench", "study", *given])
    assert result.exit_code == 0, result.output
    assert json.loads(file.read_text())["bench"] == "study"
