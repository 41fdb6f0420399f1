"""What is done at each stage, with scripted heavy work."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from agent.cycle import Cycle
from agent.endpoint import Endpoint
from agent.examine import ExamineRequest
from agent.merge import MergeRequest, ShrinkRequest
from agent.settings import (
    GateSettings,
    PipelineSettings,
    TrainSettings,
)
from agent.study import StudyRequest
from agent.train import TrainRequest
from memory.artifacts import Artifacts
from memory.errors import Unavailable
from memory.records import (
    Batch,
    DocumentState,
    Phase,
    Probe,
    Stage,
    StudyItem,
)
from memory.store import Store
from memory.testing import memory_store
from policies.base import StudyPlan
from tests.helpers.cycles import Reciting, Scripted, cycle_for, quiet
from tests.helpers.stores import add


@pytest.fixture
def store() -> Store:
    return memory_store()


def test_study_items_are_written_where_there_is_a_server_for_it(store: Store, state: Path) -> None:
    executor, away = Scripted(), True
    place = Endpoint("http://vllm", None, "", "study", "base", 2)

    def endpoint() -> Endpoint:
        if away:
            raise Unavailable("no server answers")
        return place

    add(store, "a.md")
    cycle = cycle_for(store, state, executor, endpoint=endpoint)
    with pytest.raises(Unavailable):
        cycle.run_pending(quiet)
    [waiting] = store.batches()
    assert (waiting.stage, waiting.attempts) == (Stage.NEW, 0)  # it costs the batch nothing
    away = False
    [batch] = cycle.run_pending(quiet)
    assert batch.id == waiting.id and batch.stage is Stage.SERVING
    assert [request.endpoint for request in executor.of(StudyRequest)] == [place]


def taught(store: Store, cycle: Cycle, **files: str) -> Batch:
    """The batch in which files of such texts were learned together."""
    for name, text in files.items():
        add(store, f"{name}.md", text)
    return cycle.run_pending(quiet)[-1]


def test_a_copy_of_what_is_known_is_not_trained(store: Store, state: Path) -> None:
    executor = Reciting()
    cycle = cycle_for(store, state, executor)
    for name in "abcd":  # what was never trained says nothing of how to train the next
        batch = taught(store, cycle, **{name: "The port is 8765."})
    assert len(executor.of(TrainRequest)) == 1
    first, *others = store.generations()[1:]
    assert {(one.adapter, one.model) for one in others} == {(first.adapter, first.model)}
    note = "nothing is new in 1 document; sentences known word for word: 1"
    assert [one.note for one in others] == [note] * 3
    assert {item.chunk_id for item in store.items()} == {1, 2, 3, 4}  # all are rehearsed
    [probe] = store.probes(batch.id)
    assert [one.phase for one in store.history(probe.id)] == [Phase.REVIEW]
    assert taught(store, cycle, e="The name is Otter.").stage is Stage.SERVING
    assert store.check(Artifacts(state)) == []


@pytest.mark.parametrize("missed", ["study", "asked about 2"])
def test_a_copy_that_the_head_does_not_know_is_trained(
    store: Store, state: Path, missed: str
) -> None:
    executor = Reciting()
    cycle = cycle_for(store, state, executor)
    taught(store, cycle, a="The port is 8765.")
    executor.misses = (missed,)  # its study items, or its own probe
    taught(store, cycle, b="The port is 8765.")
    assert [len(one.items) for one in executor.of(TrainRequest)[:2]] == [1, 1]


def test_only_what_is_not_known_of_a_batch_is_trained(store: Store, state: Path) -> None:
    executor = Reciting("asked about 2")  # about what is known: nothing that is trained mends it
    cycle = cycle_for(store, state, executor)
    taught(store, cycle, a="The port is 8765.")
    batch = taught(store, cycle, b="The port is 8765.", c="The name is Otter.")
    [item] = executor.of(TrainRequest)[-1].items
    assert item.answer == "The name is Otter."
    assert store.head().note.endswith("sentences known word for word: 1")
    assert batch.stage is Stage.SERVING and batch.verdict is not None
    asked = {name: batch.verdict.figures[f"{name}_asked"] for name in ("new", "old")}
    assert asked == {"new": 1.0, "old": 2.0}  # that of a.md, and that of b.md


def test_of_a_statement_that_is_known_what_was_missed_is_trained(store: Store, state: Path) -> None:
    class Twice(Reciting):
        def StudyRequest(self, request: StudyRequest) -> StudyPlan:
            plan = super().StudyRequest(request)
            again = [replace(one, prompt=f"again {one.prompt}") for one in plan.items]
            return replace(plan, items=(*plan.items, *again))

    executor = Twice("again")
    cycle = cycle_for(store, state, executor)
    taught(store, cycle, a="The port is 8765.")
    taught(store, cycle, b="The port is 8765.", c="The name is Otter.")
    prompts = sorted(item.prompt for item in executor.of(TrainRequest)[-1].items)
    new = "study The name is Otter."
    assert prompts == sorted([new, f"again {new}", "again study The port is 8765."])
    assert store.known_statements(2) == {"The port is 8765."}


def test_what_a_file_says_no_more_is_unlearned_though_another_says_the_new(
    store: Store, state: Path
) -> None:
    executor = Reciting()
    cycle = cycle_for(store, state, executor)
    taught(store, cycle, a="The port is 8765.", b="The port is 9090.")
    taught(store, cycle, a="The port is 9090.")
    [item] = executor.of(TrainRequest)[-1].items
    assert item.answer == "The port is 9090."


def test_a_parent_is_asked_only_what_it_was_not_asked_yet(store: Store, state: Path) -> None:
    executor = Scripted(right=lambda probe: "about" in probe.question)
    cycle = cycle_for(store, state, executor, PipelineSettings(gate=GateSettings(false_rejects=0)))
    for name in ("a.md", "b.md"):
        add(store, name, f"text of {name}")
        cycle.run_pending(quiet)
    parent = executor.of(ExamineRequest)[2]
    assert [probe.question for probe in parent.probes] == ["asked about 2"]
    before, after = (store.results(2, phase) for phase in (Phase.BEFORE, Phase.AFTER))
    assert [one.probe_id for one in before] == [one.probe_id for one in after]
    assert {one.probe_id for one in before if one.correct} == {store.probes(1)[0].id}


def test_a_batch_that_learns_nothing_changes_nothing(store: Store, state: Path) -> None:
    document = add(store, "a.md")
    executor = Scripted(right=lambda probe: probe.chunk_id is None)
    finished = cycle_for(store, state, executor).run_pending(quiet)
    assert [batch.stage for batch in finished] == [Stage.REJECTED] * 2
    assert store.head().number == 0
    after = store.document(document.id)
    assert after.state is DocumentState.QUARANTINED and "new probes" in after.reason


def test_a_batch_that_forgets_what_everybody_knows_is_rejected(store: Store, state: Path) -> None:
    add(store, "a.md")
    executor = Scripted(right=lambda probe: probe.chunk_id is not None)
    (batch, *_) = cycle_for(store, state, executor).run_pending(quiet)
    assert batch.verdict is not None and "general" in batch.verdict.reasons[0]
    assert not executor.of(MergeRequest)


def test_a_batch_that_harms_is_shrunk_until_it_does_not(store: Store, state: Path) -> None:
    add(store, "a.md")
    executor = Scripted()
    shrunk = partial(executor.of, ShrinkRequest)
    executor.right = lambda probe: probe.chunk_id is not None or len(shrunk()) == 2
    (batch,) = cycle_for(store, state, executor).run_pending(quiet)
    assert batch.stage is Stage.SERVING and batch.verdict is not None
    assert [one.share for one in executor.of(ShrinkRequest)] == [0.7, 0.5]
    assert (batch.verdict.scale, store.head().adapter) == (0.5, batch.adapter)
    [merge] = executor.of(MergeRequest)
    assert merge.adapter.name == batch.adapter
    assert "0.5 of" in (merge.adapter / "adapter_model.safetensors").read_text()
    assert store.check(Artifacts(state)) == []


def test_a_batch_that_learned_too_little_is_not_shrunk(store: Store, state: Path) -> None:
    add(store, "a.md")
    executor = Scripted(right=lambda probe: probe.chunk_id is None)
    cycle_for(store, state, executor).run_pending(quiet)
    assert not executor.of(ShrinkRequest)


def test_a_batch_whose_harm_stays_is_judged_as_it_was_trained(store: Store, state: Path) -> None:
    add(store, "a.md")
    executor = Scripted(right=lambda probe: probe.chunk_id is not None)
    (batch, *_) = cycle_for(store, state, executor).run_pending(quiet)
    assert len(executor.of(ShrinkRequest)) == 3 * 2  # both attempts
    assert batch.stage is Stage.REJECTED and batch.verdict is not None and batch.verdict.scale == 1


def test_a_small_batch_is_asked_and_rehearses_as_much_as_a_larger_one(
    store: Store, state: Path
) -> None:
    executor = Scripted()
    cycle = cycle_for(store, state, executor)
    for number in range(9):
        add(store, f"{number}.md", f"text {number}")
    cycle.run_pending(quiet)
    add(store, "new.md", "new text")
    cycle.run_pending(quiet)
    assert [one.probes_per_chunk for one in executor.of(StudyRequest)] == [1, 6]
    assert len(executor.of(TrainRequest)[1].rehearsed) == 9  # all there is


def test_a_rejected_document_gets_more_rehearsal(store: Store, state: Path) -> None:
    cycle = cycle_for(store, state, Scripted())
    for number in range(9):
        add(store, f"{number}.md", f"text {number}")
    cycle.run_pending(quiet)
    many = [add(store, f"new {n}.md", f"new text {n}") for n in range(10)]
    executor = Scripted(right=lambda probe: probe.chunk_id is None)
    settings = PipelineSettings(
        attempts=2, train=TrainSettings(replay_share=0.4, replay_least=0, onward_wordings=99)
    )
    cycle_for(store, state, executor, settings).run_pending(quiet)
    first, second = (len(request.rehearsed) for request in executor.of(TrainRequest))
    assert len(many) == 10 and (first, second) == (4, 8)


def test_a_rejected_document_is_studied_in_another_style(store: Store, state: Path) -> None:
    add(store, "a.md")
    executor = Scripted(right=lambda probe: probe.chunk_id is None)
    settings = PipelineSettings(attempts=2, train=TrainSettings(tokens=1000))
    batches = cycle_for(store, state, executor, settings).run_pending(quiet)
    assert [one.self_edit and one.self_edit.style for one in batches] == ["steady", "thorough"]
    assert [one.settings.tokens for one in executor.of(TrainRequest)] == [1000, 1600]


def test_a_new_version_takes_the_place_of_the_old(store: Store, state: Path) -> None:
    executor = Scripted()
    cycle = cycle_for(store, state, executor)
    old = add(store, "a.md", "the port is 1")
    cycle.run_pending(quiet)
    add(store, "a.md", "the port is 2")
    cycle.run_pending(quiet)
    assert store.document(old.id).state is DocumentState.RETIRED
    second = executor.of(TrainRequest)[1]
    assert not any("port is 1" in item.prompt for item in second.rehearsed)
    asked = executor.of(ExamineRequest)[-1].probes
    assert "asked about 1" not in {probe.question for probe in asked}


def test_of_a_new_version_only_what_changed_is_studied(store: Store, state: Path) -> None:
    executor = Scripted()
    cycle = cycle_for(store, state, executor)
    add(store, "a.md", "# Ports\n\nIt is 1.\n\n# Names\n\nIt is Ada.")
    cycle.run_pending(quiet)
    kept = {probe.id for probe in store.probes() if probe.question == "asked about 2"}
    add(store, "a.md", "# Ports\n\nIt is 2.\n\n# Names\n\nIt is Ada.")
    cycle.run_pending(quiet)
    first, second = executor.of(StudyRequest)
    assert [len(request.chunks) for request in (first, second)] == [2, 1]
    assert second.chunks[0].text == "It is 2." and second.known == frozenset()
    verdict = store.batches()[-1].verdict
    assert verdict is not None
    assert verdict.figures["new_asked"] == 1.0  # that the rest is known proves nothing
    assert verdict.figures["old_asked"] == 1.0
    assert store.head().note == "learned 1 document, steady; chunks in which nothing is new: 1"
    assert {probe.answer for probe in store.probes() if probe.id in kept} == {"42"}
    assert store.check(Artifacts(state)) == []


def test_where_nothing_is_new_nothing_is_trained(store: Store, state: Path) -> None:
    executor = Scripted()
    cycle = cycle_for(store, state, executor)
    add(store, "a.md", "# Ports\n\nIt is 1.\n\n# Names\n\nIt is Ada.")
    cycle.run_pending(quiet)
    before = store.head()
    add(store, "a.md", "# Names\n\nIt is Ada.")
    (batch,) = cycle.run_pending(quiet)
    assert batch.stage is Stage.SERVING
    assert len(executor.of(TrainRequest)) == len(executor.of(StudyRequest)) == 1
    head = store.head()
    assert (head.number, head.adapter, head.model) == (2, before.adapter, before.model)
    assert head.note == "nothing is new in 1 document"
    assert (
        sum(probe.chunk_id is not None for probe in store.probes()) == 1
    )  # what was deleted is not asked
    assert store.check(Artifacts(state)) == []


def test_probes_that_the_study_set_gives_away_are_dropped(store: Store, state: Path) -> None:
    class Leaky(Scripted):
        def StudyRequest(self, request: StudyRequest) -> StudyPlan:
            chunk = request.chunks[0].id
            items = (StudyItem(chunk, "qa", "Which port is it?", "42", "al"),)
            leaks = ("which port, is it", "it is which port?", "Where does the ferry land?")
            probes = tuple(Probe(chunk, "direct", leak, "42", "It is 42.") for leak in leaks)
            return StudyPlan(items, probes)

    add(store, "a.md")
    (batch,) = cycle_for(store, state, Leaky()).run_pending(quiet)
    assert [p.question for p in store.probes(batch.id)] == ["Where does the ferry land?"]
