"""Tasks: learned by examples, from the base, beside the documents."""

from pathlib import Path

import pytest

from agent.adaptation import AdaptRequest
from agent.executor import InlineExecutor
from agent.settings import GateSettings, PipelineSettings, StudySettings, TrainSettings
from agent.train import TrainRequest
from memory.artifacts import Artifacts
from memory.records import Batch, DocumentState, Phase, Stage
from memory.store import Store
from memory.testing import memory_store
from policies.examples import Example, written
from tests.helpers.cycles import Scripted, cycle_for, quiet
from tests.helpers.stores import add

EXAMPLES = [Example(f"Is {n} even?", "yes" if n % 2 == 0 else "no") for n in range(20)]


@pytest.fixture
def store() -> Store:
    return memory_store()


def with_task(store: Store, examples: list[Example] = EXAMPLES, name: str = "even") -> int:
    return add(store, f"{name}.jsonl", written(examples)).id


def test_texts_come_first_and_a_task_is_a_batch_of_its_own(store: Store, state: Path) -> None:
    task, text = with_task(store), add(store, "a.md").id
    other = with_task(store, EXAMPLES[:15], "other")
    executor = Scripted()
    batches = cycle_for(store, state, executor).run_pending(quiet)
    assert [one.document_ids for one in batches] == [(text,), (task,), (other,)]
    assert [one.task for one in batches] == ["", "even", "other"]
    assert {one.stage for one in batches} == {Stage.SERVING}
    assert (store.head().number, store.head().batch_id) == (1, batches[0].id)
    assert [(one.number, one.task) for one in store.tasks()] == [(2, "even"), (3, "other")]
    assert store.tasks()[0].note == "learned the task even"
    assert store.document(task).state is DocumentState.LEARNED
    assert store.check(Artifacts(state)) == []


def test_a_task_begins_at_the_base_and_rehearses_nothing(store: Store, state: Path) -> None:
    executor = Scripted()
    cycle = cycle_for(store, state, executor)
    add(store, "a.md")
    cycle.run_pending(quiet)
    with_task(store)
    cycle.run_pending(quiet)
    training = executor.of(TrainRequest)[-1]
    assert (training.parent, training.rehearsed) == (None, ())
    assert training.general
    assert {item.policy for item in training.items} == {"few_shot"}
    add(store, "b.md", "another text")
    cycle.run_pending(quiet)
    later = executor.of(TrainRequest)[-1]
    assert later.parent is not None and later.parent.name == store.batches()[0].adapter
    assert not {item.policy for item in later.rehearsed} & {"few_shot"}


def test_held_out_examples_examine_it_before_and_after(store: Store, state: Path) -> None:
    with_task(store)
    [batch] = cycle_for(store, state, Scripted()).run_pending(quiet)
    probes = store.probes(batch.id)
    assert len(probes) == 4
    for phase in (Phase.BEFORE, Phase.AFTER):
        asked = {result.probe_id for result in store.results(batch.id, phase)}
        assert {probe.id for probe in probes} <= asked
    assert batch.verdict is not None and batch.verdict.figures["new_after"] == 4
    trained = {item.prompt for item in store.items(batch.id)}
    assert not {probe.question for probe in probes} & trained


def test_the_same_are_held_out_at_every_attempt(store: Store, state: Path) -> None:
    number = with_task(store)
    executor = Scripted(right=lambda probe: probe.chunk_id is None)
    batches = cycle_for(store, state, executor).run_pending(quiet)
    assert [one.stage for one in batches] == [Stage.REJECTED] * 2
    first, second = (
        {probe.question for probe in store.probes(one.id, live_only=False)} for one in batches
    )
    assert first == second
    seeds = [request.seed for request in executor.of(TrainRequest)]
    assert len(set(seeds)) == 2
    document = store.document(number)
    assert document.state is DocumentState.QUARANTINED and "new probes" in document.reason
    assert store.tasks() == []


def test_more_examples_take_the_place_of_fewer(store: Store, state: Path) -> None:
    cycle = cycle_for(store, state, Scripted())
    old = with_task(store, EXAMPLES[:15])
    cycle.run_pending(quiet)
    [before] = store.tasks()
    with_task(store)
    cycle.run_pending(quiet)
    [now] = store.tasks()
    assert now.number == before.number + 1 and now.model != before.model
    assert store.document(old).state is DocumentState.RETIRED
    assert store.check(Artifacts(state)) == []


def test_weights_of_every_task_are_kept(store: Store, state: Path) -> None:
    cycle = cycle_for(store, state, Scripted())
    with_task(store)
    cycle.run_pending(quiet)
    for number in range(5):
        add(store, f"{number}.md", f"text {number}")
        cycle.run_pending(quiet)
    [task] = store.tasks()
    assert task.model is not None and (state / "models" / task.model).is_dir()


def test_examples_are_cut_into_chunks_of_sixteen(store: Store, state: Path) -> None:
    with_task(store)
    executor = Scripted()
    cycle_for(store, state, executor).run_pending(quiet)
    [request] = executor.of(AdaptRequest)
    assert [len(chunk.text.split("\n")) for chunk in request.chunks] == [16, 4]


def test_a_real_tiny_model_goes_through_every_stage(
    store: Store, state: Path, tiny_path: Path
) -> None:
    """Every step by a cycle that knows nothing of the last. What is learned of a real task only a
    real model shows: `learnd bench tasks`."""
    number = with_task(store, EXAMPLES[:12])
    settings = PipelineSettings(
        study=StudySettings(self_edits=4),
        train=TrainSettings(rank=4, epochs=2),
        gate=GateSettings(min_learned=0, false_rejects=0),
    )
    batch: Batch = store.create_batch([number], None, seed=1, task="even")
    while batch.stage is not Stage.SERVING:
        cycle = cycle_for(store, state, InlineExecutor(), settings, tiny_path)
        batch = cycle.step(batch, quiet)
    [task] = store.tasks()
    edit = store.batch(1).self_edit
    assert edit is not None and edit.kind == "task"
    assert edit.health["few_shot"].figures["tried"] == 4
    assert store.check(Artifacts(state)) == []
    assert store.head().number == 0
    assert (state / "models" / str(task.model) / "model.safetensors").is_file()
