"""What the commands print: tables and progress bars for people, JSON for programs."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from shlex import quote
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from memory import records
from memory.records import Stage
from service.client import Reply
from service.lesson import BatchReport, Lesson
from service.slot import TASK


def to_json(value: Any) -> None:
    """Print records, or anything made of them, as JSON."""
    sys.stdout.write(json_text(value))


def json_text(value: Any) -> str:
    """Records, or anything made of them, as JSON."""
    return json.dumps(value, default=_plain, ensure_ascii=False, indent=2) + "\n"


def table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """One line a row; columns are the keys of the first, less those that are empty throughout. Text
    of documents is never markup."""
    console = Console()
    if not rows:
        console.print(f"{title}: none")
        return
    drawn = Table(title=title, title_justify="left", header_style="bold")
    names = [name for name in rows[0] if any(_cell(row[name]) for row in rows)]
    for name in names:
        drawn.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(_cell(row[name])) for name in names))
    console.print(drawn)


def as_rows(items: Sequence[Any], *columns: str) -> list[dict[str, Any]]:
    """The named fields of each record; all of them if none is named."""
    return [
        {name: getattr(item, name) for name in columns} if columns else asdict(item)
        for item in items
    ]


def answers(replies: Sequence[Reply]) -> None:
    """Off a terminal the answers alone; on it, several side by side."""
    if not sys.stdout.isatty() or len(replies) == 1:
        sys.stdout.write("".join(f"{reply.text.strip()}\n" for reply in replies))
        return
    row = {f"{reply.model} (g{reply.generation})": reply.text.strip() for reply in replies}
    table("answers", [row])


@contextmanager
def progress_bars() -> Iterator[Callable[[records.Progress], None]]:
    """A bar for each stage on stderr, or a line for each off a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        yield _Bars(bars, console)


class _Bars:
    """Shows one stage at a time; those before it stay on the screen."""

    def __init__(self, bars: Progress, console: Console) -> None:
        self._bars = bars
        self._console = console
        self._stage = ""
        self._task = bars.add_task("", start=False, visible=False, note="")

    def __call__(self, progress: records.Progress) -> None:
        if progress.stage != self._stage:
            self._begin(progress)
        self._bars.update(
            self._task, completed=progress.done, total=progress.total, note=progress.note
        )

    def _begin(self, progress: records.Progress) -> None:
        self._stage = progress.stage
        self._bars.stop_task(self._task)
        self._task = self._bars.add_task(progress.stage, total=progress.total, note="")
        if not self._console.is_terminal:
            self._console.print(f"{progress.stage} ...", highlight=False)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return dict(value) if isinstance(value, Mapping) else str(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def facts(title: str, found: Mapping[str, Any]) -> None:
    """A table of two columns."""
    table(title, [{"what": name.replace("_", " "), "is": value} for name, value in found.items()])


def batch(report: BatchReport) -> Mapping[str, Any]:
    """A row of a table."""
    row = asdict(report)
    del row["warnings"], row["task"]  # too long for a cell
    return {**row, "reasons": "; ".join(report.reasons)}


def lesson(learned: Lesson) -> None:
    """What `learnd learn` did."""
    out = sys.stdout
    for path in learned.quarantined:
        out.write(f"set aside: {path} (see `learnd docs`)\n")
    if not learned.batches:
        out.write(f"nothing new; g{learned.generation} holds all that is readable\n")
        return
    table("batches", list(map(batch, learned.batches)))
    for warning in (text for one in learned.batches for text in one.warnings):
        out.write(f"warning: {warning}\n")
    for task in (one.task for one in learned.batches if one.task and one.stage is Stage.SERVING):
        model = quote(f"{TASK}{task}")
        out.write(f'learned the task {task}: learnd ask --model {model} "INPUT"\n')
    spent = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in learned.seconds.items())
    out.write(f"g{learned.generation} is the head ({spent})\n")
