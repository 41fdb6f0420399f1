"""`learnd bench absorb`: does it learn passages? Rivals on the same model, data and machine.

Passages are learned from the base, some at a time, and asked closed book:

base    the model as published; nothing is learned
raw     an adapter trained on the passages as they stand
seal    SEAL's recipe (Zweiger et al. 2025): the passages and implications that the model wrote
learnd  the configured study pipeline and training, and the configured routing (`engine.route`)

Or it is read, open book, by the practised base: `rag1` and `rag3` get the nearest passages (MiniLM)
into the prompt, `gold` the right one.

Closed-book answers are sentences, so the practised base reads a short answer out of each: `em` and
`f1` are of that, `recall` of the sentence. The reading belongs to the measure, not to the method:
its time and tokens are not counted, nor is the search of rag, which takes milliseconds.
`general` is the share of questions about what everybody knows that are right after learning.
There is no `logprob` of the gold answer: a model that recites spreads its probability over a whole
sentence, so that the figure would compare habits of speech rather than knowledge.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from pathlib import Path

from agent.executor import Executor, LocalExecutor
from agent.passages import Passage, read_passages, read_questions
from memory.errors import BadInput
from memory.records import Progress
from service.bench import rivals, scoring
from service.bench.outcome import Outcome, Row, machine
from service.bench.rivals import Answered, Bench, Embed, Tick
from service.config import Config

Show = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure. Raises BadInput for an unknown method."""

    data: Path
    methods: tuple[str, ...]
    n: int = 40  # passages
    questions: int = 5  # of a passage, at most
    seed: int = 0
    together: int = 8  # passages that are learned together
    general: Path | None = None  # JSON: [{question, answer}], asked of what has learned

    def __post_init__(self) -> None:
        unknown = [method for method in self.methods if method not in rivals.METHODS]
        if unknown:
            names = ", ".join(map(repr, unknown))
            raise BadInput(f"no method {names}; known: {', '.join(rivals.METHODS)}")


def run(config: Config, options: Options, show: Show) -> Iterator[Outcome]:
    """Measure in a child process, see absorb()."""
    from agent.models import Embedder

    with LocalExecutor(config.train.threads) as executor:
        yield from absorb(config, options, executor, Embedder(config.embedder), show)


def absorb(
    config: Config,
    options: Options,
    executor: Executor,
    embed: Embed,
    show: Show,
) -> Iterator[Outcome]:
    """What is known after each method: a row a method, in the order given.

    Raises BadInput for unusable data.
    """
    bench = prepared(config, options, executor, embed)
    bench.read((), lambda done: None)  # starts the child, whose start belongs to no method
    passages, rows = len(bench.passages), list[Row]()
    for number, method in enumerate(options.methods):
        tick = _ticking(show, method, number * passages, len(options.methods) * passages)
        tick(0)
        rows.append(_row(bench, method, rivals.answers(bench, method, tick)))
        yield Outcome("absorb", settings(config, options), machine(), tuple(rows), ratios(rows))


def prepared(config: Config, options: Options, executor: Executor, embed: Embed) -> Bench:
    """The drawn passages and the model that learns them. Raises BadInput for unusable data."""
    from agent import catalog

    passages = draw(options.data, options.n, options.questions, options.seed)
    groups = tuple(
        passages[start : start + options.together]
        for start in range(0, len(passages), options.together)
    )
    control = read_questions(options.general) if options.general else ()
    base, adapter = catalog.resolve(config.model, config.cache), catalog.study_adapter(config.model)
    return Bench(executor, embed, config, base, adapter, groups, tuple(control), options.seed)


def draw(data: Path, n: int, questions: int, seed: int) -> tuple[Passage, ...]:
    """Passages with questions, one of each title in turn; the order follows the seed.

    Raises BadInput if there are none.
    """
    chance = random.Random(seed)
    piles: defaultdict[str, list[Passage]] = defaultdict(list)
    for passage in read_passages(data):
        if passage.questions:
            piles[passage.title].append(passage)
    shuffled = [chance.sample(pile, len(pile)) for pile in piles.values()]
    turns = zip_longest(*chance.sample(shuffled, len(shuffled)))
    drawn = [passage for turn in turns for passage in turn if passage][:n]
    if not drawn:
        raise BadInput(f"{data} holds no passage with questions")
    return tuple(_trimmed(passage, questions, chance) for passage in drawn)


def ratios(rows: Sequence[Row]) -> dict[str, float | None]:
    """How learnd stands to its rivals, by F1."""
    f1 = {row["method"]: row["f1"] for row in rows}

    def gain(method: str) -> float | None:
        return f1[method] - f1["base"] if {method, "base"} <= f1.keys() else None

    learnd = f1.get("learnd")
    return {
        "learnd_gain_over_seal_gain": _ratio(gain("learnd"), gain("seal")),
        "learnd_over_gold": _ratio(learnd, f1.get("gold")),
        "learnd_over_rag1": _ratio(learnd, f1.get("rag1")),
    }


def _ratio(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None or other <= 0 else one / other


def _ticking(show: Show, method: str, before: int, total: int) -> Tick:
    return lambda done: show(Progress("bench", before + done, total, method))


def _trimmed(passage: Passage, questions: int, chance: random.Random) -> Passage:
    asked = chance.sample(passage.questions, min(questions, len(passage.questions)))
    return replace(passage, title=passage.title.replace("_", " "), questions=tuple(asked))


def settings(config: Config, options: Options) -> dict[str, object]:
    """All that decides the figures."""
    return {
        **asdict(options),
        "model": config.model,
        "embedder": config.embedder,
        "study": asdict(config.study),
        "train": asdict(config.train),
        "seal": asdict(rivals.SEAL_TRAINING),
    }


def _row(bench: Bench, method: str, answered: Answered) -> Row:
    """The figures of a method: quality and costs of a question, learning costs of a passage."""
    passages, cost = len(bench.passages), answered.cost
    questions = sum(len(passage.questions) for passage in bench.passages)
    f1 = graded(scoring.f1, answered.short, bench.passages)
    return {
        "method": method,
        "em": scoring.mean(graded(scoring.exact, answered.short, bench.passages)),
        "f1": scoring.mean(f1),
        "f1_ci": scoring.interval(f1, bench.seed),
        "recall": scoring.mean(graded(scoring.recall, answered.said, bench.passages)),
        **_by_kind(f1, bench.passages),
        "general": _control(bench, answered),
        "seconds_per_passage": cost.learning_seconds / passages,
        "train_tokens": round(cost.trained_tokens / passages),
        "prompt_tokens": cost.prompt_tokens / questions,
        "latency_s": cost.answering_seconds / questions,
    }


def graded(
    grade: Callable[[str, str], float],
    replies: Sequence[Sequence[str]],
    passages: Sequence[Passage],
) -> list[list[float]]:
    """A list a passage."""
    return [
        [grade(text, asked.answer) for text, asked in zip(texts, passage.questions, strict=True)]
        for texts, passage in zip(replies, passages, strict=True)
    ]


def _by_kind(f1: Sequence[Sequence[float]], passages: Sequence[Passage]) -> dict[str, float]:
    """The F1 of each kind of question, where there are several."""
    grades: defaultdict[str, list[float]] = defaultdict(list)
    for each, passage in zip(f1, passages, strict=True):
        for grade, asked in zip(each, passage.questions, strict=True):
            grades[asked.kind].append(grade)
    several = len(grades) > 1
    return {kind: sum(each) / len(each) for kind, each in grades.items() if several}


def _control(bench: Bench, answered: Answered) -> float | None:
    """None if nothing general was asked, or nothing was learned that could have harmed it."""
    grades = [
        scoring.recall(text, asked.answer)
        for texts in answered.control
        for text, asked in zip(texts, bench.control, strict=True)
    ]
    return sum(grades) / len(grades) if grades else None
