"""`learnd policies`: what there is, what is in the pipeline, and how it fared in the last batch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import policies
from memory.errors import BadInput
from memory.records import Batch, Health

COLUMNS = ("name", "pipeline", "role", "control", "health", "measured")  # the rest is for JSON


def rows(
    pipeline: Sequence[str], batches: Sequence[Batch], measured: Mapping[str, str]
) -> list[dict[str, Any]]:
    """A row a policy: those of the pipeline first, in its order. Raises UnknownPolicy."""
    names = [*dict.fromkeys(pipeline), *(one for one in policies.known() if one not in pipeline)]
    return [
        _row(name, name in pipeline, batches) | {"measured": measured.get(name, "")}
        for name in names
    ]


def measured(file: Path) -> dict[str, str]:
    """By name, what `learnd bench policies --json FILE` found. Raises BadInput."""
    try:
        found = json.loads(file.read_text())
        if found["bench"] != "policies":
            raise BadInput(f"{file} holds figures of `bench {found['bench']}`, not of policies")
        return {row["method"]: _beaten(row) for row in found["rows"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{file} holds no figures of `learnd bench policies`: {error!r}") from None


def _beaten(row: Mapping[str, Any]) -> str:
    low, high = row["difference_ci"]
    verdict = "beats" if row["beats_control"] else "does not beat"
    return f"{verdict} its control: F1 {row['difference']:+.2f} ({low:+.2f} to {high:+.2f})"


def _row(name: str, used: bool, batches: Sequence[Batch]) -> dict[str, Any]:
    policy = policies.load(name)
    batch = next((one for one in reversed(batches) if name in _health(one)), None)
    health = _health(batch)[name] if batch else None
    return {
        "name": name,
        "pipeline": used,
        "role": policy.role,
        "control": policy.control,
        "health": told(health),
        "batch": batch.id if batch else None,
        "figures": asdict(health) if health else None,
    }


def _health(batch: Batch) -> Mapping[str, Health]:
    return batch.self_edit.health if batch.self_edit else {}


def told(health: Health | None) -> str:
    """In words, the most important first; nothing if there is nothing to say."""
    if health is None:
        return ""
    if health.failed is not None:
        return f"failed: {health.failed.strip().splitlines()[-1]}"
    figures = ("reliability", "coverage", "entropy", "inflation")
    given = [(name, getattr(health, name)) for name in figures]
    said = [f"{name} {value:.2f}" for name, value in given if value is not None]
    abstained = [f"abstained: {health.abstained}"] if health.abstained else []
    return "; ".join([*abstained, *said, *health.notes])
