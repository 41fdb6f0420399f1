"""The nouns hold together."""

from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest

from memory import records
from memory.connection import decode_verdict, encode_verdict
from memory.records import FINAL_STAGES, TRANSITIONS, Generation, Stage, Verdict, task_of


def test_every_stage_has_its_arrows_and_leads_to_an_end() -> None:
    assert set(TRANSITIONS) == set(Stage)
    assert {Stage.SERVING, Stage.REJECTED, Stage.FAILED} == FINAL_STAGES
    reached = {Stage.NEW}
    while more := {after for stage in reached for after in TRANSITIONS[stage]} - reached:
        reached |= more
    assert reached == set(Stage)


@pytest.mark.parametrize(
    ("path", "task"),
    [
        ("triage.jsonl", "triage"),
        ("help desk/v1.2.jsonl", "help desk/v1.2"),
        ("triage.JSONL", "triage.JSONL"),
        ("triage.json", ""),
        ("jsonl", ""),
        ("triage.jsonl.md", ""),
    ],
)
def test_a_file_of_examples_names_its_task(path: str, task: str) -> None:
    assert task_of(path) == task


def test_stages_only_move_forward() -> None:
    order = list(Stage)
    assert all(
        order.index(stage) < order.index(after)
        for stage, following in TRANSITIONS.items()
        for after in following
    )


def test_records_are_frozen() -> None:
    kinds = [
        kind for kind in vars(records).values() if isinstance(kind, type) and is_dataclass(kind)
    ]
    assert len(kinds) >= 10
    for kind in kinds:
        blank = object.__new__(kind)
        with pytest.raises(FrozenInstanceError):
            setattr(blank, fields(kind)[0].name, 1)


def test_generations_have_names() -> None:
    assert Generation(12, None, None, None, "", "").name == "g12"


def test_verdicts_survive_storage() -> None:
    verdict = Verdict(True, ("one", "two"), {"learned": 0.5}, 0.7)
    assert decode_verdict(encode_verdict(verdict)) == verdict
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_verdict(Verdict(True, (), {"loss": float("nan")}))
