"""What `learnd policies` says."""

import json
from pathlib import Path

import pytest

from memory.errors import BadInput, UnknownPolicy
from memory.records import Batch, Health, SelfEdit, Stage
from service import policies
from service.policies import told


def batch(number: int, **health: Health) -> Batch:
    edit = SelfEdit("prose", "steady", {}, health)
    return Batch(
        number, Stage.SERVING, (7,), None, 99, 0, "", None, None, None, "", "", self_edit=edit
    )


def test_a_row_tells_the_last_batch_that_a_policy_was_in() -> None:
    batches = [
        batch(1, seal=Health(reliability=0.5), al=Health(coverage=1.0)),
        batch(2, al=Health(coverage=0.25, notes=("a note",))),
        Batch(3, Stage.NEW, (8,), None, 99, 0, "", None, None, None, "", ""),
    ]
    rows = {row["name"]: row for row in policies.rows(("al",), batches, {"al": "beats it"})}
    assert (rows["al"]["batch"], rows["al"]["health"]) == (2, "coverage 0.25; a note")
    assert (rows["seal"]["batch"], rows["seal"]["health"]) == (1, "reliability 0.50")
    assert rows["r_zero"]["batch"] is None and rows["r_zero"]["health"] == ""
    assert (rows["al"]["measured"], rows["seal"]["measured"]) == ("beats it", "")
    assert rows["al"]["pipeline"] and not rows["seal"]["pipeline"]
    assert rows["seal"]["figures"]["reliability"] == 0.5
    assert all(row["role"] and row["control"] for row in rows.values())


def test_the_pipeline_comes_first_in_its_order() -> None:
    names = [row["name"] for row in policies.rows(("seal", "al"), [], {})]
    assert names[:2] == ["seal", "al"] and names[2:] == sorted(names[2:])


def test_a_pipeline_that_names_an_unknown_one_is_refused() -> None:
    with pytest.raises(UnknownPolicy, match="there are: al, "):
        policies.rows(("nothing",), [], {})


@pytest.mark.parametrize(
    ("health", "text"),
    [
        (None, ""),
        (Health(), ""),
        (Health(failed="Traceback ...\nValueError: no\n"), "failed: ValueError: no"),
        (Health(reliability=0.1, abstained="chance"), "abstained: chance; reliability 0.10"),
    ],
)
def test_health_in_words(health: Health | None, text: str) -> None:
    assert told(health) == text


def figures(difference: float, low: float, high: float) -> dict[str, object]:
    beats = low > 0
    return {"difference": difference, "difference_ci": [low, high], "beats_control": beats}


def test_what_was_measured_is_told(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    rows = [
        {"method": "al", **figures(0.3, 0.2, 0.4)},
        {"method": "seal", **figures(0.01, -0.05, 0.07)},
    ]
    file.write_text(json.dumps({"bench": "policies", "rows": rows}))
    assert policies.measured(file) == {
        "al": "beats its control: F1 +0.30 (+0.20 to +0.40)",
        "seal": "does not beat its control: F1 +0.01 (-0.05 to +0.07)",
    }


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"bench": "absorb"}', '{"bench": "policies"}'])
def test_a_file_without_such_figures_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bench.json"
    file.write_text(text)
    with pytest.raises(BadInput, match="bench"):
        policies.measured(file)
    with pytest.raises(BadInput, match="holds no figures"):
        policies.measured(tmp_path / "none.json")
