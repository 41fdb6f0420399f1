"""Tests of service.bench.tasks; the benchmark runs on a tiny random model."""

from pathlib import Path

import pytest

from agent.executor import InlineExecutor
from agent.settings import TrainSettings
from memory.errors import BadInput
from policies.examples import Example, written
from service.bench.tasks import METHODS, Options, compare
from service.config import load
from tests.helpers.tiny_model import save_tiny_model


def test_a_row_a_method_and_a_column_a_file(tmp_path: Path) -> None:
    data = tmp_path / "tasks"
    data.mkdir()
    for name in ("one", "two"):
        examples = [Example(f"{name} {n}", str(n % 2)) for n in range(12)]
        (data / f"{name}.jsonl").write_text(written(examples))
    training = TrainSettings(rank=4, epochs=1, general_least=2)
    model = str(save_tiny_model(tmp_path / "model"))
    config = load(None).model_copy(update={"model": model, "train": training})
    first, both = compare(config, Options(data), InlineExecutor(), lambda done: None)
    assert [row["method"] for row in both.rows] == list(METHODS)
    assert "two.jsonl" not in first.rows[0]
    assert {"one.jsonl", "two.jsonl"} <= both.rows[0].keys()
    base, shown, usual, drawn, chosen = both.rows
    assert base["train_seconds"] == shown["train_seconds"] == 0 < usual["train_seconds"]
    assert chosen["study_seconds"] > 0 == drawn["study_seconds"]
    assert usual["files"]["one"]["studied"] == "noise+reverse, learning rate 0.003"
    assert chosen["files"]["one"]["studied"].startswith("studied with ")
    assert all(-30 < row["logprob"] < 0 and 0 <= row["exact"] <= 1 for row in both.rows)


def test_where_there_is_no_task(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"neither a folder with \.jsonl files"):
        next(compare(load(None), Options(tmp_path), InlineExecutor(), lambda done: None))
