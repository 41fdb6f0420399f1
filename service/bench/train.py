"""`learnd bench train`: how fast is training, beside the usual way and beside the machine's limit?

The study items of a few passages, drawn as `bench absorb` draws them, are trained on by each method
equally often (see agent/pace.py). `tokens_per_s` counts each example's tokens at each pass;
`limit` is what LoRA training of every layer could reach if matrix products were all of it. So
`learnd_all_layers` shows what the step itself gains, `learnd` what leaving out the lower layers
adds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.executor import Executor, LocalExecutor
from agent.extract import Extractor
from agent.passages import Passage
from memory.errors import BadDocument, BadInput
from memory.records import Progress, StudyItem
from service.bench import absorb
from service.bench.outcome import Outcome, Row, machine
from service.bench.rivals import chunked
from service.config import Config

if TYPE_CHECKING:  # loads torch
    from agent.study import StudyRequest

Show = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What to train on, and how often."""

    data: Path  # passages with questions, or a folder of documents
    n: int = 2  # passages, or documents
    items: int = 40  # of their study items, at most
    passes: int = 3
    seed: int = 0


def run(config: Config, options: Options, show: Show) -> Iterator[Outcome]:
    """Measure in a child process, see measure()."""
    with LocalExecutor(config.train.threads) as executor:
        yield measure(config, options, executor, show)


def measure(config: Config, options: Options, executor: Executor, show: Show) -> Outcome:
    """A row a method. Raises BadInput for unusable data."""
    from agent import catalog
    from agent.pace import PaceRequest, pace

    base = catalog.resolve(config.model, config.cache)
    items = _items(config, options, executor, base, show)
    request = PaceRequest(base, items, options.passes, config.train, options.seed)
    found = executor.run(pace, request, show)
    rows = tuple(asdict(one) | {"seconds": list(one.seconds)} for one in found)
    settings = {**asdict(options), "model": config.model, "train": asdict(config.train)}
    return Outcome("train", settings, machine(), rows, ratios(rows))


def ratios(rows: Sequence[Row]) -> dict[str, float | None]:
    """How fast learnd trains for its rival's speed and for the limit; and its bare step."""
    speed = {row["method"]: row["tokens_per_s"] for row in rows}
    return {
        f"{method}_over_{other}": speed[method] / speed[rival]
        for other, rival in (("hf", "hf_trainer"), ("limit", "limit"))
        for method in ("learnd", "learnd_all_layers")
    }


def passages(config: Config, data: Path, n: int, seed: int) -> Sequence[Passage]:
    """What is studied: n drawn from a file, or the first n documents of a folder.

    Raises BadInput if there are none, or one cannot be read.
    """
    if not data.is_dir():
        return absorb.draw(data, n, 1, seed)
    files = sorted(one for one in data.iterdir() if one.suffix in config.intake.suffixes)
    if not files:
        raise BadInput(f"{data} holds no document")
    with Extractor(config.intake) as extractor:
        return [_read(extractor, one) for one in files[:n]]


def _read(extractor: Extractor, file: Path) -> Passage:
    try:
        title, text = extractor.extract(file.suffix, file.read_bytes())
    except BadDocument as error:
        raise BadInput(f"{file}: {error}") from error
    return Passage(title, text, ())


def studying(config: Config, base: Path, group: Sequence[Passage], seed: int) -> "StudyRequest":
    """How the daemon would study these. Raises BadInput if they say nothing."""
    from agent import catalog
    from agent.study import StudyRequest

    settings = config.study
    given = chunked(group, settings.chunk_words)
    if not given:
        raise BadInput("there is no text to study")
    return StudyRequest(
        base=base,
        study_adapter=catalog.study_adapter(config.model),
        embedder=config.embedder,
        chunks=given,
        pipeline=settings.pipeline,
        probes_per_chunk=settings.probes_each(len(given)),
        seed=seed,
    )


def _items(
    config: Config, options: Options, executor: Executor, base: Path, show: Show
) -> tuple[StudyItem, ...]:
    """The study items of the passages, every so manyth if there are more than wanted."""
    from agent.study import study

    group = passages(config, options.data, options.n, options.seed)
    items = executor.run(study, studying(config, base, group, options.seed), show).items
    return items[:: -(-len(items) // options.items)]
