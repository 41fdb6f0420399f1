"""`learnd tasks` and `/v1/tasks`: what is learned by examples, how well, and how it was studied."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from memory.records import Batch, Generation, task_of
from memory.store import DocumentRow, Store
from policies.few_shot import NAME
from service.slot import TASK

_SHOWN: Final = ("task", "version", "state", "examples", "right", "studied", "reason")


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """What of a row fits a terminal: "9 of 9 (0 before)"."""
    right = "{right_after} of {held_out} ({right_before} before)".format_map(row)
    return {name: {**row, "right": right if row["model"] else None}[name] for name in _SHOWN}


def rows(store: Store) -> list[dict[str, Any]]:
    """A row a file of examples. Its figures are of what answers now, if anything does: of the
    held-out examples those that were right before and after."""
    served = {one.task: one for one in store.tasks()}
    batches = {one.id: one for one in store.batches() if one.task}
    found = ((row, task_of(row.path)) for row in store.document_rows())
    return [_row(row, task, served.get(task), batches) for row, task in found if task]


def _row(
    document: DocumentRow, task: str, served: Generation | None, batches: dict[int, Batch]
) -> dict[str, Any]:
    batch = batches[served.batch_id] if served and served.batch_id else None
    judged = batch.verdict.figures if batch and batch.verdict else {}
    counted = {name: int(value) for name, value in judged.items()}
    edit = batch.self_edit if batch else None
    return {
        "task": task,
        "path": document.path,
        "version": document.version,
        "state": document.state,
        "model": f"{TASK}{task}" if served else None,
        "generation": served.number if served else None,
        "examples": int(edit.figures["examples"]) if edit else None,
        "held_out": counted.get("new_asked"),
        "right_before": counted.get("new_before"),
        "right_after": counted.get("new_after"),
        "studied": edit.health[NAME].notes[0].removeprefix("studied with ") if edit else None,
        "health": asdict(edit.health[NAME]) if edit else None,
        "reason": document.reason or ("its file is gone" if document.missing else ""),
    }
