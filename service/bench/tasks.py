"""`learnd bench tasks`: is a task learned by its examples, and does the self-edit help?

Of each file of examples some are held out, and asked of:

base      the untouched model
shown     the same with examples in the prompt, as many as `--shown`
usual     an adapter trained on the others as they are: the control of the next
drawn     one trained by a self-edit that chance chose
few_shot  one trained by the self-edit that did best in trial (SEAL's few-shot setting)

exact is the share of the held-out examples whose output is said, and nothing else; logprob is that
of its tokens, the mean in nats. A file is a column.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from time import monotonic
from typing import Final

from agent import catalog, general
from agent.adaptation import AdaptRequest, adapt, parted, training
from agent.directives import follow
from agent.executor import Executor, LocalExecutor
from agent.rehearsal import KEPT
from agent.trial import TrialRequest, trial
from memory.errors import BadInput
from memory.records import TASK, Chunk, Progress, StudyItem
from policies import few_shot
from policies.base import NO_DIRECTIVES, Directives
from policies.examples import Example, parse, read, written
from policies.few_shot import TaskEdit
from service.bench.absorb import Show
from service.bench.outcome import Outcome, Row, machine
from service.config import Config

METHODS: Final = ("base", "shown", "usual", "drawn", "few_shot")
_ANSWER: Final = 64  # tokens


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure."""

    data: Path  # a folder of files of examples, or one
    shown: int = 8  # examples in the prompt
    tried: int = few_shot.ARMS  # self-edits
    seed: int = 0  # which examples are held out, and all chance


@dataclass(frozen=True, slots=True)
class _Task:
    name: str
    chunks: tuple[Chunk, ...]
    training: Sequence[Example]
    held: Sequence[Example]

    @property
    def chunk_of(self) -> Mapping[Example, int]:
        return {one: chunk.id for chunk in self.chunks for one in read(chunk.text)}


@dataclass(frozen=True, slots=True)
class _Study:
    """What an adapter is trained on; nothing: the base is asked."""

    items: tuple[StudyItem, ...] = ()
    directives: Directives = NO_DIRECTIVES
    seconds: float = 0.0
    about: str = ""


def run(config: Config, options: Options, show: Show) -> Iterator[Outcome]:
    """Measure in a child process, see compare()."""
    with LocalExecutor(config.train.threads) as executor:
        yield from compare(config, options, executor, show)


def compare(config: Config, options: Options, executor: Executor, show: Show) -> Iterator[Outcome]:
    """A row a method, after each file. Raises BadInput, BadDocument for unusable data."""
    tasks = [_task(file, options.seed) for file in _files(options.data)]
    found: dict[str, dict[str, Row]] = defaultdict(dict)
    for number, task in enumerate(tasks):
        for method in METHODS:
            show(Progress("bench", number, len(tasks), f"{task.name}, {method}"))
            found[method][task.name] = _measured(config, options, executor, task, method)
        rows = tuple(_row(method, each) for method, each in found.items())
        exact = {row["method"]: row["exact"] for row in rows}
        over = exact["few_shot"] / exact["usual"] if exact["usual"] else None
        settings = {**asdict(options), "model": config.model, "train": asdict(config.train)}
        yield Outcome("tasks", settings, machine(), rows, {"few_shot_over_usual": over})


def _files(data: Path) -> list[Path]:
    files = sorted(data.glob("*.jsonl")) if data.is_dir() else [data]
    if not files or not all(file.is_file() for file in files):
        raise BadInput(f"{data} is neither a folder with .jsonl files nor such a file")
    return files


def _task(file: Path, seed: int) -> _Task:
    examples = parse(file.read_text())
    parts = enumerate(parted(written(examples)))
    chunks = tuple(Chunk(n, seed, n, file.stem, part) for n, part in parts)
    return _Task(file.stem, chunks, *few_shot.split(examples, seed))


def _measured(
    config: Config, options: Options, executor: Executor, task: _Task, method: str
) -> Row:
    base, skill = catalog.resolve(config.model, config.cache), catalog.study_adapter(config.model)
    study = _studied(config, options, executor, task, method)
    prompts = [_shown(task, one, options.shown if method == "shown" else 0) for one in task.held]
    asked = [
        StudyItem(0, TASK, prompt, one.answer, method)
        for prompt, one in zip(prompts, task.held, strict=True)
    ]
    known = general.beside(len(study.items), config.train, options.seed) if study.items else ()
    fitting = training(config.train, len(task.chunks))
    request = TrialRequest(
        base, study.items, tuple(prompts), _ANSWER, follow(study.directives, fitting),
        options.seed, general=known, kept=skill and skill / KEPT, scored=tuple(asked),
    )  # fmt: skip
    done = executor.run(trial, request, lambda progress: None)
    right = [
        said.split() == one.answer.split()
        for said, one in zip(done.replies.texts, task.held, strict=True)
    ]
    return {
        "exact": fmean(right),
        "asked": len(right),
        "logprob": fmean(done.logprobs),
        "study_seconds": study.seconds,
        "train_seconds": done.seconds,
        "studied": study.about,
    }


def _studied(
    config: Config, options: Options, executor: Executor, task: _Task, method: str
) -> _Study:
    if method == "few_shot":
        return _chosen(config, options, executor, task)
    edits = {"usual": few_shot.USUAL, "drawn": next(few_shot.drawings(options.seed))}
    return _by(edits[method], task, options.seed) if method in edits else _Study()


def _by(edit: TaskEdit, task: _Task, seed: int) -> _Study:
    items = tuple(few_shot.expand(task.training, edit, task.chunk_of, seed))
    return _Study(items, edit.directives, about=str(edit))


def _chosen(config: Config, options: Options, executor: Executor, task: _Task) -> _Study:
    started = monotonic()
    request = AdaptRequest(
        catalog.resolve(config.model, config.cache), catalog.study_adapter(config.model),
        config.embedder, task.chunks, options.seed, config.train, options.tried,
    )  # fmt: skip
    plan = executor.run(adapt, request, lambda progress: None)
    about = "; ".join(plan.health[few_shot.NAME].notes)
    return _Study(plan.items, plan.directives, monotonic() - started, about)


def _shown(task: _Task, one: Example, count: int) -> str:
    """The input alone, or behind examples."""
    if not count:
        return one.given
    shown = [f"{few_shot.framed(other)} {other.answer}" for other in task.training[:count]]
    return "\n\n".join([*shown, few_shot.framed(one)])


def _row(method: str, found: Mapping[str, Row]) -> Row:
    """Over all held-out examples, and by file."""
    asked = [one["asked"] for one in found.values()]
    right = sum(one["exact"] * one["asked"] for one in found.values())
    return {
        "method": method,
        "exact": right / sum(asked),
        "logprob": fmean(one["logprob"] for one in found.values()),
        "study_seconds": fmean(one["study_seconds"] for one in found.values()),
        "train_seconds": fmean(one["train_seconds"] for one in found.values()),
        **{f"{name}.jsonl": one["exact"] for name, one in found.items()},
        "files": dict(found),
    }
