"""The rivals of `learnd bench absorb`: how each comes to its answers."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent import general
from agent.chunking import split
from agent.executor import Executor
from agent.passages import Passage, Question
from agent.settings import TrainSettings
from memory.records import Chunk, Health, Progress, StudyItem
from memory.taught import Taught, taught
from policies.skills import reader
from service.bench.served import served
from service.config import Config

if TYPE_CHECKING:  # these load torch, or numpy
    import numpy as np
    from numpy.typing import NDArray

    from agent.trial import Replies, Trial

Embed = Callable[[Sequence[str]], "NDArray[np.float32]"]
Tick = Callable[[int], None]  # takes how many passages are done

SEAL_PROMPT: Final = (
    "Let's read the following passage and produce a list of implications derived directly or "
    "indirectly from the content.\n\nPassage:\n{title}\n{context}\n\nImplications:"
)
SEAL_TRAINING: Final = TrainSettings(
    rank=32,
    alpha=64,
    frozen_share=0.0,
    learning_rate=1e-3,
    epochs=10,
    tokens=10_000_000,  # no limit of ours
    batch_tokens=1,  # one text a step
    lead_weight=1.0,
    warmup=0.0,
)
_NOTHING: Final = Taught()
_SEAL_TOKENS = 256
PLAIN_TRAINING: Final = replace(SEAL_TRAINING, epochs=8, batch_tokens=128)
SENTENCE_TOKENS: Final = 64  # of a closed-book answer
_SHORT_TOKENS = 24
_RETRIEVED: Final = {"rag1": 1, "rag3": 3}


@dataclass(frozen=True, slots=True)
class Bench:
    """What all methods share."""

    executor: Executor
    embed: Embed
    config: Config
    base: Path  # the model as published
    study_adapter: Path | None
    groups: tuple[tuple[Passage, ...], ...]  # passages that are learned together
    control: tuple[Question, ...]  # about what everybody knows
    seed: int

    @property
    def passages(self) -> list[Passage]:
        return list(chain.from_iterable(self.groups))

    def read(self, prompts: Sequence[Sequence[str]], tick: Tick) -> list["Replies"]:
        """Short answers of the practised base, a batch a passage."""
        from agent.trial import RespondRequest, respond

        batches = tuple(map(tuple, prompts))
        request = RespondRequest(self.base, self.study_adapter, batches, _SHORT_TOKENS)
        return self.executor.run(respond, request, lambda progress: tick(progress.done))


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a method trains on for one group."""

    items: tuple[StudyItem, ...]
    settings: TrainSettings
    general: tuple[str, ...] = ()
    kept: Path | None = None
    studied: Taught = _NOTHING  # to route by; nothing: what is trained answers all
    health: Mapping[str, Health] = field(default_factory=dict)  # of the policies that wrote it


@dataclass(frozen=True, slots=True)
class Cost:
    """Sums over all passages, or over all questions."""

    learning_seconds: float = 0.0
    trained_tokens: int = 0
    prompt_tokens: int = 0
    answering_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Answered:
    """What a method answered, a list a passage, and what it cost in all."""

    said: Sequence[Sequence[str]]
    short: Sequence[Sequence[str]]
    cost: Cost
    control: Sequence[Sequence[str]] = ()  # answers to the control questions, a list a group
    health: Sequence[Mapping[str, Health]] = ()  # of the policies, a group each


def answers(bench: Bench, method: str, tick: Tick) -> Answered:
    """Let one of METHODS learn and answer. What it raises is raised."""
    return (_closed_book if method in _LESSONS else _open_book)(bench, method, tick)


def lesson(bench: Bench, method: str, group: Sequence[Passage]) -> Lesson:
    """What a closed-book method trains on for these passages."""
    return _LESSONS[method](bench, group)


def _closed_book(bench: Bench, method: str, tick: Tick) -> Answered:
    """Learn group by group, ask, and read the short answers out of what was said."""
    tried, health, seconds, done = [], list[Mapping[str, Health]](), 0.0, 0
    for group in bench.groups:
        started = time.monotonic()
        given = lesson(bench, method, group)
        seconds += time.monotonic() - started
        tried.append(_tried(bench, given, group))
        health.append(given.health)
        done += len(group)
        tick(done)
    said = _by_passage(bench, [text for one in tried for text in one.replies.texts])
    cost = Cost(
        seconds + sum(one.seconds for one in tried),
        sum(one.tokens for one in tried),
        sum(one.replies.prompt_tokens for one in tried),
        sum(one.replies.seconds for one in tried),
    )
    return Answered(said, _condensed(bench, said), cost, [one.control for one in tried], health)


def _tried(bench: Bench, lesson: Lesson, group: Sequence[Passage]) -> "Trial":
    from agent.trial import TrialRequest, trial

    questions = tuple(chain.from_iterable(map(_questions, group)))
    control = tuple(one.text for one in bench.control)
    request = TrialRequest(
        base=bench.base,
        items=lesson.items,
        questions=questions,
        control=control,
        most=SENTENCE_TOKENS,
        settings=lesson.settings,
        seed=bench.seed,
        general=lesson.general,
        kept=lesson.kept,
    )
    tried = bench.executor.run(trial, request, _quiet)
    if not lesson.studied.statements:
        return tried
    asked, most = (questions, control), SENTENCE_TOKENS
    return served(bench.executor, bench.base, bench.embed, lesson.studied, asked, tried, most)


def _by_passage(bench: Bench, texts: Sequence[str]) -> list[list[str]]:
    rest = iter(texts)
    return [list(islice(rest, len(passage.questions))) for passage in bench.passages]


def _condensed(bench: Bench, said: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The short form of each answer, read out of it without its passage."""
    prompts = [
        [reader("", text, asked) for text, asked in zip(texts, _questions(passage), strict=True)]
        for texts, passage in zip(said, bench.passages, strict=True)
    ]
    return [one.texts for one in bench.read(prompts, lambda done: None)]


def _open_book(bench: Bench, method: str, tick: Tick) -> Answered:
    """Read the answers out of passages in the prompt."""
    found = _nearest(bench, _RETRIEVED[method]) if method in _RETRIEVED else _right(bench)
    prompts = [
        [_opened(texts, asked) for texts, asked in zip(each, _questions(passage), strict=True)]
        for each, passage in zip(found, bench.passages, strict=True)
    ]
    replies = bench.read(prompts, tick)
    cost = Cost(
        prompt_tokens=sum(one.prompt_tokens for one in replies),
        answering_seconds=sum(one.seconds for one in replies),
    )
    texts = [one.texts for one in replies]
    return Answered(texts, texts, cost)


def _right(bench: Bench) -> list[list[list[Passage]]]:
    return [[[passage] for _ in passage.questions] for passage in bench.passages]


def _nearest(bench: Bench, count: int) -> list[list[list[Passage]]]:
    """For each question of each passage, so many passages, the most similar first."""
    texts = bench.embed([f"{passage.title}: {passage.context}" for passage in bench.passages])
    return [
        [[bench.passages[i] for i in row[:count]] for row in order.argsort(axis=1, kind="stable")]
        for order in (-(bench.embed(_questions(one)) @ texts.T) for one in bench.passages)
    ]


def _opened(passages: Sequence[Passage], question: str) -> str:
    """The reader's prompt with these passages."""
    first, *others = passages
    texts = [first.context, *(f"{one.title}: {one.context}" for one in others)]
    return reader(first.title, "\n\n".join(texts), question)


def _questions(passage: Passage) -> tuple[str, ...]:
    return tuple(one.text for one in passage.questions)


def _nothing(bench: Bench, group: Sequence[Passage]) -> Lesson:
    return Lesson((), bench.config.train)


def _raw(bench: Bench, group: Sequence[Passage]) -> Lesson:
    return Lesson(tuple(_text(f"{one.title}: {one.context}") for one in group), bench.config.train)


def _seal(bench: Bench, group: Sequence[Passage]) -> Lesson:
    """Self-edits of the published model; each line a text of its own, under the title."""
    from agent.trial import RespondRequest, respond

    prompts = tuple(SEAL_PROMPT.format(title=one.title, context=one.context) for one in group)
    request = RespondRequest(bench.base, None, (prompts,), _SEAL_TOKENS, 1.0, bench.seed)
    [reply] = bench.executor.run(respond, request, _quiet)
    items = [
        _text(f"{passage.title}\n{line.strip()}")
        for passage, edit in zip(group, reply.texts, strict=True)
        for line in (*edit.splitlines(), passage.context)
        if line.strip()
    ]
    return Lesson(tuple(items), SEAL_TRAINING)


def _learnd(bench: Bench, group: Sequence[Passage]) -> Lesson:
    """The study plan of the configured pipeline, trained as agent/stages.py does it."""
    from agent.directives import follow
    from agent.rehearsal import KEPT
    from agent.study import StudyRequest, study

    settings = bench.config.study
    chunks = chunked(group, settings.chunk_words)
    request = StudyRequest(
        base=bench.base,
        study_adapter=bench.study_adapter,
        embedder=bench.config.embedder,
        chunks=chunks,
        pipeline=settings.pipeline,
        probes_per_chunk=settings.probes_each(len(chunks)),
        seed=bench.seed,
        training=bench.config.train,
    )
    plan = bench.executor.run(study, request, _quiet)
    training = follow(plan.directives, bench.config.train)
    rehearsed = general.beside(len(plan.items), training, bench.seed)
    kept = bench.study_adapter and bench.study_adapter / KEPT
    titles = {chunk.id: chunk.title for chunk in chunks}
    about = (
        (titles[item.chunk_id], item.kind, item.prompt, item.answer)
        for item in plan.items
        if item.chunk_id is not None
    )
    studied = taught(about) if bench.config.engine.route else _NOTHING
    return Lesson(plan.items, training, rehearsed, kept, studied, plan.health)


def chunked(group: Sequence[Passage], words: int) -> tuple[Chunk, ...]:
    """A passage is a document."""
    parts = [
        (document, position, title, text)
        for document, passage in enumerate(group, start=1)
        for position, (title, text) in enumerate(split(passage.title, passage.context, words))
    ]
    return tuple(Chunk(number, *part) for number, part in enumerate(parts, start=1))


def _text(text: str) -> StudyItem:
    return StudyItem(None, "text", "", text, "bench")


def _quiet(progress: Progress) -> None:
    """One bar shows the whole run; the stages within a passage are too short for theirs."""


_LESSONS: Final[Mapping[str, Callable[[Bench, Sequence[Passage]], Lesson]]] = {
    "base": _nothing,
    "raw": _raw,
    "seal": _seal,
    "learnd": _learnd,
}
METHODS: Final = (*_LESSONS, *_RETRIEVED, "gold")
