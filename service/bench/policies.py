"""`learnd bench policies`: does each policy beat its cheap control?

On the same passages, with the same seeds and the same budget of tokens, each policy stands in the
pipeline behind the default one, and its control in its place; the default itself stands alone, and
its control is plain training on the text. Questions are asked closed book, as in `bench absorb`.

kept           of what was right just after each of so many batches of these passages, learned one
               after the other as `bench retain` does, the part that is right after the last
difference_ci  95% bootstrap interval of the mean difference in F1: whole passages are drawn, each
               with all its questions and seeds
reliability    of the policy's reward, the mean over groups of passages; below .3 it abstains
abstained      why it left things as they were, or what it raised; empty if it worked throughout

It takes hours. With a ledger what was measured is kept at once, and never measured again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from math import ceil
from pathlib import Path
from typing import Final

import policies
from agent.executor import Executor, LocalExecutor
from memory.errors import BadInput
from memory.records import Health, Progress
from policies.base import Policy
from service.bench import absorb, retain, rivals, scoring
from service.bench.absorb import Show
from service.bench.ledger import Figures, Ledger
from service.bench.outcome import Outcome, Row, machine
from service.bench.rivals import Bench, Embed
from service.config import Config

DEFAULT: Final = "al"  # proposes what the others work on
_PLAIN: Final[tuple[str, ...]] = ()
_TEXT: Final = "plain training"  # on the text, with no policy at all

Pipeline = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure. Raises BadInput for an unknown policy."""

    data: Path
    policies: tuple[str, ...] = ()  # none: all
    n: int = 20  # passages
    questions: int = 5  # of a passage, at most
    seeds: int = 3
    seed: int = 0  # which passages; and the first of the seeds of training
    together: int = 8  # passages that are learned together
    batches: int = 5  # in which they are learned once more, to see what is kept; 0: they are not
    ledger: Path | None = None  # what was measured before, and is added to

    def __post_init__(self) -> None:
        unknown = [name for name in self.policies if name not in policies.known()]
        if unknown:
            known = ", ".join(policies.known())
            raise BadInput(f"no policy {', '.join(map(repr, unknown))}; known: {known}")

    @property
    def names(self) -> tuple[str, ...]:
        return self.policies or (DEFAULT, *(one for one in policies.known() if one != DEFAULT))


@dataclass(frozen=True, slots=True)
class _Found:
    """What a pipeline came to, over all seeds."""

    f1: list[list[float]]  # a list a passage: its questions, seed after seed
    seconds: float  # of study and training, a passage
    kept: float | None  # None: not measured, or nothing was ever right
    health: list[Mapping[str, Health]]  # a group of passages each


def run(config: Config, options: Options, show: Show) -> Iterator[Outcome]:
    """Measure in a child process, see compare()."""
    from agent.models import Embedder

    with LocalExecutor(config.train.threads) as executor:
        yield from compare(config, options, executor, Embedder(config.embedder), show)


def compare(
    config: Config, options: Options, executor: Executor, embed: Embed, show: Show
) -> Iterator[Outcome]:
    """A row a policy, as soon as it is known. Raises BadInput for unusable data, or a ledger of
    other settings."""
    asked = absorb.Options(
        options.data, ("learnd",), options.n, options.questions, options.seed, options.together
    )
    bench = absorb.prepared(config, asked, executor, embed)
    given, here = absorb.settings(config, asked), machine()
    ledger = Ledger(options.ledger, given | {name: here[name] for name in ("device", "dtype")})
    known: dict[Pipeline, _Found] = {}
    rows: list[Row] = []
    total = len({one for name in options.names for one in _pair(name)})
    for name in options.names:
        for pipeline in _pair(name):
            if pipeline not in known:
                show(Progress("bench", len(known), total, _name(pipeline)))
                known[pipeline] = _measured(bench, pipeline, options, ledger)
        with_it, without = (known[one] for one in _pair(name))
        rows.append(_row(name, with_it, without, bench.seed))
        settings = given | {
            "policies": options.names,
            "seeds": options.seeds,
            "batches": options.batches,
        }
        yield Outcome("policies", settings, here, tuple(rows), _ratios(rows))


def _pair(name: str) -> tuple[Pipeline, Pipeline]:
    """The pipeline with a policy, and the one with its control."""
    if name == DEFAULT:
        return (DEFAULT,), _PLAIN
    control = name + policies.CONTROL
    nothing = type(policies.load(control)) is Policy
    return (DEFAULT, name), (DEFAULT,) if nothing else (DEFAULT, control)


def _name(pipeline: Pipeline) -> str:
    return " + ".join(pipeline) or _TEXT


def _measured(bench: Bench, pipeline: Pipeline, options: Options, ledger: Ledger) -> _Found:
    name, bench = _name(pipeline), _with(bench, pipeline)
    seeds = [replace(bench, seed=options.seed + number) for number in range(options.seeds)]
    found = [
        ledger.recall(f"{name}, seed {one.seed}", partial(_sat, one, pipeline)) for one in seeds
    ]
    kept: float | None = None
    if pipeline and options.batches:
        about = f"{name}, after {options.batches} batches"
        kept = ledger.recall(about, partial(_kept, bench, options))["kept"]
    return _Found(
        [list(chain(*same)) for same in zip(*(one["f1"] for one in found), strict=True)],
        sum(one["seconds"] for one in found) / len(found),
        kept,
        [_health(group) for one in found for group in one["health"]],
    )


def _with(bench: Bench, pipeline: Pipeline) -> Bench:
    if not pipeline:
        return bench
    study = replace(bench.config.study, pipeline=pipeline)
    return replace(bench, config=bench.config.model_copy(update={"study": study}))


def _sat(bench: Bench, pipeline: Pipeline) -> Figures:
    """What it comes to by one seed."""
    answered = rivals.answers(bench, "learnd" if pipeline else "raw", lambda done: None)
    return {
        "f1": absorb.graded(scoring.f1, answered.short, bench.passages),
        "seconds": answered.cost.learning_seconds / len(bench.passages),
        "health": answered.health,
    }


def _health(kept: Mapping[str, Figures]) -> dict[str, Health]:
    return {name: Health(**figures) for name, figures in kept.items()}


def _kept(bench: Bench, options: Options) -> Figures:
    """By the first seed alone: it takes as long as all others."""
    together = ceil(options.n / options.batches)
    asked = retain.Options(
        options.data, ("learnd",), options.n, together, 1, options.questions, options.seed
    )
    *_, found = retain.retain(bench.config, asked, bench.executor, bench.embed, lambda done: None)
    return {"kept": found.ratios["learnd_kept"]}


def _row(name: str, found: _Found, control: _Found, seed: int) -> Row:
    differences = [
        [one - other for one, other in zip(*pair, strict=True)]
        for pair in zip(found.f1, control.f1, strict=True)
    ]
    low, high = scoring.interval(differences, seed)
    policy = policies.load(name)
    return {
        "method": name,
        "role": policy.role,
        "control": policy.control,
        "f1": scoring.mean(found.f1),
        "control_f1": scoring.mean(control.f1),
        "difference": scoring.mean(differences),
        "difference_ci": (low, high),
        "beats_control": low > 0,
        "kept": found.kept,
        "control_kept": control.kept,
        "seconds": found.seconds,
        "control_seconds": control.seconds,
        "reliability": _reliability(name, found.health),
        "abstained": _abstained(name, found.health),
    }


def _reliability(name: str, health: Sequence[Mapping[str, Health]]) -> float | None:
    given = [one[name].reliability for one in health if name in one]
    told = [one for one in given if one is not None]
    return sum(told) / len(told) if told else None


def _abstained(name: str, health: Sequence[Mapping[str, Health]]) -> str:
    """Each reason once, and how often there was one."""
    reasons = [_reason(one[name]) for one in health if name in one]
    given = [reason for reason in reasons if reason]
    if not given:
        return ""
    return f"{len(given)} of {len(reasons)}: {'; '.join(dict.fromkeys(given))}"


def _reason(health: Health) -> str | None:
    return health.failed.strip().splitlines()[-1] if health.failed else health.abstained


def _ratios(rows: Sequence[Row]) -> dict[str, float | None]:
    """Each policy's F1 over its control's."""
    return {
        f"{row['method']}_over_control": row["f1"] / row["control_f1"]
        if row["control_f1"]
        else None
        for row in rows
    }
