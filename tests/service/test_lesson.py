"""Tests of service.lesson."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from memory.errors import BadInput
from memory.records import Batch, DocumentState, Probe, Progress, Stage
from service import lesson, wiring
from service.config import Config, load
from service.wiring import State
from tests.helpers.stores import add, answers, learn, start, study


class RejectingCycle:
    """Takes every pending document and fails it."""

    def __init__(self, state: State) -> None:
        self.store = state.store

    def run_pending(self, on_progress: Callable[[Progress], None]) -> Sequence[Batch]:
        pending = [one.id for one in self.store.documents(DocumentState.PENDING)]
        if not pending:
            return []
        batch = self.store.create_batch(pending, None, 1)
        on_progress(Progress("study", 0, 1))
        return [self.store.fail_stage(batch, "no items", 1)]


class ServingCycle(RejectingCycle):
    """Learns every pending document."""

    def run_pending(self, on_progress: Callable[[Progress], None]) -> Sequence[Batch]:
        learned = [learn(self.store, one) for one in self.store.documents(DocumentState.PENDING)]
        return [self.store.batch(one.batch_id) for one in learned if one.batch_id]


@pytest.fixture
def config(state: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    def open_cycle(config: Config, opened: State, base: Path, executor: object) -> RejectingCycle:
        return RejectingCycle(opened)

    monkeypatch.setattr(wiring, "base_model", lambda config, keep: Path("base"))
    monkeypatch.setattr(wiring, "open_cycle", open_cycle)
    return load(None, {"state": state, "intake": {"settle_seconds": 0}})


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    directory = tmp_path / "docs"
    directory.mkdir()
    return directory


def test_an_empty_folder_is_fine(config: Config, docs: Path) -> None:
    learned = lesson.learn(config, docs, lambda progress: None)
    assert (learned.added, learned.batches, learned.generation) == (0, (), 0)
    assert learned.succeeded


def test_a_missing_folder_is_not(config: Config, docs: Path) -> None:
    with pytest.raises(BadInput, match="is not a folder"):
        lesson.learn(config, docs / "nowhere", lambda progress: None)


def test_what_failed_is_told_with_its_reason(config: Config, docs: Path) -> None:
    (docs / "a.md").write_text("# A\n\nThe port is 4711.\n")
    (docs / "junk.md").write_bytes(bytes(range(256)) * 20)
    stages: list[str] = []
    learned = lesson.learn(config, docs, lambda progress: stages.append(progress.stage))
    assert (learned.added, learned.quarantined) == (1, ("junk.md",))
    [batch] = learned.batches
    assert (batch.stage, batch.documents, batch.reasons) == (Stage.FAILED, 1, ("no items",))
    assert not learned.succeeded
    assert list(dict.fromkeys(stages)) == ["scan", "load", "study"]
    assert learned.seconds.keys() == {"scan", "load", "study"}


def test_a_probe_that_is_never_asked_is_not_counted(
    config: Config, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StudyingCycle(RejectingCycle):
        def run_pending(self, on_progress: Callable[[Progress], None]) -> Sequence[Batch]:
            [document] = self.store.documents(DocumentState.PENDING)
            batch = self.store.create_batch([document.id], None, 1)
            [chunk] = self.store.save_chunks(document.id, [(document.title, document.text)])
            sound = Probe(chunk.id, "paraphrase", "Which port?", "4711", "The port is 4711.")
            faulty = replace(sound, question="Who?", fault="the model says: not stated")
            return [self.store.save_study(batch, (), (sound, faulty))]

    monkeypatch.setattr(wiring, "open_cycle", lambda config, state, *others: StudyingCycle(state))
    (docs / "a.md").write_text("# A\n\nThe port is 4711.\n")
    [batch] = lesson.learn(config, docs, lambda progress: None).batches
    assert (batch.stage, batch.probes) == (Stage.STUDIED, 1)


def test_what_was_adopted_is_told_by_its_review(
    config: Config, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AdoptingCycle(RejectingCycle):
        def run_pending(self, on_progress: Callable[[Progress], None]) -> Sequence[Batch]:
            learn(self.store, add(self.store, "earlier.md"))
            batch = study(
                self.store, start(self.store, *self.store.documents(DocumentState.PENDING))
            )
            self.store.adopt(batch, "nothing is new")
            self.store.save_review(answers(self.store.probes(batch.id)[:1], True))
            return [self.store.batch(batch.id)]

    monkeypatch.setattr(wiring, "open_cycle", lambda config, state, *others: AdoptingCycle(state))
    (docs / "a.md").write_text("# A\n\nThe port is 4711.\n")
    [batch] = lesson.learn(config, docs, lambda progress: None).batches
    assert (batch.probes, batch.right_before, batch.right_after) == (2, 1, 1)


@pytest.mark.parametrize(
    ("cycle", "route", "opened"),
    [(ServingCycle, True, 1), (ServingCycle, False, 0), (RejectingCycle, True, 0)],
)
def test_what_routing_compares_with_is_there_when_it_was_learned(
    config: Config,
    docs: Path,
    monkeypatch: pytest.MonkeyPatch,
    cycle: type[RejectingCycle],
    route: bool,
    opened: int,
) -> None:
    routes: list[State] = []

    def open_routes(config: Config, state: State) -> Callable[[], None]:
        return lambda: routes.append(state)

    monkeypatch.setattr(wiring, "open_routes", open_routes)
    monkeypatch.setattr(wiring, "open_cycle", lambda config, state, base, executor: cycle(state))
    (docs / "a.md").write_text("# A\n\nThe port is 4711.\n")
    engine = replace(config.engine, route=route)
    lesson.learn(config.model_copy(update={"engine": engine}), docs, lambda progress: None)
    assert len(routes) == opened
