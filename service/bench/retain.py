"""`learnd bench retain`: is what was learned still known after what came later?

Passages are learned in batches, one after the other, by rivals on the same model, data and machine
(see students.py). After each batch its questions and those of all before are asked closed book; an
answer is right if it holds the expected one as whole words. SEAL's matrix (Zweiger et al. 2025) is
`--n 8 --together 1`, over several sequences; a long stream is `--n 100 --together 5`; with `--first
FILE` a batch of other passages comes before, to see what all later ones leave of it.

`general` is the share of questions about what everybody knows that are right before and after.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean

from agent.executor import Executor, LocalExecutor
from agent.passages import Passage, Question, read_questions
from memory.errors import BadInput
from memory.records import Progress
from service.bench import ablations, absorb, rivals, scoring, students
from service.bench.matrix import Matrix, mean
from service.bench.outcome import Outcome, Row, machine
from service.bench.rivals import Bench, Embed
from service.config import Config

Show = Callable[[Progress], None]
Groups = Sequence[Sequence[Passage]]


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure. Raises BadInput for an unknown method."""

    data: Path
    methods: tuple[str, ...] = students.METHODS
    n: int = 8  # passages of a sequence
    together: int = 1  # passages of a batch
    sequences: int = 1  # each with a seed, and so with passages, of its own
    questions: int = 5  # of a passage, at most
    seed: int = 0
    general: Path | None = None  # JSON: [{question, answer}], asked before and after
    first: Path | None = None  # passages of the first batch

    def __post_init__(self) -> None:
        known = (*students.METHODS, *students.MIXES, *ablations.METHODS)
        unknown = [method for method in self.methods if method not in known]
        if unknown:
            names = ", ".join(map(repr, unknown))
            raise BadInput(f"no method {names}; known: {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class _Course:
    """One student's way through one sequence, or the part of it that is done."""

    matrix: Matrix
    general: tuple[float, float] | None  # before and after; None: not asked, or not yet
    seconds: tuple[float, ...]  # of learning each batch
    idle: tuple[float, ...]  # of what was done afterwards, before the next batch came
    refused: int


def run(config: Config, options: Options, show: Show) -> Iterator[Outcome]:
    """Measure in a child process, see retain()."""
    from agent.models import Embedder

    with LocalExecutor(config.train.threads) as executor:
        yield from retain(config, options, executor, Embedder(config.embedder), show)


def retain(
    config: Config, options: Options, executor: Executor, embed: Embed, show: Show
) -> Iterator[Outcome]:
    """What is left of each batch, by each method; a row a method, in the order given.

    The outcome grows with every batch. Raises BadInput for unusable data.
    """
    benches = [_bench(config, options, executor, embed, one) for one in range(options.sequences)]
    steps = sum(len(bench.groups) for bench in benches)
    courses: dict[str, list[_Course]] = {}
    settings, done = {**asdict(options), "model": config.model, "train": asdict(config.train)}, 0
    for bench in benches:
        for method in options.methods:
            tick = _ticking(show, method, done, steps * len(options.methods))
            earlier = courses.get(method, [])
            for course in _course(bench, method, tick):
                courses[method] = [*earlier, course]
                rows = tuple(_row(*one) for one in courses.items())
                yield Outcome("retain", settings, machine(), rows, ratios(rows))
            done += len(bench.groups)


def matrices(outcome: Outcome) -> dict[str, Matrix]:
    """The mean matrix of each method."""
    return {row["method"]: Matrix(**row["matrix"]) for row in outcome.rows}


def ratios(rows: Sequence[Row]) -> dict[str, float | None]:
    """What each method still knows of what it knew just after learning it."""
    return {
        f"{row['method']}_kept": row["final"] / row["just_learned"] if row["just_learned"] else None
        for row in rows
    }


def _bench(
    config: Config, options: Options, executor: Executor, embed: Embed, sequence: int
) -> Bench:
    from agent import catalog

    seed = options.seed + sequence
    drawn = absorb.draw(options.data, options.n, options.questions, seed)
    groups = [
        drawn[start : start + options.together] for start in range(0, len(drawn), options.together)
    ]
    if options.first is not None:
        groups.insert(0, absorb.draw(options.first, options.together, options.questions, seed))
    control = read_questions(options.general) if options.general else ()
    base, adapter = catalog.resolve(config.model, config.cache), catalog.study_adapter(config.model)
    return Bench(executor, embed, config, base, adapter, tuple(groups), tuple(control), seed)


def _ticking(show: Show, method: str, before: int, total: int) -> rivals.Tick:
    show(Progress("bench", before, total, method))
    return lambda done: show(Progress("bench", before + done, total, method))


def _course(bench: Bench, method: str, tick: rivals.Tick) -> Iterator[_Course]:
    """How far it has come after each batch; general questions are asked again after the last."""
    with students.student(bench, method) as one:
        base, before = _known(one, bench.groups), _general(one, bench)
        course = _Course(Matrix(base, ()), None, (), (), 0)
        for number, group in enumerate(bench.groups, 1):
            seconds, idle = _timed(partial(one.learn, group)), _timed(one.rest)
            known = _known(one, bench.groups[:number])
            course = _Course(
                matrix=Matrix(base, (*course.matrix.rows, known)),
                general=None,
                seconds=(*course.seconds, seconds),
                idle=(*course.idle, idle),
                refused=one.refused(),
            )
            if bench.control and number == len(bench.groups):
                course = replace(course, general=(before, _general(one, bench)))
            tick(number)
            yield course


def _timed(work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _known(student: students.Student, groups: Groups) -> tuple[float, ...]:
    """The share that is right of the questions about each group."""
    asked = [[one for passage in group for one in passage.questions] for group in groups]
    said = iter(student.answer([one.text for part in asked for one in part]))
    return tuple(_right(part, [next(said) for _ in part]) for part in asked)


def _general(student: students.Student, bench: Bench) -> float:
    if not bench.control:
        return 0.0
    return _right(bench.control, student.answer([one.text for one in bench.control]))


def _right(asked: Sequence[Question], said: Sequence[str]) -> float:
    return fmean(scoring.recall(text, one.answer) for text, one in zip(said, asked, strict=True))


def _row(method: str, courses: Sequence[_Course]) -> Row:
    """The figures of a method; lists are for programs."""
    whole = mean([course.matrix for course in courses])
    general = [course.general for course in courses if course.general]
    return {
        "method": method,
        "base": fmean(whole.base),
        "just_learned": whole.just_learned,
        "final": whole.final,
        "backward_transfer": whole.backward_transfer,
        "general_before": fmean(before for before, _ in general) if general else None,
        "general_after": fmean(after for _, after in general) if general else None,
        "seconds": fmean(spent for course in courses for spent in course.seconds),
        "idle_seconds": fmean(spent for course in courses for spent in course.idle),
        "refused": sum(course.refused for course in courses),
        "seconds_each": [list(course.seconds) for course in courses],
        "idle_each": [list(course.idle) for course in courses],
        "by_age": list(whole.by_age),
        "matrix": {"base": whole.base, "rows": whole.rows},
        "sequences": [asdict(course.matrix) for course in courses],
    }
