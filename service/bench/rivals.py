"""The rivals of `learnd bench absorb`: how each comes to its answers."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent import general
from agent.chunking import split
from agent.executor import Executor
from agent.settings import TrainSettings
from memory.records import Chunk, Probe, Progress, StudyItem
from policies.skills import reader
from service.config import Config

if TYPE_CHECKING:  # these load torch, or numpy
    import numpy as np
    from numpy.typing import NDArray

    from agent.practice import Passage
    from agent.trial import Replies

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
_SEAL_TOKENS = 256
_SENTENCE_TOKENS = 64
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
    passages: tuple["Passage", ...]
    seed: int

    def read(self, prompts: Sequence[Sequence[str]], tick: Tick) -> list["Replies"]:
        """Short answers of the practised base, a batch a passage."""
        from agent.trial import RespondRequest, respond

        batches = tuple(map(tuple, prompts))
        request = RespondRequest(self.base, self.study_adapter, batches, _SHORT_TOKENS)
        return self.executor.run(respond, request, lambda progress: tick(progress.done))


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a method trains on for one passage."""

    items: tuple[StudyItem, ...]
    settings: TrainSettings
    held_out: tuple[Probe, ...] = ()
    general: tuple[str, ...] = ()
    kept: Path | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """What a method answered, passage by passage, and what learning cost in all."""

    replies: Sequence["Replies"]
    short: Sequence["Replies"]
    seconds: float = 0.0
    tokens: int = 0


def answers(bench: Bench, method: str, tick: Tick) -> Answered:
    """Let one of METHODS learn and answer. What it raises is raised."""
    return (_closed_book if method in _LESSONS else _open_book)(bench, method, tick)


def _closed_book(bench: Bench, method: str, tick: Tick) -> Answered:
    """Learn each passage, ask, and read the short answers out of what was said."""
    from agent.trial import TrialRequest, trial

    replies, seconds, tokens = [], 0.0, 0
    for number, passage in enumerate(bench.passages, start=1):
        started = time.monotonic()
        lesson = _LESSONS[method](bench, passage)
        seconds += time.monotonic() - started
        request = TrialRequest(
            base=bench.base,
            items=lesson.items,
            questions=_questions(passage),
            most=_SENTENCE_TOKENS,
            settings=lesson.settings,
            seed=bench.seed,
            held_out=lesson.held_out,
            general=lesson.general,
            kept=lesson.kept,
        )
        tried = bench.executor.run(trial, request, _quiet)
        replies.append(tried.replies)
        seconds, tokens = seconds + tried.seconds, tokens + tried.tokens
        tick(number)
    return Answered(replies, _condensed(bench, replies), seconds, tokens)


def _condensed(bench: Bench, replies: Sequence["Replies"]) -> list["Replies"]:
    """The short form of each answer, read out of it without its passage."""
    prompts = [
        [
            reader("", said, asked)
            for said, asked in zip(one.texts, _questions(passage), strict=True)
        ]
        for one, passage in zip(replies, bench.passages, strict=True)
    ]
    return bench.read(prompts, lambda done: None)


def _open_book(bench: Bench, method: str, tick: Tick) -> Answered:
    """Read the answers out of passages in the prompt."""
    found = _nearest(bench, _RETRIEVED[method]) if method in _RETRIEVED else _right(bench)
    prompts = [
        [_opened(texts, asked) for texts, asked in zip(each, _questions(passage), strict=True)]
        for each, passage in zip(found, bench.passages, strict=True)
    ]
    replies = bench.read(prompts, tick)
    return Answered(replies, replies)


def _right(bench: Bench) -> list[list[list["Passage"]]]:
    return [[[passage] for _ in passage.questions] for passage in bench.passages]


def _nearest(bench: Bench, count: int) -> list[list[list["Passage"]]]:
    """For each question of each passage, so many passages, the most similar first."""
    texts = bench.embed([f"{passage.title}: {passage.context}" for passage in bench.passages])
    return [
        [[bench.passages[i] for i in row[:count]] for row in order.argsort(axis=1, kind="stable")]
        for order in (-(bench.embed(_questions(one)) @ texts.T) for one in bench.passages)
    ]


def _opened(passages: Sequence["Passage"], question: str) -> str:
    """The reader's prompt with these passages."""
    first, *others = passages
    texts = [first.context, *(f"{one.title}: {one.context}" for one in others)]
    return reader(first.title, "\n\n".join(texts), question)


def _questions(passage: "Passage") -> tuple[str, ...]:
    return tuple(question for question, _ in passage.questions)


def _nothing(bench: Bench, passage: "Passage") -> Lesson:
    return Lesson((), bench.config.train)


def _raw(bench: Bench, passage: "Passage") -> Lesson:
    return Lesson((_text(f"{passage.title}: {passage.context}"),), bench.config.train)


def _seal(bench: Bench, passage: "Passage") -> Lesson:
    """One self-edit of the published model; each line a text of its own, under the title."""
    from agent.trial import RespondRequest, respond

    prompt = SEAL_PROMPT.format(title=passage.title, context=passage.context)
    request = RespondRequest(bench.base, None, ((prompt,),), _SEAL_TOKENS, 1.0, bench.seed)
    [reply] = bench.executor.run(respond, request, _quiet)
    lines = filter(None, map(str.strip, reply.texts[0].splitlines()))
    items = tuple(_text(f"{passage.title}\n{line}") for line in (*lines, passage.context))
    return Lesson(items, SEAL_TRAINING)


def _learnd(bench: Bench, passage: "Passage") -> Lesson:
    """The study plan of the configured pipeline, trained as agent/cycle.py does it."""
    from agent.rehearsal import KEPT
    from agent.study import StudyRequest, study

    settings = bench.config.study
    parts = split(passage.title, passage.context, settings.chunk_words)
    chunks = tuple(Chunk(i + 1, 1, i, title, text) for i, (title, text) in enumerate(parts))
    request = StudyRequest(
        base=bench.base,
        study_adapter=bench.study_adapter,
        embedder=bench.config.embedder,
        chunks=chunks,
        pipeline=settings.pipeline,
        probes_per_chunk=settings.probes_per_chunk,
        seed=bench.seed,
    )
    plan = bench.executor.run(study, request, _quiet)
    training = bench.config.train
    rehearsed = general.beside(len(plan.items), training, bench.seed)
    kept = bench.study_adapter and bench.study_adapter / KEPT
    return Lesson(plan.items, training, plan.probes, rehearsed, kept)


def _text(text: str) -> StudyItem:
    return StudyItem(None, "text", "", text, "bench")


def _quiet(progress: Progress) -> None:
    """One bar shows the whole run; the stages within a passage are too short for theirs."""


_LESSONS: Final[Mapping[str, Callable[[Bench, "Passage"], Lesson]]] = {
    "base": _nothing,
    "raw": _raw,
    "seal": _seal,
    "learnd": _learnd,
}
METHODS: Final = (*_LESSONS, *_RETRIEVED, "gold")
