"""`learnd bench NAME`: one command a benchmark. Everything heavy is imported where it is needed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memory.errors import BadInput
from service.options import ConfigOption, ModelOption, check_writable, configured

if TYPE_CHECKING:
    from memory.records import Progress
    from service.bench.outcome import Outcome

ABSORBERS = "base,raw,seal,learnd,rag1,rag3,gold"  # of `bench absorb`
RETAINERS = "sequential,seal,learnd"  # of `bench retain`
Passages = Annotated[Path, typer.Option(help="JSON: [{title, context, questions: [...]}].")]
Documents = Annotated[
    Path, typer.Option(help="JSON: [{title, context, questions: [...]}], or a folder.")
]
Questions = Annotated[int, typer.Option(min=1, help="Questions a passage, at most.")]
General = Annotated[
    Path | None, typer.Option(help="JSON: [{question, answer}], asked to see what was lost.")
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the figures to this file, too.")
]
bench = typer.Typer(help="Measure learnd beside its rivals.", no_args_is_help=True)


@bench.command()
def absorb(
    data: Passages,
    n: Annotated[int, typer.Option("--n", min=1, help="Passages.")] = 40,
    seed: Annotated[int, typer.Option(help="Which passages and questions, and all chance.")] = 0,
    methods: Annotated[str, typer.Option(help="What to compare.")] = ABSORBERS,
    questions: Questions = 5,
    together: Annotated[int, typer.Option(min=1, help="Passages learned together.")] = 8,
    general: General = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    json_file: JsonFile = None,
) -> None:
    """Does it learn passages? Beside training on the text, SEAL, retrieval and the passage."""
    from service.bench import absorb

    settings = configured(config, model=model)
    options = absorb.Options(data, _names(methods), n, questions, seed, together, general)
    _shown(lambda show: absorb.run(settings, options, show), json_file)


@bench.command()
def retain(
    data: Passages,
    n: Annotated[int, typer.Option("--n", min=1, help="Passages of a sequence.")] = 8,
    together: Annotated[int, typer.Option(min=1, help="Passages of a batch.")] = 1,
    sequences: Annotated[int, typer.Option(min=1, help="Sequences, each its own passages.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the first sequence.")] = 0,
    methods: Annotated[
        str, typer.Option(help="What to compare; also linear, svd, cat, ties ...")
    ] = RETAINERS,
    without: Annotated[
        str, typer.Option(help="Parts of learnd to switch off, each in a run of its own.")
    ] = "",
    questions: Questions = 5,
    general: General = None,
    first: Annotated[
        Path | None, typer.Option(help="Passages for a batch before all others.")
    ] = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    png: Annotated[Path | None, typer.Option(help="Draw the matrices to this file.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Does it keep what it learned? Beside SEAL and plain training, batch after batch."""
    from service.bench import matrix, retain

    settings = configured(config, model=model)
    check_writable(png)
    chosen = (*_names(methods), *(f"no_{part}" for part in _names(without)))
    options = retain.Options(data, chosen, n, together, sequences, questions, seed, general, first)
    found = _shown(lambda show: retain.run(settings, options, show), json_file)
    for name, known in retain.matrices(found).items():
        matrix.show(name, known)
    if png is not None:
        matrix.draw(retain.matrices(found), png)


@bench.command()
def fresh(
    data: Passages,
    n: Annotated[int, typer.Option("--n", min=1, help="Files.")] = 20,
    seed: Annotated[int, typer.Option(help="Which passages and questions.")] = 0,
    questions: Annotated[int, typer.Option(min=1, help="Questions a file, at most.")] = 5,
    edits: Annotated[bool, typer.Option("--edits", help="Then edit each file, and ask.")] = False,
    model: ModelOption = None,
    config: ConfigOption = None,
    json_file: JsonFile = None,
) -> None:
    """How soon is a saved file answered? With a daemon of its own, over HTTP."""
    from service.bench import fresh

    settings = configured(config, model=model)
    given = {"--config": config, "--model": model}
    arguments = [str(part) for pair in given.items() if pair[1] for part in pair]
    options = fresh.Options(data, n, questions, seed, edits)
    _shown(lambda show: fresh.run(settings, options, arguments, show), json_file)


@bench.command()
def train(
    data: Documents = Path("examples/docs"),
    n: Annotated[int, typer.Option("--n", min=1, help="Passages, or documents.")] = 2,
    items: Annotated[int, typer.Option(min=1, help="Of their study items, at most.")] = 40,
    passes: Annotated[int, typer.Option(min=1, help="Over the items, by each method.")] = 3,
    seed: Annotated[int, typer.Option(help="Which passages, and all chance.")] = 0,
    model: ModelOption = None,
    config: ConfigOption = None,
    json_file: JsonFile = None,
) -> None:
    """How fast is a training step? Beside Hugging Face's Trainer and the machine's limit."""
    from service.bench import train

    settings = configured(config, model=model)
    options = train.Options(data, n, items, passes, seed)
    _shown(lambda show: train.run(settings, options, show), json_file)


@bench.command()
def study(
    data: Documents = Path("examples/docs"),
    n: Annotated[int, typer.Option("--n", min=1, help="Passages, or documents.")] = 4,
    seed: Annotated[int, typer.Option(help="Which passages, and all chance.")] = 0,
    model: ModelOption = None,
    config: ConfigOption = None,
    json_file: JsonFile = None,
) -> None:
    """How fast are study items written and verified? Beside `model.generate`."""
    from service.bench import study

    settings = configured(config, model=model)
    _shown(lambda show: study.run(settings, study.Options(data, n, seed), show), json_file)


@bench.command()
def policies(
    data: Passages,
    names: Annotated[str, typer.Option("--policies", help="Which, as a,b; else all.")] = "",
    n: Annotated[int, typer.Option("--n", min=1, help="Passages.")] = 20,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each, by other seeds.")] = 3,
    seed: Annotated[int, typer.Option(help="Which passages and questions; the first seed.")] = 0,
    questions: Questions = 5,
    together: Annotated[int, typer.Option(min=1, help="Passages learned together.")] = 8,
    batches: Annotated[int, typer.Option(min=0, help="To see what is kept; 0: not.")] = 5,
    model: ModelOption = None,
    config: ConfigOption = None,
    ledger: Annotated[
        Path | None, typer.Option(help="Go on from what this file keeps, and add to it.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Does each policy beat its cheap control? Same passages, seeds and tokens for both."""
    from service.bench import policies

    settings = configured(config, model=model)
    chosen = _names(names) if names else ()
    check_writable(ledger)
    options = policies.Options(data, chosen, n, questions, seeds, seed, together, batches, ledger)
    _shown(lambda show: policies.run(settings, options, show), json_file)


@bench.command()
def tasks(
    data: Annotated[Path, typer.Option(help="Folder of .jsonl files, or one.")] = Path(
        "examples/tasks"
    ),
    shown: Annotated[int, typer.Option(min=1, help="Examples in the prompt.")] = 8,
    tried: Annotated[int, typer.Option(min=2, help="Self-edits that are tried.")] = 4,
    seed: Annotated[int, typer.Option(help="Which are held out, and all chance.")] = 0,
    model: ModelOption = None,
    config: ConfigOption = None,
    json_file: JsonFile = None,
) -> None:
    """Are tasks learned by their examples? Beside the base, with and without examples shown."""
    from service.bench import tasks

    settings = configured(config, model=model)
    options = tasks.Options(data, shown, tried, seed)
    _shown(lambda show: tasks.run(settings, options, show), json_file)


@bench.command()
def verify(
    data: Passages,
    n: Annotated[int, typer.Option("--n", min=5, help="True pairs, and as many false ones.")] = 200,
    seed: Annotated[int, typer.Option(help="Which pairs, and all chance.")] = 0,
    model: ModelOption = None,
    config: ConfigOption = None,
    json_file: JsonFile = None,
) -> None:
    """Does the verifier tell true question-answer pairs from false ones? By kind of error."""
    from service.bench import verify

    settings = configured(config, model=model)
    _shown(lambda show: verify.run(settings, verify.Options(data, n, seed), show), json_file)


@bench.command()
def route(
    data: Passages,
    general: Annotated[Path, typer.Option(help="JSON: [{question, answer}]: what all know.")],
    n: Annotated[int, typer.Option("--n", min=1, help="Passages.")] = 100,
    together: Annotated[int, typer.Option(min=1, help="Passages studied together.")] = 5,
    questions: Questions = 3,
    seed: Annotated[int, typer.Option(help="Which passages and questions.")] = 0,
    model: ModelOption = None,
    config: ConfigOption = None,
    json_file: JsonFile = None,
) -> None:
    """Are questions about the documents told from all others? Nothing is trained."""
    from service.bench import route

    settings = configured(config, model=model)
    options = route.Options(data, general, n, together, questions, seed)
    _shown(lambda show: route.run(settings, options, show), json_file)


@bench.command()
def scale(
    documents: Annotated[str, typer.Option(help="Sizes, in documents.")] = "10,100,1000",
    together: Annotated[int, typer.Option(min=1, help="Documents of a batch.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the invented documents.")] = 0,
    backlog: Annotated[
        bool, typer.Option("--backlog", help="No idle time, in which to review, between batches.")
    ] = False,
    model: ModelOption = None,
    config: ConfigOption = None,
    json_file: JsonFile = None,
) -> None:
    """How does the cost of a cycle grow? Training is simulated, but for one batch at each size."""
    from service.bench import scale

    settings = configured(config, model=model)
    sizes = _names(documents)
    if not (sizes and all(size.isdecimal() for size in sizes)):
        raise BadInput(f"--documents takes sizes as in 10,100,1000, not {documents!r}")
    options = scale.Options(tuple(map(int, sizes)), together, seed, backlog)
    _shown(lambda show: scale.run(settings, options, show), json_file)


@bench.command()
def serve(
    clients: Annotated[int, typer.Option(min=1, help="That ask at the same time.")] = 8,
    requests: Annotated[int, typer.Option(min=4, help="That they make, all together.")] = 24,
    seed: Annotated[int, typer.Option(help="Which questions, and when.")] = 0,
    taught: Annotated[
        Path | None, typer.Option(help="State directory: ask about what its model was taught.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="vllm: beside the embedded one.")] = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    json_file: JsonFile = None,
) -> None:
    """How fast are answers, and what do training and a swap cost? Beside model.generate."""
    from service.bench import serve

    settings = configured(config, model=model, engine_kind=engine)
    options = serve.Options(clients, requests, seed, taught)
    _shown(lambda show: serve.run(settings, options, show), json_file)


def _shown(
    measure: "Callable[[Callable[[Progress], None]], Iterator[Outcome]]", json_file: Path | None
) -> "Outcome":
    """What was found in the end; each step is written, so that a run that breaks off keeps it."""
    from service import render
    from service.bench import outcome

    check_writable(json_file)
    with render.progress_bars() as show:
        for found in measure(show):
            if json_file is not None:
                outcome.save(found, json_file)
    outcome.show(found)
    return found


def _names(listed: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in listed.split(",") if name.strip())
