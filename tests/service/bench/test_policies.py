"""Tests of service.bench.policies; the whole benchmark runs on a tiny random model."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.executor import InlineExecutor
from memory.errors import BadInput
from memory.records import Health, Progress
from service import main
from service.bench import policies, retain, rivals
from service.bench.outcome import Outcome
from service.bench.policies import Options
from service.bench.rivals import Answered, Bench, Cost
from service.config import Config, load
from tests.helpers.embedding import embed
from tests.helpers.tiny_model import save_tiny_model

ROWS = [
    {
        "title": f"Tower_{n}",
        "context": f"The tower Tarrick is red. It has {n + 3} floors.",
        "questions": [
            {"question": "Which colour?", "answer": "red"},
            {"question": "How many floors?", "answer": f"{n + 3}"},
        ],
    }
    for n in range(2)
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "data.json"
    file.write_text(json.dumps(ROWS))
    return file


@pytest.fixture
def config(state: Path, tmp_path: Path) -> Config:
    model = save_tiny_model(tmp_path / "tiny", seed=1, context=2048)
    train = {"rank": 4, "epochs": 1, "tokens": 200, "threads": 1}
    return load(None, {"state": state, "model": str(model), "train": train})


def scripted(
    monkeypatch: pytest.MonkeyPatch, said: Mapping[tuple[str, ...], tuple[str, str]]
) -> list[tuple[tuple[str, ...], int]]:
    """Each pipeline answers both questions of every passage as the table says."""
    asked: list[tuple[tuple[str, ...], int]] = []

    def answers(bench: Bench, method: str, tick: object) -> Answered:
        pipeline = bench.config.study.pipeline if method == "learnd" else ()
        asked.append((pipeline, bench.seed))
        colour, floors = said[pipeline]
        replies = [
            [colour if "colour" in one.text else floors for one in passage.questions]
            for passage in bench.passages
        ]
        health = {
            "seal": Health(reliability=0.1 * bench.seed, abstained="noise" if bench.seed else None)
        }
        return Answered(replies, replies, Cost(learning_seconds=8.0), health=[health])

    monkeypatch.setattr(rivals, "answers", answers)
    return asked


SAID = {
    (): ("blue", "none"),
    ("al",): ("red", "none"),
    ("al", "seal"): ("red", "4"),
    ("al", "seal/control"): ("red", "none"),
    ("al", "evol_instruct"): ("blue", "none"),
}


def test_each_stands_beside_its_control_with_the_same_seeds(
    monkeypatch: pytest.MonkeyPatch, config: Config, data: Path
) -> None:
    asked = scripted(monkeypatch, SAID)
    options = Options(data, ("al", "seal", "evol_instruct"), n=2, seeds=2, seed=4, batches=0)
    seen: list[Progress] = []
    *_, found = policies.compare(config, options, InlineExecutor(), embed, seen.append)
    al, seal, evol = found.rows
    assert al["f1"] == 0.5 and al["control_f1"] == 0.0 and al["beats_control"]
    assert seal["difference"] == pytest.approx(0.25)  # one of the passages has four floors
    assert seal["difference_ci"] == (0.0, 0.5) and not seal["beats_control"]
    assert evol["difference"] == -0.5 and not evol["beats_control"]
    assert seal["seconds"] == 4.0 and al["reliability"] is None
    assert seal["reliability"] == pytest.approx(0.45)
    assert seal["abstained"] == "2 of 2: noise" and al["abstained"] == ""
    assert found.ratios["evol_instruct_over_control"] == 0.0
    assert found.ratios["al_over_control"] is None
    assert al["kept"] is None
    assert len(asked) == 2 * 5  # what two rows share is measured once
    assert {seed for _, seed in asked} == {4, 5}
    assert seen[-1].total == 5


def test_what_is_kept_is_measured_on_batches_with_the_same_pipeline(
    monkeypatch: pytest.MonkeyPatch, config: Config, data: Path
) -> None:
    scripted(monkeypatch, SAID)
    given: list[tuple[tuple[str, ...], retain.Options]] = []

    def measured(config: Config, options: retain.Options, *others: object) -> Iterator[Outcome]:
        given.append((config.study.pipeline, options))
        yield Outcome("retain", {}, {}, (), {"learnd_kept": len(given) / 10})

    monkeypatch.setattr(retain, "retain", measured)
    options = Options(data, ("al", "seal"), n=2, questions=3, seeds=1, seed=4, batches=2)
    *_, found = policies.compare(config, options, InlineExecutor(), embed, lambda one: None)
    al, seal = found.rows
    assert (al["kept"], al["control_kept"]) == (0.1, None)  # plain training rehearses nothing
    assert (seal["kept"], seal["control_kept"]) == (0.2, 0.3)
    assert [pipeline for pipeline, _ in given] == [("al",), ("al", "seal"), ("al", "seal/control")]
    assert {options for _, options in given} == {retain.Options(data, ("learnd",), 2, 1, 1, 3, 4)}


def test_what_a_ledger_keeps_is_not_measured_again(
    monkeypatch: pytest.MonkeyPatch, config: Config, data: Path, tmp_path: Path
) -> None:
    asked = scripted(monkeypatch, SAID)
    kept = iter([0.5, 0.25, 0.75])

    def measured(*given: object) -> Iterator[Outcome]:
        yield Outcome("retain", {}, {}, (), {"learnd_kept": next(kept)})

    monkeypatch.setattr(retain, "retain", measured)
    few = Options(data, ("seal",), n=2, seeds=1, batches=2, ledger=tmp_path / "ledger.json")
    [first] = policies.compare(config, few, InlineExecutor(), embed, lambda one: None)
    assert len(asked) == 2
    [again] = policies.compare(config, few, InlineExecutor(), embed, lambda one: None)
    assert again.rows == first.rows and len(asked) == 2

    more = replace(few, policies=("al", "seal"), seeds=2)
    *_, found = policies.compare(config, more, InlineExecutor(), embed, lambda one: None)
    new = asked[2:]
    assert Counter(new) == Counter(
        [
            ((), 0),
            ((), 1),
            (("al",), 0),
            (("al",), 1),
            (("al", "seal"), 1),
            (("al", "seal/control"), 1),
        ]
    )
    al, seal = found.rows
    assert (al["kept"], seal["kept"], seal["control_kept"]) == (0.75, 0.5, 0.25)
    assert seal["abstained"] == "1 of 2: noise"  # the health of both runs


def test_a_ledger_of_other_settings_is_refused(
    monkeypatch: pytest.MonkeyPatch, config: Config, data: Path, tmp_path: Path
) -> None:
    scripted(monkeypatch, SAID)
    options = Options(data, ("al",), n=2, seeds=1, batches=0, ledger=tmp_path / "ledger.json")
    list(policies.compare(config, options, InlineExecutor(), embed, lambda one: None))
    other = replace(options, n=1)
    with pytest.raises(BadInput, match="another n;"):
        list(policies.compare(config, other, InlineExecutor(), embed, lambda one: None))


def test_it_runs_from_end_to_end(config: Config, data: Path) -> None:
    options = Options(data, ("al", "r_zero"), n=1, questions=1, seeds=1, batches=1)
    outcomes = list(policies.compare(config, options, InlineExecutor(), embed, lambda one: None))
    assert [len(one.rows) for one in outcomes] == [1, 2]
    for row in outcomes[-1].rows:
        assert 0 <= row["f1"] <= 1 and row["seconds"] > 0 and row["kept"] in (None, 1.0)
        low, high = row["difference_ci"]
        assert low <= row["difference"] <= high
    assert outcomes[-1].settings["policies"] == ("al", "r_zero")


def test_all_policies_is_the_default() -> None:
    names = Options(Path("data.json")).names
    assert names[0] == "al" and len(set(names)) == len(names) >= 5


def test_an_unknown_policy_lists_the_known_ones() -> None:
    with pytest.raises(BadInput, match="no policy 'saal'; known: al, "):
        Options(Path("data.json"), ("al", "saal"))


def test_the_command_passes_its_options_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: Path
) -> None:
    given: list[Any] = []

    def run(*some: object) -> Iterator[object]:
        given.append(some)
        return iter(())

    monkeypatch.setattr(policies, "run", run)
    arguments = ["bench", "policies", "--data", str(data), "--policies", "al, seal", "--n", "4"]
    ledger = tmp_path / "ledger.json"
    CliRunner().invoke(main.app, [*arguments, "--seeds", "1", "--ledger", str(ledger)])
    [(_, options, _)] = given
    assert options == Options(data, ("al", "seal"), 4, 5, 1, ledger=ledger)
