"""The order of the stages, with scripted heavy work; then once with a real tiny model."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.cycle import Cycle
from agent.examine import ExamineRequest
from agent.executor import InlineExecutor
from agent.settings import (
    ConsolidateSettings,
    GateSettings,
    PipelineSettings,
    TrainSettings,
)
from agent.study import StudyRequest
from agent.train import TrainRequest
from memory.artifacts import Artifacts
from memory.errors import ChildFailed, DiskFull, GaveWay
from memory.records import (
    Batch,
    DocumentState,
    Probe,
    Progress,
    Stage,
)
from memory.store import Store
from memory.testing import memory_store
from tests.helpers.cycles import Scripted, cycle_for, quiet
from tests.helpers.stores import add


@pytest.fixture
def store() -> Store:
    return memory_store()


def test_a_document_goes_all_the_way(store: Store, state: Path) -> None:
    document = add(store, "a.md")
    executor = Scripted()
    (batch,) = cycle_for(store, state, executor).run_pending(quiet)
    assert batch.stage is Stage.SERVING
    assert store.document(document.id).state is DocumentState.LEARNED
    head = store.head()
    assert (head.number, head.note) == (1, "learned 1 document, steady")
    assert store.check(Artifacts(state)) == []
    assert executor.freed == 1


def test_nothing_pending_is_no_work(store: Store, state: Path) -> None:
    assert cycle_for(store, state, Scripted()).run_pending(quiet) == []


def test_a_second_batch_builds_on_the_first(store: Store, state: Path) -> None:
    executor = Scripted()
    cycle = cycle_for(store, state, executor)
    for name in ("a.md", "b.md"):
        add(store, name, f"text of {name}")
        cycle.run_pending(quiet)
    first, second = executor.of(TrainRequest)
    assert first.parent is None and second.parent.name == store.batches()[0].adapter
    assert any("text of a.md" in item.prompt for item in second.rehearsed)
    asked = {probe.question for probe in executor.of(ExamineRequest)[-1].probes}
    assert {"asked about 1", "asked about 2"} <= asked


def test_a_failure_is_retried_with_another_seed(store: Store, state: Path) -> None:
    add(store, "a.md")
    executor = Scripted(fail=[ChildFailed("signal 9")])
    (batch,) = cycle_for(store, state, executor).run_pending(quiet)
    assert batch.stage is Stage.SERVING
    one, two = executor.of(StudyRequest)
    assert one.seed != two.seed


def test_a_batch_that_always_fails_is_set_aside(store: Store, state: Path) -> None:
    document = add(store, "a.md")
    executor = Scripted(fail=[ChildFailed("signal 9")] * 4)
    finished = cycle_for(store, state, executor).run_pending(quiet)
    assert {batch.stage for batch in finished} == {Stage.FAILED}
    assert store.document(document.id).state is DocumentState.QUARANTINED
    assert store.check() == []


def test_a_full_disk_waits_and_counts_as_no_failure(store: Store, state: Path) -> None:
    add(store, "a.md")
    executor = Scripted(fail=[DiskFull()])
    cycle = cycle_for(store, state, executor)
    with pytest.raises(DiskFull):
        cycle.run_pending(quiet)
    live = store.live_batch()
    assert live is not None and live.attempts == 0 and executor.freed == 1
    (batch,) = cycle.run_pending(quiet)
    assert batch.id == live.id and batch.stage is Stage.SERVING


def test_when_the_head_moved_the_batch_is_trained_again(store: Store, state: Path) -> None:
    executor = Scripted()
    cycle = cycle_for(store, state, executor)
    add(store, "a.md")
    cycle.run_pending(quiet)
    add(store, "b.md", "other")
    batch = store.create_batch([2], store.head().adapter, seed=9)
    while batch.stage is not Stage.MERGED:
        batch = cycle.step(batch, quiet)
    store.activate(0, "rollback")  # while the batch was on its way
    (finished,) = cycle.run_pending(quiet)
    assert finished.stage is Stage.SERVING and finished.parent is None
    assert store.check(Artifacts(state)) == []


ALWAYS = PipelineSettings(consolidate=ConsolidateSettings(after=2, idle_seconds=0, tokens=77))


def learned(store: Store, cycle: Cycle, *names: str) -> None:
    for name in names:
        add(store, name, f"text of {name}")
        cycle.run_pending(quiet)


def test_a_consolidation_trains_everything_from_the_base(store: Store, state: Path) -> None:
    executor = Scripted(right=lambda probe: True)
    cycle = cycle_for(store, state, executor, ALWAYS)
    learned(store, cycle, "a.md")
    assert cycle.consolidate(quiet) is None  # not due yet
    learned(store, cycle, "b.md")
    executor.examined = set()  # whoever is asked knows everything
    batch = cycle.consolidate(quiet)
    assert batch is not None and batch.consolidates and batch.stage is Stage.SERVING
    request = executor.of(TrainRequest)[-1]
    assert (request.parent, request.rehearsed, request.settings.tokens) == (None, (), 77)
    assert {item.prompt for item in request.items} == {"study text of a.md", "study text of b.md"}
    asked = {probe.question for probe in executor.of(ExamineRequest)[-1].probes}
    assert {"asked about 1", "asked about 2"} <= asked
    assert (store.head().note, len(store.items())) == ("consolidated", 2)
    assert store.check(Artifacts(state)) == []
    assert cycle.consolidate(quiet) is None  # not due again


def test_after_a_consolidation_learning_goes_on_from_it(store: Store, state: Path) -> None:
    executor = Scripted()
    cycle = cycle_for(store, state, executor, ALWAYS)
    learned(store, cycle, "a.md")
    cycle.consolidate(quiet, always=True)
    rebuilt = store.head().adapter
    learned(store, cycle, "b.md")
    assert executor.of(TrainRequest)[-1].parent.name == rebuilt
    assert len(store.items()) == 2 and store.held_batches() == {1, 2, 3}


def test_a_consolidation_that_knows_less_is_not_served(store: Store, state: Path) -> None:
    executor = Scripted()
    cycle = cycle_for(store, state, executor, ALWAYS)
    learned(store, cycle, "a.md")
    executor.right = lambda probe: probe.chunk_id is None
    batch = cycle.consolidate(quiet, always=True)
    assert batch is not None and batch.stage is Stage.REJECTED and batch.verdict is not None
    assert batch.verdict.reasons[0] == "only 0 old probes are right, 1 are needed"
    assert store.head().number == 1
    assert [one.state for one in store.documents()] == [DocumentState.LEARNED]


def test_before_the_base_is_too_far_all_is_trained_anew_from_it(store: Store, state: Path) -> None:
    """Each batch loses three general answers, too few to tell from chance; beginning again at the
    base brings them back."""

    def right(probe: Probe) -> bool:
        onward = 0
        for request in executor.of(TrainRequest):
            onward = onward + 1 if request.parent else 1
        known = [one.question for one in store.probes() if one.chunk_id is None]
        return probe.question not in known[: 3 * onward]

    executor = Scripted(right=right)
    gate = GateSettings(min_learned=0, base_lost=0.2)
    settings = PipelineSettings(attempts=3, gate=gate)
    cycle = cycle_for(store, state, executor, settings)
    learned(store, cycle, "a.md")
    assert store.drift()["lost"] == 3
    learned(store, cycle, "b.md")
    _, refused, rebuilt, again, *_ = store.batches()
    assert refused.stage is Stage.REJECTED and refused.verdict is not None and refused.verdict.far
    assert rebuilt.consolidates and rebuilt.stage is Stage.SERVING
    assert again.document_ids == refused.document_ids
    assert store.check(Artifacts(state)) == []


def test_in_idle_time_what_is_due_is_asked_of_what_is_served(store: Store, state: Path) -> None:
    executor = Scripted()
    settings = PipelineSettings(gate=GateSettings(neighbours=0, due=0, due_share=0))
    cycle = cycle_for(store, state, executor, settings)
    assert cycle.review(quiet) == 0
    learned(store, cycle, "a.md", "b.md", "c.md")
    executor.right = lambda probe: probe.question != "asked about 1"
    executor.examined = set()
    assert cycle.review(quiet) == 1
    assert executor.of(ExamineRequest)[-1].adapter.name == store.head().adapter
    [slipped] = [one for one in store.moments() if one.slipped]
    assert (slipped.path, slipped.generation, store.slipped_share()) == ("a.md", 3, 1 / 3)
    assert cycle.review(quiet) == 0


def slipped(store: Store, cycle: Cycle, executor: Scripted) -> None:
    """Six documents are learned together, two more by themselves; then four of the six slip."""
    for number in range(6):
        add(store, f"{number}.md", f"text of {number}.md")
    cycle.run_pending(quiet)
    learned(store, cycle, "g.md", "h.md")
    executor.right = lambda probe: probe.question not in {f"asked about {n}" for n in range(1, 5)}
    executor.examined = set()
    assert cycle.review(quiet) == 6


LATE = PipelineSettings(
    gate=GateSettings(neighbours=0, due=0, due_share=0), consolidate=ConsolidateSettings(after=0)
)


def test_what_slipped_is_taught_again(store: Store, state: Path) -> None:
    executor = Scripted()
    cycle = cycle_for(store, state, executor, LATE)
    assert cycle.repair(quiet) is None
    slipped(store, cycle, executor)
    parent = store.head().adapter
    executor.right = lambda probe: True
    batch = cycle.repair(quiet)
    assert batch is not None and batch.repairs and batch.stage is Stage.SERVING
    request = executor.of(TrainRequest)[-1]
    assert request.parent.name == parent
    assert {one.prompt for one in request.items} == {f"study text of {n}.md" for n in range(4)}
    assert not set(request.items) & set(request.rehearsed) and request.rehearsed
    assert store.head().note == "repaired what had slipped" and store.slipped() == []
    assert store.check(Artifacts(state)) == []
    assert cycle.repair(quiet) is None


def test_what_cannot_be_repaired_is_given_up(store: Store, state: Path) -> None:
    executor = Scripted()
    cycle = cycle_for(store, state, executor, LATE)
    slipped(store, cycle, executor)
    batch = cycle.repair(quiet)
    assert batch is not None and batch.stage is Stage.REJECTED and batch.verdict is not None
    assert batch.verdict.reasons[0] == "only 0 old probes are right, 1 are needed"
    head = store.head()
    assert head.note == "rollback to g2: what it taught harmed what was known"
    assert head.adapter == store.generation(2).adapter
    assert [one.path for one in store.documents(DocumentState.PENDING)] == ["h.md"]
    assert store.check(Artifacts(state)) == []
    executor.right = lambda probe: True
    (again,) = cycle.run_pending(quiet)
    assert again.stage is Stage.SERVING and again.parent == head.adapter


def test_consolidation_goes_before_repair(store: Store, state: Path) -> None:
    executor = Scripted()
    settings = replace(LATE, consolidate=ConsolidateSettings(idle_seconds=0))
    cycle = cycle_for(store, state, executor, settings)
    slipped(store, cycle, executor)
    assert cycle.repair(quiet) is None


def test_nothing_learned_is_nothing_to_consolidate(store: Store, state: Path) -> None:
    assert cycle_for(store, state, Scripted()).consolidate(quiet, always=True) is None


def test_a_consolidation_gives_way(store: Store, state: Path) -> None:
    cycle = cycle_for(store, state, Scripted(), ALWAYS)
    learned(store, cycle, "a.md")

    def report(progress: Progress) -> None:
        raise GaveWay

    batch = cycle.consolidate(report, always=True)
    assert batch is not None and batch.stage is Stage.FAILED
    assert store.live_batch() is None


def test_documents_do_not_wait_for_a_consolidation_that_was_cut_off(
    store: Store, state: Path
) -> None:
    executor = Scripted()
    cycle = cycle_for(store, state, executor, ALWAYS)
    learned(store, cycle, "a.md")
    store.create_consolidation(store.head().adapter, seed=9)
    add(store, "b.md", "text of b.md")
    (batch,) = cycle.run_pending(quiet)
    assert batch.document_ids == (2,) and batch.stage is Stage.SERVING
    assert [one.stage for one in store.batches()] == [Stage.SERVING, Stage.FAILED, Stage.SERVING]


def test_a_consolidation_that_was_cut_off_goes_on(store: Store, state: Path) -> None:
    cycle = cycle_for(store, state, Scripted(), ALWAYS)
    learned(store, cycle, "a.md")
    store.create_consolidation(store.head().adapter, seed=9)
    (batch,) = cycle.run_pending(quiet)
    assert batch.consolidates and batch.stage is Stage.SERVING


def stages(store: Store, cycle: Cycle) -> list[Stage]:
    """Each stage of a batch in turn, every step by a cycle that knows nothing of the last."""
    batch: Batch = store.create_batch([1], store.head().adapter, seed=1)
    seen = [batch.stage]
    while batch.stage is not Stage.SERVING:
        batch = cycle.step(batch, quiet)
        seen.append(batch.stage)
    return seen


def test_a_real_tiny_model_goes_through_every_stage(
    store: Store, state: Path, tiny_path: Path
) -> None:
    add(store, "a.md", "The server Tarrick listens on port 9362.")
    settings = PipelineSettings(
        train=TrainSettings(rank=4, epochs=2), gate=GateSettings(min_learned=0, false_rejects=0)
    )
    cycle = cycle_for(store, state, InlineExecutor(), settings, tiny_path)
    assert stages(store, cycle) == [
        Stage.NEW, Stage.STUDIED, Stage.TRAINED, Stage.EXAMINED, Stage.ACCEPTED, Stage.MERGED,
        Stage.SERVING,
    ]  # fmt: skip
    assert store.check(Artifacts(state)) == []
    assert replace(store.head(), created_at="").number == 1
