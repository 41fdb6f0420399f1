"""The commands that give account: what is there, what was learned, from where and when.

Everything heavy is imported in the command that needs it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.options import ConfigOption, JsonOption, StateOption, check_writable, configured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memory.records import Batch

account = typer.Typer()


@account.command()
def status(
    state: StateOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """What is pending, learned and served."""
    from service import render, report

    found = report.status(configured(config, state=state))
    render.to_json(found) if as_json else render.facts("learnd", found)


@account.command()
def docs(
    state: StateOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Every document: its state, where it was learned, how its probes stand."""
    from service import documents, render, wiring

    with wiring.read_state(configured(config, state=state)) as opened:
        rows = documents.rows(opened.store)
    columns = ("path", "version", "state", "learned_in", "coverage", "probes_right", "probes")
    shown = [
        {name: row[name] for name in (*columns, "reason")}
        | {"contradicts": documents.contradicted(row["contradicts"])}
        for row in rows
    ]
    render.to_json(rows) if as_json else render.table("documents", shown)


@account.command()
def tasks(
    state: StateOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Every file of examples: what answers it, and how many of the held-out ones are right."""
    from service import render, tasks, wiring

    with wiring.read_state(configured(config, state=state)) as opened:
        rows = tasks.rows(opened.store)
    render.to_json(rows) if as_json else render.table("tasks", list(map(tasks.shown, rows)))


@account.command()
def probes(
    state: StateOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Every probe question and what was answered last."""
    from service import render, wiring

    with wiring.read_state(configured(config, state=state)) as opened:
        rows = opened.store.probe_rows()
    columns = ("path", "kind", "question", "expected", "said", "before", "correct", "fault")
    render.to_json(rows) if as_json else render.table("probes", render.as_rows(rows, *columns))


@account.command()
def history(
    state: StateOption = None,
    config: ConfigOption = None,
    png: Annotated[Path | None, typer.Option(help="Plot what is known over generations.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Per document: what was learned when, what slipped, what repaired it."""
    from service import history, render, wiring

    check_writable(png)
    with wiring.read_state(configured(config, state=state)) as opened:
        rows, recall = history.rows(opened.store), opened.store.recall()
    if png is not None:
        history.draw(recall, png)
    if as_json:
        render.to_json({"documents": rows, "recall": recall})
    else:
        columns = ("path", "version", "learned", "slipped", "repaired", "story")
        render.table("history", [{name: row[name] for name in columns} for row in rows])


@account.command()
def policies(
    bench: Annotated[
        Path | None, typer.Option(help="What `learnd bench policies --json FILE` found.")
    ] = None,
    state: StateOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What turns documents into study: role, control, and health in the last batch."""
    from service import policies, render, wiring

    settings = configured(config, state=state)
    batches: Sequence[Batch] = ()
    if (settings.state / "learnd.db").exists():
        with wiring.read_state(settings) as opened:
            batches = opened.store.batches()
    measured = policies.measured(bench) if bench else {}
    rows = policies.rows(settings.study.pipeline, batches, measured)
    shown = [{name: row[name] for name in policies.COLUMNS} for row in rows]
    render.to_json(rows) if as_json else render.table("policies", shown)


@account.command()
def generations(
    state: StateOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """What was served, newest last."""
    from service import render, wiring

    with wiring.read_state(configured(config, state=state)) as opened:
        rows = opened.store.generations()
    columns = ("number", "note", "batch_id", "created_at")
    shown = [
        {**row, "served": "now" if row["number"] == rows[-1].number else ""}
        for row in render.as_rows(rows, *columns)
    ]
    render.to_json(rows) if as_json else render.table("generations", shown)


@account.command()
def check(
    state: StateOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Test every invariant of the state directory and hash its files."""
    from service import render, wiring

    with wiring.read_state(configured(config, state=state)) as opened:
        faults = opened.store.check(opened.artifacts)
    if as_json:
        render.to_json({"ok": not faults, "faults": faults})
    else:
        typer.echo("\n".join(faults) or "all is well")
    raise typer.Exit(1 if faults else 0)


@account.command()
def doctor(
    state: StateOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Look at the machine, the model, the disk, the permissions and the configuration."""
    from service import render, report

    found = report.doctor(configured(config, state=state))
    render.to_json(found) if as_json else render.table("doctor", render.as_rows(found))
    raise typer.Exit(0 if all(finding.ok for finding in found) else 1)
