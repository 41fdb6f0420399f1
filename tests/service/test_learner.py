"""Tests of service.learner."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from memory.errors import DiskFull, GaveWay, Unavailable
from memory.records import Batch, DocumentState, Progress, Stage, Verdict
from memory.store import Store
from memory.testing import memory_store
from service.engines.canary import Unfit
from service.learner import Learner, Stopping
from service.metrics import Metrics
from service.slot import Slot
from tests.helpers.serving import FakeEngine
from tests.helpers.stores import add, learn

TIMEOUT = 10.0  # seconds; only a broken test waits for it


@dataclass(frozen=True)
class Report:
    added: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()
    unsettled: tuple[str, ...] = ()


class FakeWork:
    """Scans and cycles that a test scripts."""

    def __init__(self) -> None:
        self.rounds = 0
        self.reviews = 0
        self.ready = 0
        self.repairs = 0
        self.report = Report()
        self.cycle: Callable[[Callable[[Progress], None]], Sequence[Batch]] = lambda show: ()
        self.idle: Callable[[Callable[[Progress], None]], Batch | None] = lambda show: None
        self.done = threading.Semaphore(0)  # released at the end of every round

    def scan(self, wait: Callable[[float], None]) -> Report:
        self.rounds += 1
        return self.report

    def run_pending(self, on_progress: Callable[[Progress], None]) -> Sequence[Batch]:
        try:
            return self.cycle(on_progress)
        except BaseException:
            self.done.release()
            raise

    def review(self, on_progress: Callable[[Progress], None]) -> int:
        self.reviews += 1
        return 2

    def repair(self, on_progress: Callable[[Progress], None]) -> Batch | None:
        self.repairs += 1
        return None

    def consolidate(self, on_progress: Callable[[Progress], None]) -> Batch | None:
        try:
            return self.idle(on_progress)
        finally:
            self.done.release()

    def get_ready(self) -> None:
        self.ready += 1


class Scene:
    """A learner on fakes."""

    def __init__(self) -> None:
        self.store: Store = memory_store()
        self.engine = FakeEngine()
        self.slot = Slot(self.engine, self.store, lambda generation: None)
        self.work = FakeWork()
        self.metrics = Metrics("test")
        self.learner = Learner(lambda: self.work, self.store, self.slot, self.metrics, 2)

    def round(self) -> None:
        assert self.work.done.acquire(timeout=TIMEOUT)

    def stop(self) -> None:
        assert self.learner.stop(TIMEOUT)


def batch(stage: Stage, accepted: bool) -> Batch:
    verdict = Verdict(accepted, ("because",))
    return Batch(1, stage, (1,), None, 1, 0, "", None, None, verdict, "", "")


def test_it_serves_the_head_first_and_learns_whenever_it_is_woken() -> None:
    scene = Scene()
    scene.learner.start()
    scene.round()
    assert scene.engine.loaded == [0]
    scene.learner.wake()
    scene.round()
    assert scene.work.rounds == 2
    scene.stop()
    assert scene.work.ready == 2  # it waits prepared
    assert scene.learner.failure is None


def test_what_was_learned_is_served_at_once() -> None:
    scene = Scene()

    def learn(show: Callable[[Progress], None]) -> Sequence[Batch]:
        show(Progress("train", 0, 1))
        scene.store.activate(0, "learned one")
        show(Progress("study", 0, 1))  # the next batch begins
        assert scene.slot.head == scene.store.generation(1)
        scene.store.activate(0, "learned two")
        return [batch(Stage.SERVING, True), batch(Stage.REJECTED, False)]

    scene.work.cycle = learn
    scene.learner.start()
    scene.round()
    scene.stop()
    assert scene.slot.head == scene.store.generation(2)
    page = scene.metrics.page().decode()
    assert 'learnd_cycles_total{outcome="serving"} 1.0' in page
    assert 'learnd_gate_decisions_total{decision="rejected"} 1.0' in page
    assert 'learnd_cycle_duration_seconds_count{stage="train"} 1.0' in page


def test_a_model_server_that_is_away_pauses_learning_and_costs_the_batch_nothing() -> None:
    scene = Scene()
    load, away, tried = scene.engine.load, True, threading.Semaphore(0)

    def fail(generation: int, path: Path | None) -> None:
        if generation and away:
            tried.release()
            raise Unavailable("no server answers")
        load(generation, path)

    def learn(show: Callable[[Progress], None]) -> Sequence[Batch]:
        if scene.store.head().number == 0:
            scene.store.activate(0, "learned one")
            show(Progress("study", 0, 1))  # the next batch begins, and goes on
        return ()

    scene.engine.load = fail  # type: ignore[method-assign]
    scene.work.cycle = learn
    scene.learner.start()
    for _ in range(2):  # within the round, and at its end
        assert tried.acquire(timeout=TIMEOUT)
    scene.learner.wake()
    assert tried.acquire(timeout=TIMEOUT)
    assert scene.slot.head == scene.store.generation(0)
    away = False
    scene.learner.wake()
    scene.round()
    scene.stop()
    assert scene.learner.failure is None
    assert scene.slot.head == scene.store.generation(1)


def refuse(scene: Scene, *refused: int, meanwhile: Callable[[], object] = lambda: None) -> None:
    """The engine finds that these generations answer wrongly."""
    load = scene.engine.load

    def examine(generation: int, path: Path | None) -> None:
        if generation in refused:
            meanwhile()
            raise Unfit(f"g{generation} answers 0 of 2")
        load(generation, path)

    scene.engine.load = examine  # type: ignore[method-assign]


def test_a_generation_that_a_server_gets_wrong_is_given_up_for_the_one_before() -> None:
    scene = Scene()
    learn(scene.store, add(scene.store, "a.md"))
    refuse(scene, 2, 4)
    rounds = []

    def learn_new(show: Callable[[Progress], None]) -> Sequence[Batch]:
        if scene.store.documents(DocumentState.QUARANTINED):
            return ()
        pending = scene.store.documents(DocumentState.PENDING)
        rounds.append([document.path for document in pending])
        learn(scene.store, *(pending or [add(scene.store, "b.md")]))
        show(Progress("study", 0, 1))  # the next batch begins
        return ()

    scene.work.cycle = learn_new
    scene.learner.start()
    scene.round()
    scene.round()  # at once: the documents are tried anew
    scene.stop()
    head, store = scene.slot.head, scene.store
    assert rounds == [[], ["b.md"]] and head == store.head() == store.generation(5)
    assert head.adapter == store.generation(1).adapter
    assert head.note == "rollback to g3: g4 answers 0 of 2"
    [given_up] = store.documents(DocumentState.QUARANTINED)
    assert (given_up.path, given_up.reason) == ("b.md", "g4 answers 0 of 2")
    assert [kind for kind in scene.engine.history if kind[0] == "load"] == [
        ("load", 1),
        ("load", 3),
        ("load", 5),
    ]
    assert store.check() == [] and scene.learner.failure is None


def test_a_start_with_a_head_that_a_server_gets_wrong() -> None:
    scene = Scene()
    learn(scene.store, add(scene.store, "a.md"))
    refuse(scene, 1)
    scene.learner.start()
    scene.round()
    scene.stop()
    assert scene.slot.head == scene.store.generation(2)
    assert scene.store.head().adapter is None


def test_what_somebody_chose_meanwhile_is_not_given_up() -> None:
    scene = Scene()
    for name in ("a.md", "b.md"):
        learn(scene.store, add(scene.store, name))
    refuse(scene, 2, meanwhile=lambda: scene.store.activate(1, "chosen"))
    scene.learner.start()
    scene.round()
    scene.stop()
    assert scene.slot.head == scene.store.head() == scene.store.generation(3)
    assert scene.store.documents(DocumentState.PENDING) == []


def test_a_full_disk_pauses_learning_and_not_serving() -> None:
    scene = Scene()
    fail = True

    def learn(show: Callable[[Progress], None]) -> Sequence[Batch]:
        if fail:
            raise DiskFull
        return ()

    scene.work.cycle = learn
    scene.learner.start()
    scene.round()
    scene.learner.wake()
    scene.round()  # so the round before is over
    assert scene.learner.alive
    fail = False
    scene.learner.wake()
    scene.round()
    scene.stop()
    assert (scene.learner.activity.state, scene.work.rounds) == ("idle", 3)


def test_any_other_error_ends_the_thread_and_is_kept() -> None:
    scene = Scene()

    def learn(show: Callable[[Progress], None]) -> Sequence[Batch]:
        raise ZeroDivisionError

    scene.work.cycle = learn
    scene.learner.start()
    scene.learner._thread.join(TIMEOUT)
    assert isinstance(scene.learner.failure, ZeroDivisionError)
    assert not scene.learner.alive


def test_it_stops_in_the_middle_of_a_stage_without_an_error() -> None:
    scene = Scene()
    training = threading.Event()

    def learn(show: Callable[[Progress], None]) -> Sequence[Batch]:
        step = 0
        while True:
            show(Progress("train", step, 10))
            training.set()

    scene.work.cycle = learn
    scene.learner.start()
    assert training.wait(TIMEOUT)
    assert str(scene.learner.activity) == "train 0/10"
    scene.stop()
    assert scene.learner.failure is None


def test_it_stops_while_a_file_settles() -> None:
    scene = Scene()
    waiting = threading.Event()

    def scan(wait: Callable[[float], None]) -> Report:
        waiting.set()
        wait(3600)
        raise AssertionError

    scene.work.scan = scan  # type: ignore[method-assign]
    scene.learner.start()
    assert waiting.wait(TIMEOUT)
    scene.stop()
    assert scene.learner.failure is None


def test_unsettled_files_are_looked_at_again_at_once() -> None:
    scene = Scene()
    scene.work.report = Report(quarantined=("junk.MD",), unsettled=("growing.md",))
    scene.learner.start()
    scene.round()
    scene.round()
    scene.stop()
    assert 'learnd_ingest_errors_total{format=".md"}' in scene.metrics.page().decode()


def test_it_consolidates_when_nothing_is_pending() -> None:
    scene = Scene()

    def rebuild(show: Callable[[Progress], None]) -> Batch:
        show(Progress("train", 0, 1))
        scene.store.activate(0, "consolidated")
        return batch(Stage.SERVING, True)

    scene.work.idle = rebuild
    scene.learner.start()
    scene.round()
    scene.stop()
    assert scene.slot.head == scene.store.generation(1) and scene.work.reviews == 1
    assert 'learnd_cycles_total{outcome="serving"} 1.0' in scene.metrics.page().decode()


def test_idle_work_gives_way_to_a_new_document_only() -> None:
    scene = Scene()
    steps: list[str] = []

    def rebuild(show: Callable[[Progress], None]) -> Batch | None:
        if steps:
            return None
        scene.learner.wake()  # the clock, but nothing is new
        show(Progress("train", 0, 2))
        steps.append("went on")
        scene.work.report = Report(added=("new.md",))
        scene.learner.wake()
        with pytest.raises(GaveWay):
            show(Progress("train", 1, 2))
        steps.append("gave way")
        scene.work.report = Report()
        return None

    scene.work.idle = rebuild
    scene.learner.start()
    scene.round()
    scene.round()  # at once: the new document waits
    scene.stop()
    assert steps == ["went on", "gave way"]
    assert scene.learner.failure is None


def test_stopping_is_not_an_exception_that_a_batch_could_swallow() -> None:
    assert not issubclass(Stopping, Exception)


def test_an_unloadable_head_ends_it(tmp_path: Path) -> None:
    scene = Scene()

    def fail(generation: int, path: Path | None) -> None:
        raise MemoryError

    scene.engine.load = fail  # type: ignore[method-assign]
    scene.learner.start()
    scene.learner._thread.join(TIMEOUT)
    with pytest.raises(MemoryError):
        raise scene.learner.failure or AssertionError
