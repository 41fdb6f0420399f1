"""The command line. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the state directory is in use,
4 bad input, 5 nothing of what was new could be learned.

Everything heavy is imported in the command that needs it, so that help comes at once.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from memory.errors import BadInput, LearndError, StateLocked
from service.bench.commands import bench
from service.options import (
    ConfigOption,
    JsonOption,
    ModelOption,
    StateOption,
    check_writable,
    configured,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memory.records import Batch
    from service.config import Config

app = typer.Typer(
    help="A daemon that keeps a language model up to date with a folder of documents.",
    epilog=(__doc__ or "").split("\n\n")[0].removeprefix("The command line. "),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(bench, name="bench")

Docs = Annotated[Path | None, typer.Argument(help="The folder; else `docs` of the configuration.")]
NOTHING_LEARNED = 5


def main() -> NoReturn:
    """Run a command; an error is one line on stderr."""
    try:
        app()
    except LearndError as error:
        typer.echo(f"learnd: {error}", err=True)
        raise SystemExit(_exit_code(error)) from None
    raise SystemExit(0)


def _exit_code(error: LearndError) -> int:
    if isinstance(error, StateLocked):
        return 3
    return 4 if isinstance(error, BadInput) else 1


@app.command()
def run(
    docs: Docs = None,
    state: StateOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0: any free one.")] = None,
    engine: Annotated[str | None, typer.Option(help="What answers: embedded or vllm.")] = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch the folder, learn it, and answer over HTTP until SIGTERM."""
    from service import daemon, logs, render

    settings = configured(
        config, docs=docs, state=state, model=model, server_host=host, server_port=port,
        engine_kind=engine,
    )  # fmt: skip
    logs.configure()

    def announce(url: str) -> None:
        if as_json:
            render.to_json({"url": url, "model": settings.model, "state": settings.state})
        else:
            typer.echo(_how_to_ask(url))
        sys.stdout.flush()

    daemon.run(settings, _folder(settings), announce)


@app.command()
def learn(
    docs: Docs = None,
    state: StateOption = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Learn everything that is new in the folder, then exit."""
    from service import lesson, render

    settings = configured(config, docs=docs, state=state, model=model)
    with render.progress_bars() as show:
        learned = lesson.learn(settings, _folder(settings), show)
    render.to_json(learned) if as_json else render.lesson(learned)
    if not learned.succeeded:
        raise typer.Exit(NOTHING_LEARNED)


@app.command()
def ask(
    question: str,
    base: Annotated[bool, typer.Option("--base", help="Show the untouched model too.")] = False,
    model: Annotated[str, typer.Option(help="learnd, learnd@gN or base.")] = "learnd",
    state: StateOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the running daemon; the state directory, if none runs or --state is given."""
    from service import client, render

    settings = configured(config, state=state)
    models = [model, "base"] if base else [model]
    try:
        if state is not None:
            raise client.NoDaemon
        with client.daemon(settings) as daemon:
            replies = daemon.ask(question, models)
    except client.NoDaemon:
        replies = client.ask_state(settings, question, models)
    render.to_json(replies) if as_json else render.answers(replies)


@app.command()
def status(
    state: StateOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """What is pending, learned and served."""
    from service import render, report

    found = report.status(configured(config, state=state))
    render.to_json(found) if as_json else render.facts("learnd", found)


@app.command()
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


@app.command()
def probes(
    state: StateOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Every probe question and what was answered last."""
    from service import render, wiring

    with wiring.read_state(configured(config, state=state)) as opened:
        rows = opened.store.probe_rows()
    columns = ("path", "kind", "question", "expected", "said", "before", "correct", "fault")
    render.to_json(rows) if as_json else render.table("probes", render.as_rows(rows, *columns))


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
def activate(
    generation: Annotated[int, typer.Argument(min=0, help="Number of the generation.")],
    state: StateOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the weights of an earlier generation again."""
    from service import admin

    _tell_head(admin.activate(configured(config, state=state), generation, state is None), as_json)


@app.command()
def rollback(
    state: StateOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Go back to what was served before the present weights."""
    from service import admin

    _tell_head(admin.rollback(configured(config, state=state), state is None), as_json)


@app.command()
def consolidate(
    state: StateOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Train the adapter anew from the base, on everything that was learned."""
    from service import lesson, render

    with render.progress_bars() as show:
        rebuilt = lesson.consolidate(configured(config, state=state), show)
    if rebuilt is None:
        raise BadInput("nothing was learned yet: `learnd learn DOCS` comes first")
    render.to_json(rebuilt) if as_json else render.table("consolidation", [render.batch(rebuilt)])


@app.command()
def practice(
    data: Annotated[list[Path], typer.Argument(help="JSON: [{title, context, questions: [...]}].")],
    output: Annotated[Path, typer.Argument(help="New directory for the study adapter.")],
    writers: Annotated[int, typer.Option(help="Lessons in writing, out of each file.")] = 1000,
    readers: Annotated[int, typer.Option(help="Lessons in reading, out of each file.")] = 500,
    seed: Annotated[int, typer.Option(help="Which lessons, in which order.")] = 0,
    rounds: Annotated[
        int, typer.Option(min=0, help="Rounds of SEAL's outer loop after the warm start.")
    ] = 0,
    start: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Study adapter to go on from, instead of a warm start.",
        ),
    ] = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Teach a model the skill to study; writes a study adapter."""
    from service import lesson, render

    settings = configured(config, model=model)
    with render.progress_bars() as show:
        lessons = (writers, readers, seed)
        figures = lesson.practise(settings, tuple(data), output, lessons, rounds, start, show)
    render.to_json(figures) if as_json else render.facts("study adapter", dict(figures))


@app.command()
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


@app.command()
def doctor(
    state: StateOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Look at the machine, the model, the disk, the permissions and the configuration."""
    from service import render, report

    found = report.doctor(configured(config, state=state))
    render.to_json(found) if as_json else render.table("doctor", render.as_rows(found))
    raise typer.Exit(0 if all(finding.ok for finding in found) else 1)


def _folder(config: "Config") -> Path:
    if config.docs is None:
        raise BadInput("which folder? Give it as the argument or as `docs` in the configuration")
    return config.docs


def _tell_head(generation: int, as_json: bool) -> None:
    from service import render

    if as_json:
        render.to_json({"generation": generation})
    else:
        typer.echo(f"g{generation} is served now")


def _how_to_ask(url: str) -> str:
    return (
        f"answering on {url}\n"
        '  learnd ask "QUESTION" --base\n'
        f"  curl {url}/v1/chat/completions -H 'content-type: application/json' \\\n"
        '    -d \'{"model": "learnd", "messages": [{"role": "user", "content": "QUESTION"}]}\''
    )


if __name__ == "__main__":
    main()
