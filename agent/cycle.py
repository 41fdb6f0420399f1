"""The one file that knows the order of the stages.

step() takes a batch one stage further: heavy work in the executor, then one transaction. Recovery
after a crash is calling step() again: work may be done twice, its effect happens once.
"""

from collections.abc import Callable, Mapping

from agent import consolidation, general, repair
from agent.batching import choose
from agent.executor import Executor, Report
from agent.settings import PipelineSettings
from agent.stages import Stages
from memory.artifacts import Artifacts
from memory.durable import disk_full_named, failpoint, require_space
from memory.errors import GaveWay, LearndError, StaleParent, StateError, Unavailable
from memory.records import FINAL_STAGES, Batch, DocumentState, Stage
from memory.store import Store


class Cycle:
    """Takes batches through their stages. One thread calls it."""

    def __init__(
        self,
        store: Store,
        artifacts: Artifacts,
        executor: Executor,
        settings: PipelineSettings,
        stages: Stages,
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._executor = executor
        self._settings = settings
        self._examination = stages.examination
        self._room = stages.room
        store.add_general(general.probes())
        self._stages: Mapping[Stage, Callable[[Batch, Report], object]] = {
            Stage.NEW: stages.study,
            Stage.STUDIED: stages.train,
            Stage.TRAINED: stages.examination.hold,
            Stage.EXAMINED: stages.judge,
            Stage.ACCEPTED: stages.merge,
            Stage.MERGED: stages.promote,
        }

    def run_pending(self, report: Report) -> list[Batch]:
        """Finish the live batch, then learn what is pending, batch by batch.

        Raises StateError (DiskFull and its like), Unavailable: the batch waits where it is.
        """
        finished = []
        try:
            while batch := self._unfinished() or self._relief() or self._gather():
                finished.append(self._finish(batch, report))
        finally:
            self._executor.free()  # the child's memory goes back while nothing is to do
        return finished

    def review(self, report: Report) -> int:
        """Ask what is served the probes that are due; returns how many. Raises StateError."""
        try:
            return self._examination.review(report)
        finally:
            self._executor.free()

    def repair(self, report: Report) -> Batch | None:
        """If reviews show that the head lost what it knew, teach that again; if that is rejected,
        perhaps go back to the generation before.

        None: nothing was tried. `report` may raise GaveWay, as in consolidate(). Raises StateError.
        """
        batch, gate = None, self._settings.gate
        if consolidation.is_due(self._store, self._settings.consolidate):
            return None  # it repairs more
        if repair.is_due(self._store, gate):
            batch = self._finish_idle(self._store.create_repair, report)
        earlier = repair.fallback(self._store, gate)
        if earlier and earlier.model and self._artifacts.is_sound("models", earlier.model):
            reason = "what it taught harmed what was known"
            self._store.give_up(earlier.number, reason, self._settings.attempts)
        return batch

    def consolidate(self, report: Report, always: bool = False) -> Batch | None:
        """Rebuild the adapter from the base on all that it should hold, if that is due, or always.

        None: nothing was done. `report` may raise GaveWay; then the batch ends FAILED.
        Raises StateError.
        """
        due = always or consolidation.is_due(self._store, self._settings.consolidate)
        if not due or self._store.head().adapter is None:
            return None
        return self._finish_idle(self._store.create_consolidation, report)

    def step(self, batch: Batch, report: Report) -> Batch:
        """Take a batch one stage further."""
        require_space(self._artifacts.root, self._room)
        with disk_full_named():
            failpoint(f"cycle.{batch.stage}")
        self._stages[batch.stage](batch, report)
        return self._store.batch(batch.id)

    def _finish(self, batch: Batch, report: Report) -> Batch:
        while batch.stage not in FINAL_STAGES:
            batch = self._attempt(batch, report)
        return batch

    def _unfinished(self) -> Batch | None:
        """The live batch; but a consolidation that was cut off does not keep documents waiting."""
        live = self._store.live_batch()
        if live and not live.document_ids and self._store.documents(DocumentState.PENDING):
            self._store.fail_stage(live, str(GaveWay()), max_attempts=1)
            return None
        return live

    def _relief(self) -> Batch | None:
        """A consolidation that cannot wait for idle hours."""
        if not consolidation.is_needed(self._store, self._settings.consolidate):
            return None
        return self._begin(self._store.create_consolidation)

    def _begin(self, create: Callable[[str | None, int], Batch]) -> Batch:
        return create(self._store.head().adapter, len(self._store.batches()) + 1)

    def _finish_idle(self, create: Callable[[str | None, int], Batch], report: Report) -> Batch:
        try:
            return self._finish(self._begin(create), report)
        finally:
            self._executor.free()

    def _attempt(self, batch: Batch, report: Report) -> Batch:
        """One of the two places that catch: a batch is retried, and in the end set aside."""
        try:
            return self.step(batch, report)
        except StaleParent:
            return self._store.restart_batch(batch)
        except (StateError, Unavailable):
            raise
        except GaveWay as error:
            return self._store.fail_stage(batch, str(error), max_attempts=1)
        except LearndError as error:
            return self._store.fail_stage(batch, str(error), self._settings.attempts)

    def _gather(self) -> Batch | None:
        pending = self._store.documents(DocumentState.PENDING)
        chosen = choose(pending, self._settings.study)
        if not chosen:
            return None
        seed, task = len(self._store.batches()) + 1, self._store.document(chosen[0]).task
        parent = None if task else self._store.head().adapter
        return self._store.create_batch(chosen, parent, seed, task)
