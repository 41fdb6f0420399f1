"""The one thread that learns: look at the folder, run what is pending, serve the new head; wait."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol

from memory.errors import DiskFull, GaveWay, Unavailable
from memory.records import Batch, Generation, Progress
from service.engines.canary import Unfit
from service.logs import logger
from service.metrics import Metrics, StageClock
from service.slot import Slot, rollback_target


class Stopping(BaseException):
    """The daemon ends. Not an Exception: a batch must not count this as a failure of its own."""


class Report(Protocol):
    """What one look at the folder found."""

    @property
    def added(self) -> Sequence[str]: ...

    @property
    def quarantined(self) -> Sequence[str]: ...

    @property
    def unsettled(self) -> Sequence[str]: ...


class Work(Protocol):
    """What there is to do in a round; opened in the thread, because it loads models."""

    def scan(self, wait: Callable[[float], None]) -> Report: ...

    def run_pending(self, on_progress: Callable[[Progress], None]) -> Sequence[Batch]: ...

    def review(self, on_progress: Callable[[Progress], None]) -> int: ...

    def repair(self, on_progress: Callable[[Progress], None]) -> Batch | None: ...

    def consolidate(self, on_progress: Callable[[Progress], None]) -> Batch | None: ...

    def get_ready(self) -> None: ...


class Lineage(Protocol):
    """What of the store the learner uses."""

    def head(self) -> Generation: ...

    def generations(self) -> Sequence[Generation]: ...

    def give_up(self, number: int, reason: str, max_attempts: int) -> Generation: ...


@dataclass(frozen=True, slots=True)
class Activity:
    """What the learner does at the moment."""

    state: str  # loading | scanning | learning | idle | paused
    note: str = ""
    progress: Progress | None = None

    def __str__(self) -> str:
        if self.progress is None:
            return f"{self.state}: {self.note}" if self.note else self.state
        return f"{self.progress.stage} {self.progress.done}/{self.progress.total}"


class Learner:
    """Rounds of learning, one whenever somebody calls wake()."""

    def __init__(
        self,
        open_work: Callable[[], Work],
        store: Lineage,
        slot: Slot,
        metrics: Metrics,
        attempts: int,
    ) -> None:
        self._open_work = open_work
        self._store = store
        self._slot = slot
        self._metrics = metrics
        self._attempts = attempts  # of documents whose generation is given up
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._clock = StageClock(self._stage_done)
        self._thread = threading.Thread(target=self._run, name="learn", daemon=True)
        self.activity = Activity("loading")
        self.failure: BaseException | None = None  # why the thread ended, if not by stop()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Look at the folder soon. Any number of calls until then count as one."""
        self._wake.set()

    def stop(self, seconds: float) -> bool:
        """End at the next chance, whatever runs: it goes on after a restart. Whether it ended."""
        self._stop.set()
        self._wake.set()
        self._thread.join(seconds)
        return not self.alive

    def _run(self) -> None:
        try:
            self._follow()
            work = self._open_work()
            while not self._stop.is_set():
                self._wake.clear()
                self._round(work)
                self._wake.wait()
        except Stopping:
            pass
        except BaseException as error:
            self.failure = error  # the daemon sees that this thread is dead, and why

    def _round(self, work: Work) -> None:
        """A full disk, or a model server that is away or refuses the new generation, pauses
        learning, not answering; the next round tries again."""
        try:
            self._scan(work)
            self._learn(work)
            self._rest(work)
            work.get_ready()
            self.activity = Activity("idle")
        except (DiskFull, Unavailable) as error:
            self.activity = Activity("paused", str(error))
            logger().warning("learning paused", reason=str(error))
        finally:
            self._clock.stop()

    def _scan(self, work: Work) -> Report:
        self.activity = Activity("scanning")
        report = work.scan(self._wait)
        for path in report.quarantined:
            self._metrics.quarantined(PurePath(path).suffix.lower()[:10])
        if report.quarantined:
            logger().warning("files set aside, see `learnd docs`", files=len(report.quarantined))
        if report.unsettled:
            self.wake()
        return report

    def _learn(self, work: Work) -> None:
        self._done(work.run_pending(self._on_progress))

    def _rest(self, work: Work) -> None:
        """Nothing is pending: time to look at what is served, to repair it, and to consolidate,
        until something new comes."""

        def on_progress(progress: Progress) -> None:
            self._on_progress(progress)
            if self._wake.is_set():
                self._wake.clear()
                if self._scan(work).added:
                    self.wake()
                    raise GaveWay

        asked = work.review(self._on_progress)
        if asked:
            logger().info("reviewed", probes=asked)
        for work_on in (work.repair, work.consolidate):
            batch = work_on(on_progress)
            self._done([batch] if batch else [])

    def _done(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self._metrics.batch(batch)
            logger().info("batch done", batch=batch.id, stage=batch.stage.value)
        self._follow()

    def _follow(self) -> None:
        """Serve the head. One that a server gets wrong is given up for the one before it, and its
        documents are tried anew."""
        head = self._store.head()
        try:
            self._slot.follow(head)
        except Unfit as error:
            if self._store.head() == head:  # else somebody has chosen another one meanwhile
                earlier = rollback_target(self._store.generations())
                self._store.give_up(earlier, str(error), self._attempts)
                logger().warning("generation given up", generation=head.name, reason=str(error))
            self.wake()
            self._slot.follow(self._store.head())

    def _on_progress(self, progress: Progress) -> None:
        """A new stage is also the moment to serve what an earlier batch of this round promoted."""
        if self._stop.is_set():
            raise Stopping
        before = self.activity.progress
        if before is None or before.stage != progress.stage:
            with suppress(Unavailable):  # no fault of the batch; tried again, and told, at its end
                self._follow()
        self._clock(progress)
        self.activity = Activity("learning", progress=progress)

    def _stage_done(self, stage: str, seconds: float) -> None:
        self._metrics.stage(stage, seconds)
        logger().info("stage done", stage=stage, seconds=round(seconds, 1))

    def _wait(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopping
