import json
from dataclasses import replace
from pathlib import Path

import pytest

from service.bench import outcome
from service.bench.outcome import Outcome

FOUND = Outcome(
    bench="absorb",
    settings={"data": Path("squad.json"), "n": 2},
    machine={"cores": 2},
    rows=({"method": "base", "f1": 0.125, "f1_ci": (0.0, 0.25)},),
    ratios={"learnd_over_gold": None},
)


def test_it_is_saved_with_the_keys_of_every_benchmark(tmp_path: Path) -> None:
    outcome.save(FOUND, tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text()) == {
        "bench": "absorb",
        "settings": {"data": "squad.json", "n": 2},
        "machine": {"cores": 2},
        "rows": [{"method": "base", "f1": 0.125, "f1_ci": [0.0, 0.25]}],
        "ratios": {"learnd_over_gold": None},
    }


def test_it_is_shown_as_tables(capsys: pytest.CaptureFixture[str]) -> None:
    outcome.show(FOUND)
    shown = capsys.readouterr().out
    assert "0.00 - 0.25" in shown
    assert "learnd over gold" in shown


def test_methods_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    rows = ({"method": "base", "f1": 0.125, "em": 0.0}, {"method": "learnd", "f1": 0.5, "em": 0.25})
    outcome.show(replace(FOUND, rows=rows))
    lines = capsys.readouterr().out.splitlines()
    words = [[word for word in line.split() if word.isascii()] for line in lines]
    assert ["base", "learnd"] in words
    assert ["f1", "0.12", "0.50"] in words


def test_the_machine_is_named() -> None:
    assert outcome.machine().keys() == {"platform", "python", "cores", "device", "dtype"}
