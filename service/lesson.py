"""`learnd learn`: one look at the folder, everything pending learned, and what came of it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from memory.records import Batch, Phase, Progress, Stage
from service import wiring
from service.config import Config
from service.metrics import StageClock


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What one batch came to."""

    batch: int
    stage: Stage
    documents: int
    probes: int
    right_before: int
    right_after: int
    reasons: tuple[str, ...]  # the gate's, or the last error
    warnings: tuple[str, ...] = ()  # what it says otherwise than documents learned before
    task: str = ""  # that it gives examples of


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one run learned."""

    added: int  # documents that were new or changed
    quarantined: tuple[str, ...]
    batches: tuple[BatchReport, ...]
    generation: int  # the head afterwards
    seconds: dict[str, float]  # per stage

    @property
    def succeeded(self) -> bool:
        """Whether anything was learned, or there was nothing to learn."""
        served = any(batch.stage is Stage.SERVING for batch in self.batches)
        return served or not (self.batches or self.quarantined)


def learn(config: Config, docs: Path, show: Callable[[Progress], None]) -> Lesson:
    """Learn all that is new in docs. Raises BadInput, StateLocked, DiskFull."""
    seconds: dict[str, float] = {}

    def record(stage: str, duration: float) -> None:
        seconds[stage] = round(seconds.get(stage, 0.0) + duration, 3)

    clock = StageClock(record)

    def on_progress(progress: Progress) -> None:
        clock(progress)
        show(progress)

    with wiring.open_state(config) as state:
        intake = wiring.open_intake(config, docs, state)
        on_progress(Progress("scan", 0, 1, str(docs)))
        report = intake.scan(time.sleep)
        on_progress(Progress("scan", 1, 1, f"{len(report.added)} new"))
        on_progress(Progress("load", 0, 1, config.model))
        with wiring.open_executor(config, state) as executor:
            base = wiring.base_model(config, keep=True)
            cycle = wiring.open_cycle(config, state, base, executor)
            on_progress(Progress("load", 1, 1, config.model))
            batches = cycle.run_pending(on_progress)
        if config.engine.route and any(batch.stage is Stage.SERVING for batch in batches):
            wiring.open_routes(config, state)()  # who asks without a daemon finds it embedded
        clock.stop()
        reports = tuple(_report(state, batch) for batch in batches)
        head = state.store.head().number
    return Lesson(len(report.added), report.quarantined, reports, head, seconds)


def consolidate(config: Config, show: Callable[[Progress], None]) -> BatchReport | None:
    """Rebuild the adapter from the base on all that it holds. None: nothing was learned yet."""
    with wiring.open_state(config) as state, wiring.open_executor(config, state) as executor:
        cycle = wiring.open_cycle(config, state, wiring.base_model(config), executor)
        batch = cycle.consolidate(show, always=True)
        return _report(state, batch) if batch else None


def practise(
    config: Config,
    data: tuple[Path, ...],
    output: Path,
    lessons: tuple[int, int, int],
    rounds: int,
    start: Path | None,
    show: Callable[[Progress], None],
) -> Mapping[str, float]:
    """Teach a model to study; lessons are writers, readers and seed. Returns the figures."""
    from agent.catalog import resolve
    from agent.executor import LocalExecutor
    from agent.outer_loop import Rounds
    from agent.practice import PracticeRequest
    from agent.practice import practise as job

    output.mkdir(parents=True)
    base = resolve(config.model, config.cache)
    request = PracticeRequest(base, data, output, *lessons, start, Rounds(rounds))
    with LocalExecutor(config.train.threads) as executor:
        return executor.run(job, request, show)


def _report(state: wiring.State, batch: Batch) -> BatchReport:
    about = state.store.probes(batch.id if batch.document_ids else None, live_only=False)
    own = {probe.id for probe in about if probe.chunk_id is not None and not probe.fault}

    def right(phase: Phase) -> int:
        results = state.store.results(batch.id, phase)
        if not results and batch.stage is Stage.SERVING:  # adopted: not examined, but reviewed
            results = list(state.store.latest_results().values())
        return sum(result.correct for result in results if result.probe_id in own)

    reasons = batch.verdict.reasons if batch.verdict else (batch.error,) if batch.error else ()
    documents, probes = len(batch.document_ids), len(own)
    before, after = right(Phase.BEFORE), right(Phase.AFTER)
    paths = {state.store.document(one).path for one in batch.document_ids}
    warnings = tuple(
        f"{one.path} contradicts {one.earlier_path}: {one.statement} / {one.earlier}"
        for one in state.store.conflicts()
        if one.path in paths
    )
    counts = (documents, probes, before, after)
    return BatchReport(batch.id, batch.stage, *counts, reasons, warnings, batch.task)
