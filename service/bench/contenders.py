"""What `learnd bench serve` measures: each engine with the base, and what is swapped into it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Final

from service import fleets
from service.config import Config
from service.engines.base import Engine
from service.engines.managed import require_python


@dataclass(frozen=True, slots=True)
class Contender:
    """An engine that holds what is measured as generation 0."""

    engine: Engine
    others: tuple[Path, ...]  # generations 1, 2 ... in turn


@dataclass(frozen=True, slots=True)
class Course:
    """What all of them are measured on."""

    base: Path
    clients: int
    seed: int
    weights: Path | None = None  # generation 0; None: the base
    adapter: Path | None = None  # the same as an adapter
    recited: tuple[str, ...] = ()  # what it was taught to say


@contextmanager
def embedded(config: Config, course: Course, scratch: Path) -> Iterator[Contender]:
    """The engine in this process; swaps go to and fro between weights that differ a little."""
    from agent.lanes import alone
    from service.engines.embedded import opened

    with alone():  # or this thread, too, would keep workers
        others = _disturbed(course, scratch)
    clients = course.clients
    dtype = config.engine.dtype
    with closing(opened(course.base, clients, clients, lambda: course.recited, dtype)) as engine:
        engine.load(0, course.weights)
        yield Contender(engine, others)


@contextmanager
def vllm(config: Config, course: Course, scratch: Path) -> Iterator[Contender]:
    """vLLM servers, our own or those of the configuration; swaps go between two adapters."""
    from agent import yardstick
    from service.engines.fleet import Fleet, Model

    rank, base = config.train.rank, course.base
    seeds = (course.seed, course.seed + 1)
    adapters = tuple(yardstick.write_adapter(base, scratch / f"{n}", n, rank) for n in seeds)
    parallel = replace(config.server, parallel=course.clients)
    members = fleets.members(config.model_copy(update={"server": parallel}), base, rank, None)
    model = Model(base, config.model, token_hex(4))
    seconds = config.engine.start_seconds
    with closing(Fleet(members, model, 2 * course.clients, seconds)) as fleet:
        fleet.load(0, course.adapter)
        yield Contender(fleet, adapters)


@contextmanager
def merged(config: Config, course: Course, scratch: Path) -> Iterator[Contender]:
    """vLLM servers for each generation's merged weights; swaps as in the embedded engine."""
    others = _disturbed(course, scratch)
    server = replace(config.server, parallel=course.clients, queue=course.clients)
    config = config.model_copy(update={"server": server})
    with closing(fleets.merged(config, course.base, None)) as engine:
        engine.load(0, course.weights)
        yield Contender(engine, others)


def _disturbed(course: Course, scratch: Path) -> tuple[Path, ...]:
    """Weights that differ a little from those that are measured, and from each other."""
    from agent import yardstick

    others = (scratch / "one", scratch / "other")
    for seed, other in enumerate(others, course.seed):
        yardstick.disturb(course.weights or course.base, other, seed)
    return others


Opener = Callable[[Config, Course, Path], AbstractContextManager[Contender]]
OPENERS: Final[dict[str, Opener]] = {
    "embedded": embedded,
    "vllm": vllm,
    "merged": merged,
}


def chosen(config: Config) -> list[str]:
    """The embedded engine, and vLLM beside it as far as it is configured. Raises BadConfig if that
    is not installed: before anything is measured."""
    if config.engine.kind == "embedded":
        return ["embedded"]
    if not config.engine.urls:
        require_python(config.engine.python)
    return ["embedded", "merged" if config.engine.weights == "merged" else "vllm"]
