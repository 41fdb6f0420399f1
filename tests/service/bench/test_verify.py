"""Tests of service.bench.verify and agent.verify; the benchmark runs on a tiny random model."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from agent.executor import InlineExecutor
from memory.errors import BadInput
from service.bench import verify
from service.bench.verify import Options, compare, drawn, precision, weights
from service.config import load
from tests.helpers.tiny_model import save_tiny_model


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [
        {
            "title": "Tower",
            "context": f"The tower of Tarrick {n} was built by Oster Vale in {1900 + n}. "
            f"It is red. Its bell, called Maud, rings for {n + 3} minutes.",
            "questions": [
                {"question": "When was the tower built?", "answer": f"{1900 + n}"},
                {"question": "Who has built the tower?", "answer": "Oster Vale"},
                {"question": "How long does the bell ring?", "answer": f"for {n + 3} minutes"},
            ],
        }
        for n in range(12)
    ]
    file = tmp_path / "data.json"
    file.write_text(json.dumps(rows))
    return file


def test_pairs_are_half_true_and_of_each_kind_of_error_as_many(data: Path) -> None:
    pairs = drawn(data, 10, seed=1)
    kinds = Counter(pair.kind for pair in pairs)
    assert kinds == {"": 10, "number": 2, "entity": 2, "negation": 2, "unit": 2, "elsewhere": 2}
    assert drawn(data, 10, seed=1) == pairs != drawn(data, 10, seed=2)


def test_too_few_questions_are_told(data: Path) -> None:
    with pytest.raises(BadInput, match="lower --n"):
        drawn(data, 30, seed=1)


def test_precision_by_hand() -> None:
    assert precision([0.9, 0.6, 0.1], [0.7, 0.2], 0.5) == 2 / 3
    assert precision([0.1], [0.2], 0.5) is None


def test_weights_point_to_what_tells_true_from_false() -> None:
    chance = np.random.default_rng(0)
    true = np.arange(200) % 2 == 0
    features = np.stack([true + chance.normal(0, 0.5, 200), chance.normal(0, 1, 200)], axis=1)
    constant, telling, silent = weights(features, true)
    assert telling > 2 > abs(silent) * 4 and constant < 0


@pytest.mark.slow
def test_a_row_a_method_on_a_random_model(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_tiny_model(tmp_path / "model")
    config = load(None).model_copy(update={"model": str(model)})
    found = compare(config, Options(data, 10), InlineExecutor(), lambda done: None)
    assert [row["method"] for row in found.rows] == [
        "random",
        "rules",
        "likelihood",
        "entst",
        "entst_clean",
    ]
    rules = found.rows[1]
    assert rules["elsewhere"] < 1 and rules["precision"] >= 0.5
    assert len(found.rows[-1]["signals"]) == 20 and set(found.ratios) == set(verify._NAMES)
