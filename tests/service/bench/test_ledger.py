"""Tests of service.bench.ledger."""

from pathlib import Path

import pytest

from memory.errors import BadInput
from memory.records import Health
from service.bench.ledger import Ledger

SETTINGS = {"n": 8, "data": Path("data.json"), "methods": ("learnd",)}


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    file = tmp_path / "ledger.json"
    measured = {"f1": (0.5, 1.0), "health": {"seal": Health(abstained="noise")}}
    first = Ledger(file, SETTINGS).recall("al", lambda: measured)
    assert first["f1"] == [0.5, 1.0] and first["health"]["seal"]["abstained"] == "noise"
    again = Ledger(file, SETTINGS)
    assert again.recall("al", dict) == first
    assert again.recall("seal", lambda: {"f1": []}) == {"f1": []}
    assert Ledger(file, SETTINGS).recall("al", dict) == first  # what is added replaces nothing


def test_what_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "ledger.json"
    ledger = Ledger(file, SETTINGS)
    ledger.recall("al", lambda: {"f1": 1})

    def broken() -> dict[str, int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.recall("seal", broken)
    kept = Ledger(file, SETTINGS)
    assert kept.recall("al", dict) == {"f1": 1}
    assert kept.recall("seal", lambda: {"f1": 2}) == {"f1": 2}


def test_without_a_file_it_remembers_while_it_lives() -> None:
    ledger = Ledger(None, SETTINGS)
    ledger.recall("al", lambda: {"f1": 1})
    assert ledger.recall("al", dict) == {"f1": 1}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({**SETTINGS, "n": 4}, "n"),
        ({"n": 8, "data": Path("data.json")}, "methods"),
        ({**SETTINGS, "dtype": "bfloat16", "n": 9}, "dtype, n"),
    ],
)
def test_other_settings_are_named(tmp_path: Path, settings: dict[str, object], named: str) -> None:
    file = tmp_path / "ledger.json"
    Ledger(file, SETTINGS).recall("al", dict)
    with pytest.raises(BadInput, match=f"measured with another {named};"):
        Ledger(file, settings)


@pytest.mark.parametrize("text", ["", "[]", '{"rows": []}', "no JSON"])
def test_what_is_no_ledger_is_left_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "figures.json"
    file.write_text(text)
    with pytest.raises(BadInput, match="does not hold what was measured"):
        Ledger(file, SETTINGS)
    assert file.read_text() == text
