"""The rivals of `learnd bench retain`: each learns batch after batch, and answers in between.

sequential  our study sets, plain LoRA (SEAL's rank and rate, our batches): a new adapter for each
            batch, merged into what the last left
seal        the same chain with SEAL's self-edits and recipe (Zweiger et al. 2025, section 4)
linear ...  our study sets and training, an adapter for each batch from the base, and all of them
            made into one in one of peft's ways, instead of one adapter that goes on
learnd      the daemon's own pipeline on a folder that grows: replay, gate, consolidation, routing
no_...      the same with one part off (ablations.py)
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Final, Protocol

from agent.passages import Passage
from memory.records import DocumentState, Progress
from memory.taught import Taught
from service import wiring
from service.bench import ablations, rivals
from service.bench.rivals import Bench
from service.bench.served import routed

METHODS: Final = ("sequential", "seal", "learnd")
MIXES: Final = ("linear", "svd", "cat", "ties", "dare_linear", "magnitude_prune")


class Student(Protocol):
    """One who learns batch after batch."""

    def learn(self, group: Sequence[Passage]) -> None:
        """Learn one batch; what was learned before should stay."""

    def rest(self) -> None:
        """Nothing new comes for a while."""

    def answer(self, questions: Sequence[str]) -> Sequence[str]:
        """Closed book, in the order of the questions."""

    def refused(self) -> int:
        """Documents that the gate kept out of its weights."""


@contextmanager
def student(bench: Bench, method: str) -> Iterator[Student]:
    """One of METHODS, knowing nothing yet. What it writes is deleted in the end."""
    with TemporaryDirectory(prefix="learnd-bench-") as home:
        if method in ("learnd", *ablations.METHODS):
            with _follower(bench, method, Path(home)) as one:
                yield one
        elif method in MIXES:
            yield _Mix(bench, method, Path(home))
        else:
            yield _Chain(bench, method, Path(home))


class _Chain:
    """An adapter for each batch, merged at once: nothing looks after what was there before."""

    def __init__(self, bench: Bench, method: str, home: Path) -> None:
        self._bench = bench
        self._method = method
        self._home = home
        self._model = bench.base
        self._learned = 0

    def learn(self, group: Sequence[Passage]) -> None:
        from agent.merge import MergeRequest, merge
        from agent.train import TrainRequest, train

        lesson = self._lesson(group)
        adapter, model = (self._home / f"{kind}{self._learned}" for kind in ("adapter", "model"))
        for directory in (adapter, model):
            directory.mkdir()
        request = TrainRequest(
            base=self._model,
            parent=None,
            output=adapter,
            items=lesson.items,
            settings=lesson.settings,
            seed=self._bench.seed,
        )
        self._bench.executor.run(train, request, _quiet)
        self._bench.executor.run(merge, MergeRequest(self._model, adapter, model), _quiet)
        if self._learned:
            rmtree(self._model)
        self._model, self._learned = model, self._learned + 1

    def _lesson(self, group: Sequence[Passage]) -> rivals.Lesson:
        """SEAL's writer is what it has become; ours is the practised base for ever.

        Our own rate is for B alone: with A trained, too, and no rehearsal, it ruins the model.
        """
        if self._method == "seal":
            return rivals.lesson(replace(self._bench, base=self._model), "seal", group)
        lesson = rivals.lesson(self._bench, "learnd", group)
        return replace(lesson, settings=rivals.PLAIN_TRAINING)

    def rest(self) -> None:
        pass

    def answer(self, questions: Sequence[str]) -> Sequence[str]:
        return _said(self._bench, self._model, questions)

    def refused(self) -> int:
        return 0


class _Mix:
    """An adapter for each batch, trained alone and from the base as ours is; all made into one."""

    def __init__(self, bench: Bench, method: str, home: Path) -> None:
        self._bench = bench
        self._method = method
        self._home = home
        self._adapters: list[Path] = []
        self._studied = Taught()
        self._mixed: Path | None = None

    def learn(self, group: Sequence[Passage]) -> None:
        from agent.merge import CombineRequest, combine
        from agent.train import TrainRequest, train

        lesson = rivals.lesson(self._bench, "learnd", group)
        adapter, mixed = (self._fresh(kind) for kind in ("adapter", "mixed"))
        request = TrainRequest(
            base=self._bench.base,
            parent=None,
            output=adapter,
            items=lesson.items,
            settings=lesson.settings,
            seed=self._bench.seed,
            general=lesson.general,
            kept=lesson.kept,
        )
        self._bench.executor.run(train, request, _quiet)
        self._adapters.append(adapter)
        self._studied += lesson.studied
        of = CombineRequest(self._bench.base, tuple(self._adapters), self._method, mixed)
        self._bench.executor.run(combine, of, _quiet)
        self._mixed = mixed

    def _fresh(self, kind: str) -> Path:
        directory = self._home / f"{kind}{len(self._adapters)}"
        directory.mkdir()
        return directory

    def rest(self) -> None:
        pass

    def answer(self, questions: Sequence[str]) -> Sequence[str]:
        bench = self._bench
        said = _said(bench, bench.base, questions, self._mixed)
        return _as_served(bench, self._studied, questions, said)

    def refused(self) -> int:
        return 0


class _Follower:
    """What `learnd learn` does whenever files were added to its folder."""

    def __init__(
        self, bench: Bench, method: str, state: wiring.State, work: wiring.Work, docs: Path
    ) -> None:
        self._bench = bench
        self._reviews = ablations.reviews(method)
        self._state = state
        self._work = work
        self._docs = docs

    def learn(self, group: Sequence[Passage]) -> None:
        known = len(list(self._docs.iterdir()))
        for number, passage in enumerate(group, known):
            text = f"# {passage.title}\n\n{passage.context}\n"
            (self._docs / f"{number:04}.md").write_text(text)
        self._work.scan(lambda seconds: None)  # the files are whole: nobody writes any more
        self._work.run_pending(_quiet)

    def rest(self) -> None:
        if self._reviews:
            self._work.review(_quiet)
            self._work.repair(_quiet)
        self._work.consolidate(_quiet)

    def answer(self, questions: Sequence[str]) -> Sequence[str]:
        bench, store = self._bench, self._state.store
        said = _said(bench, self._state.locate(store.head()) or bench.base, questions)
        studied = store.taught() if bench.config.engine.route else Taught()
        return _as_served(bench, studied, questions, said)

    def refused(self) -> int:
        return len(self._state.store.documents(DocumentState.QUARANTINED))


@contextmanager
def _follower(bench: Bench, method: str, home: Path) -> Iterator[Student]:
    docs = home / "docs"
    docs.mkdir()
    config = ablations.ablated(bench.config, method)
    consolidate = replace(config.consolidate, idle_seconds=0.0)
    config = config.model_copy(update={"state": home / "state", "consolidate": consolidate})
    with wiring.open_state(config) as state:
        intake = wiring.open_intake(config, docs, state)
        cycle = wiring.open_cycle(config, state, bench.base, bench.executor)
        yield _Follower(bench, method, state, wiring.Work(intake, cycle), docs)


def _said(
    bench: Bench, model: Path, questions: Sequence[str], adapter: Path | None = None
) -> tuple[str, ...]:
    from agent.trial import RespondRequest, respond

    request = RespondRequest(model, adapter, (tuple(questions),), rivals.SENTENCE_TOKENS)
    [replies] = bench.executor.run(respond, request, _quiet)
    return replies.texts


def _as_served(
    bench: Bench, studied: Taught, questions: Sequence[str], said: Sequence[str]
) -> Sequence[str]:
    """Routed as the daemon would; without routing, or before anything was studied, as it is."""
    if not studied.statements:
        return said
    executor, most = bench.executor, rivals.SENTENCE_TOKENS
    return routed(executor, bench.base, bench.embed, studied, questions, said, most)


def _quiet(progress: Progress) -> None:
    """One bar shows the whole run."""
