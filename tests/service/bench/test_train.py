"""The whole benchmark on a tiny random model."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.executor import InlineExecutor
from agent.pace import METHODS
from memory.errors import BadInput
from service import main
from service.bench import train
from service.bench.train import Options
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
    (folder / "notes.pdf").write_text("no document")
    return folder


@pytest.fixture
def config(state: Path, model: Path) -> Config:
    return load(None, {"state": state, "model": str(model), "train": {"rank": 4, "threads": 1}})


def test_every_method_is_a_row(config: Config, docs: Path) -> None:
    options = Options(docs, items=5, passes=1)
    found = train.measure(config, options, InlineExecutor(), lambda progress: None)
    assert tuple(row["method"] for row in found.rows) == METHODS
    speed = {row["method"]: row["tokens_per_s"] for row in found.rows}
    assert found.ratios == {
        "learnd_over_hf": speed["learnd"] / speed["hf_trainer"],
        "learnd_all_layers_over_hf": speed["learnd_all_layers"] / speed["hf_trainer"],
        "learnd_over_limit": speed["learnd"] / speed["limit"],
        "learnd_all_layers_over_limit": speed["learnd_all_layers"] / speed["limit"],
    }
    assert found.settings["items"] == 5


def test_it_works_in_a_child_and_from_the_command_line(
    state: Path, model: Path, docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARND_STATE", str(state))
    monkeypatch.setenv("LEARND_TRAIN__RANK", "4")
    file = tmp_path / "found.json"
    given = ["--data", str(docs), "--model", str(model), "--passes", "1", "--items", "5"]
    result = CliRunner().invoke(main.app, ["bench", "train", *given, "--json", str(file)])
    assert result.exit_code == 0, result.output
    assert json.loads(file.read_text())["bench"] == "train"
    assert "learnd over hf" in result.output


def test_a_folder_gives_its_first_documents(config: Config, docs: Path) -> None:
    found = train.passages(config, docs, 1, 0)
    assert [(one.title, one.questions) for one in found] == [("Ferry", ())]


def test_a_folder_without_documents_is_an_error(config: Config, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no document"):
        train.passages(config, tmp_path, 1, 0)


@pytest.mark.parametrize(
    "name, text, reason",
    [
        ("empty.md", "\n", "empty.md: no text"),
        (
            "blank.json",
            '[{"title": "", "context": "", "questions": [ONE]}]',
            "no text to study",
        ),
    ],
)
def test_a_text_that_says_nothing_is_an_error(
    config: Config, tmp_path: Path, name: str, text: str, reason: str
) -> None:
    file = tmp_path / name
    file.write_text(text.replace("ONE", '{"question": "Who?", "answer": "nobody"}'))
    data = file if file.suffix == ".json" else tmp_path
    with pytest.raises(BadInput, match=reason):
        train.measure(config, Options(data), InlineExecutor(), lambda progress: None)
