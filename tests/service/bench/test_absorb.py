"""Tests of service.bench.absorb; the whole benchmark runs on a tiny random model."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent.executor import InlineExecutor
from memory.errors import BadInput
from memory.records import Progress
from service import main
from service.bench import absorb, commands, rivals
from service.bench.absorb import Options
from service.config import Config, load
from tests.helpers.embedding import embed
from tests.helpers.tiny_model import save_tiny_model

FIGURES = [
    "method", "em", "f1", "f1_ci", "recall", "general",
    "seconds_per_passage", "train_tokens", "prompt_tokens", "latency_s",
]  # fmt: skip
ROWS = [
    {
        "title": "Ferry_life",
        "context": "The ferry Tarrick carries 12 goats.",
        "questions": [{"question": "How many goats?", "answer": "12"}],
    },
    {
        "title": "Towers",
        "context": "The tower is red. It has 9 floors.",
        "questions": [
            {"question": "Which colour?", "answer": "red"},
            {"question": "How many floors?", "answer": "9"},
        ],
    },
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), seed=1, context=2048)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "data.json"
    file.write_text(json.dumps(ROWS))
    return file


@pytest.fixture
def config(state: Path, model: Path) -> Config:
    train = {"rank": 4, "epochs": 2, "threads": 1}
    return load(None, {"state": state, "model": str(model), "train": train})


def options(**changes: Any) -> Options:
    return Options(**{"data": Path("data.json"), "methods": rivals.METHODS, **changes})


def test_every_method_gives_a_row(config: Config, data: Path) -> None:
    seen: list[Progress] = []
    control = data.parent / "control.json"
    control.write_text('[{"question": "Who wrote Emma?", "answer": "Austen"}]')
    asked = options(data=data, n=2, questions=2, together=1, general=control)
    outcomes = list(absorb.absorb(config, asked, InlineExecutor(), embed, seen.append))
    assert [len(one.rows) for one in outcomes] == [1, 2, 3, 4, 5, 6, 7]  # nothing waits for the end
    found = outcomes[-1]
    rows = {row["method"]: row for row in found.rows}
    assert list(rows) == list(rivals.METHODS)
    for method, row in rows.items():
        low, high = row["f1_ci"]
        assert list(row) == FIGURES
        assert 0 <= low <= row["f1"] <= high <= 1 and 0 <= row["em"] <= row["f1"]
        assert row["latency_s"] > 0
        assert (row["general"] is None) == (method in ("rag1", "rag3", "gold"))
        assert (row["train_tokens"] > 0) == (method in ("raw", "seal", "learnd"))
        assert (row["seconds_per_passage"] > 0.001) == (method in ("raw", "seal", "learnd"))
    closed = {rows[method]["prompt_tokens"] for method in ("base", "raw", "seal", "learnd")}
    assert len(closed) == 1
    assert closed.pop() < rows["gold"]["prompt_tokens"] < rows["rag3"]["prompt_tokens"]
    assert (seen[0].done, seen[-1].done, seen[-1].total) == (0, 14, 14)
    assert (seen[-1].stage, seen[-1].note) == ("bench", "gold")
    assert found.settings["train"]["rank"] == 4


def test_all_works_in_a_child_and_from_the_command_line(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.models.Embedder", lambda name: embed)
    monkeypatch.setenv("LEARND_TRAIN__THREADS", "1")
    file = tmp_path / "found.json"
    result = bench("--data", data, "--model", model, "--methods", "base, rag1", "--json", file)
    assert result.exception is None, result.exception
    found = json.loads(file.read_text())
    assert found.keys() == {"bench", "settings", "machine", "rows", "ratios"}
    assert [row["method"] for row in found["rows"]] == ["base", "rag1"]
    assert "rag1" in result.stdout and "learnd over gold" in result.stdout


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(main.app, ["bench", "absorb", *map(str, arguments)])


def test_the_default_is_every_method() -> None:
    assert tuple(commands.ABSORBERS.split(",")) == rivals.METHODS


def test_an_unknown_method_lists_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"'magic'; known: base, raw, .*, gold"):
        options(methods=("base", "magic"))


def test_data_of_another_form_is_refused(config: Config, data: Path) -> None:
    data.write_text('[{"question": "Who?", "answer": "she"}]')
    with pytest.raises(BadInput, match="holds no passages"):
        next(absorb.absorb(config, options(data=data), InlineExecutor(), embed, print))


def test_a_place_that_cannot_be_written_to_is_refused_before_the_work(data: Path) -> None:
    error = bench("--data", data, "--json", data.parent / "nowhere" / "found.json").exception
    assert isinstance(error, BadInput)
    assert "nowhere" in str(error)


def written(titles: int, each: int, file: Path) -> Path:
    """So many titles with so many passages each, and one that nobody asks about."""
    asked = [{"question": f"Question {n}?", "answer": "yes"} for n in range(9)]
    rows: list[dict[str, object]] = [
        {"title": f"Title_{t}", "context": f"Text {t}.{n}.", "questions": asked}
        for t in range(titles)
        for n in range(each)
    ]
    file.write_text(json.dumps([{"title": "T", "context": "Silent.", "questions": []}, *rows]))
    return file


def test_titles_take_turns(tmp_path: Path) -> None:
    drawn = absorb.draw(written(4, 5, tmp_path / "data.json"), 6, 3, 0)
    counts = Counter(passage.title for passage in drawn)
    assert set(counts) == {"Title 0", "Title 1", "Title 2", "Title 3"}
    assert sorted(counts.values()) == [1, 1, 2, 2]
    assert all(len(passage.questions) == 3 for passage in drawn)


def test_the_draw_follows_the_seed_and_grows_by_appending(tmp_path: Path) -> None:
    file = written(4, 5, tmp_path / "data.json")
    drawn = absorb.draw(file, 6, 5, 0)
    assert drawn == absorb.draw(file, 6, 5, 0) == absorb.draw(file, 9, 5, 0)[:6]
    assert drawn != absorb.draw(file, 6, 5, 1)


def test_passages_without_questions_are_not_drawn(tmp_path: Path) -> None:
    drawn = absorb.draw(written(1, 1, tmp_path / "data.json"), 40, 5, 0)
    assert [passage.context for passage in drawn] == ["Text 0.0."]
    with pytest.raises(BadInput, match="no passage with questions"):
        absorb.draw(written(0, 0, tmp_path / "empty.json"), 40, 5, 0)


def test_ratios() -> None:
    f1 = {"base": 0.1, "seal": 0.2, "learnd": 0.4, "rag1": 0.5, "gold": 0.8}
    rows = [{"method": method, "f1": value} for method, value in f1.items()]
    assert absorb.ratios(rows) == {
        "learnd_gain_over_seal_gain": pytest.approx(3.0),
        "learnd_over_gold": 0.5,
        "learnd_over_rag1": 0.8,
    }


def test_ratios_to_nothing_are_none() -> None:
    rows = [{"method": method, "f1": 0.1} for method in ("base", "seal", "learnd")]
    assert set(absorb.ratios([*rows, {"method": "gold", "f1": 0.0}]).values()) == {None}


def test_completions_are_counted_by_what_they_test(config: Config, data: Path) -> None:
    row: dict[str, object] = {"train_context": "The ferry Tarrick carries 12 goats to Ruhm."}
    for prefix in ("mem", "gen", "hard_gen"):
        row |= {f"{prefix}_input": ["The ferry carries"], f"{prefix}_target": ["12 goats"]}
    data.write_text(json.dumps([row]))
    asked = options(data=data, methods=("base",))
    [outcome] = absorb.absorb(config, asked, InlineExecutor(), embed, print)
    assert {"memory", "paraphrase", "compositional"} <= outcome.rows[0].keys()
