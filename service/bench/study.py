"""`learnd bench study`: how fast are study items written and verified, beside `model.generate`?

Each passage is studied by both in turn (see agent/writing.py). `seconds_per_item` is the time of a
written question that is trusted in the end, with all that was written and dropped on the way.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.executor import Executor, LocalExecutor
from memory.records import Progress
from service.bench import train
from service.bench.outcome import Outcome, machine
from service.config import Config

if TYPE_CHECKING:  # loads torch
    from agent.writing import Written

Show = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What to study."""

    data: Path  # passages with questions, or a folder of documents
    n: int = 4  # passages, or documents
    seed: int = 0


def run(config: Config, options: Options, show: Show) -> Iterator[Outcome]:
    """Measure in a child process, see measure()."""
    with LocalExecutor(config.train.threads) as executor:
        yield measure(config, options, executor, show)


def measure(config: Config, options: Options, executor: Executor, show: Show) -> Outcome:
    """A row a method. Raises BadInput for unusable data."""
    from agent import catalog
    from agent.writing import METHODS, WritingRequest, write

    base = catalog.resolve(config.model, config.cache)
    group = train.passages(config, options.data, options.n, options.seed)
    parts = [train.studying(config, base, [one], options.seed) for one in group]
    request = WritingRequest(parts[0], tuple(part.chunks for part in parts))
    found = executor.run(write, request, show)
    rows = [_row(name, [one for one in found if one.method == name]) for name in METHODS]
    settings = {**asdict(options), "model": config.model, "study": asdict(config.study)}
    plain, ours = (row["seconds_per_item"] for row in rows)
    ratio = plain / ours if plain and ours else None
    ratios = {"generate16_over_learnd": ratio}
    return Outcome("study", settings, machine(), tuple(rows), ratios)


def _row(method: str, parts: Sequence["Written"]) -> dict[str, Any]:
    seconds, verified = sum(one.seconds for one in parts), sum(one.verified for one in parts)
    return {
        "method": method,
        "seconds_per_item": seconds / verified if verified else None,
        "verified": verified,
        "seconds": seconds,
    }
