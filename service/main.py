"""The command line. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the state directory is in use,
4 bad input, 5 nothing of what was new could be learned.

Everything heavy is imported in the command that needs it, so that help comes at once.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from memory.errors import BadInput, LearndError, StateLocked
from service.account import account
from service.bench.commands import bench
from service.options import (
    ConfigOption,
    JsonOption,
    ModelOption,
    StateOption,
    configured,
)

if TYPE_CHECKING:
    from service.config import Config

app = typer.Typer(
    help="A daemon that keeps a language model up to date with a folder of documents.",
    epilog=(__doc__ or "").split("\n\n")[0].removeprefix("The command line. "),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(account)
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
    model: Annotated[str, typer.Option(help="learnd, learnd:TASK, learnd@gN or base.")] = "learnd",
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
