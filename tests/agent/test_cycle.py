"""The order of the stages, with scripted heavy work; then once with a real tiny model."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from agent.cycle import Cycle
from agent.endpoint import Endpoint
from agent.examine import ExamineRequest
from agent.executor import InlineExecutor
from agent.merge import MergeRequest, ShrinkRequest
from agent.settings import (
    ConsolidateSettings,
    GateSettings,
    PipelineSettings,
    TrainSettings,
)
from agent.study import StudyRequest
from agent.train import TrainRequest
from memory.artifacts import Artifacts
from memory.errors import ChildFailed, DiskFull, GaveWay, Unavailable
from memory.records import (
    Batch,
    DocumentState,
    Phase,
    Probe,
    Progress,
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
