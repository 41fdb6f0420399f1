"""What every benchmark hands out: a table for people, JSON for programs."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service import render

Row = Mapping[str, Any]  # "method" and its figures: fractions, seconds, tokens


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of a benchmark."""

    bench: str
    settings: Mapping[str, Any]
    machine: Mapping[str, Any]
    rows: tuple[Row, ...]
    ratios: Mapping[str, float | None]  # None: the rivals to compare were not run, or got nothing


def machine() -> dict[str, Any]:
    """Where the figures were taken."""
    from agent import models

    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "device": str(models.preferred_device()),
        "dtype": str(models.preferred_dtype()),
    }


def show(outcome: Outcome) -> None:
    """Print the rows and the ratios as tables. What is a list or a mapping is for programs."""
    rows = [
        {name: _cell(value) for name, value in row.items() if not isinstance(value, list | dict)}
        for row in outcome.rows
    ]
    narrow = bool(rows) and len(rows) < len(rows[0])
    render.table(outcome.bench, _side_by_side(rows) if narrow else rows)
    render.facts("ratios", outcome.ratios)


def _side_by_side(rows: Sequence[Row]) -> list[Row]:
    """A line a figure, a column a method: ten figures of three methods fit a terminal."""
    return [
        {"": name.replace("_", " "), **{str(row["method"]): row[name] for row in rows}}
        for name in rows[0]
        if name != "method"
    ]


def save(outcome: Outcome, file: Path) -> None:
    """Write everything as JSON."""
    file.write_text(render.json_text(outcome))


def _cell(value: Any) -> Any:
    """An interval is one cell."""
    return " - ".join(f"{end:.2f}" for end in value) if isinstance(value, tuple) else value
