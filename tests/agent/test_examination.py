"""Before and after, and which candidate is judged; the whole path is tested in test_cycle.py."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from agent.examination import Examination
from agent.examine import ExamineRequest
from agent.executor import Report
from agent.gate import sitting
from agent.merge import ShrinkRequest
from agent.review import Review
from agent.settings import GateSettings
from memory.artifacts import Artifacts
from memory.index import TextIndex
from memory.records import Adapter, Batch, Phase, Probe, ProbeResult, Progress
from memory.store import Store
from memory.testing import memory_store
from tests.helpers.embedding import DIMENSION, embed
from tests.helpers.stores import add, learn, start, study

Knows = Callable[[float, Probe], bool]  # an adapter of this share, asked this


@dataclass
class Scripted:
    """Answers by the share of the adapter; the base knows what is general."""

    knows: Knows

    def run(self, job: Any, request: Any, report: Report) -> Any:
        if isinstance(request, ShrinkRequest):
            (request.output / "weights").write_text(str(request.share))
            return None
        assert isinstance(request, ExamineRequest)
        share = float((request.adapter / "weights").read_text()) if request.adapter else 0.0
        return [ProbeResult(one.id, self.knows(share, one), "", -1.0) for one in request.probes]

    def free(self) -> None: ...

    def close(self) -> None: ...


def quiet(progress: Progress) -> None:
    pass


@pytest.fixture
def store() -> Store:
    store = memory_store()
    store.add_general([Probe(None, "general", f"{n}?", "4", "4") for n in range(9)])
    return store


def held(store: Store, state: Path, knows: Knows) -> tuple[Batch, Examination]:
    """A batch with a trained adapter, after its examination."""
    artifacts = Artifacts(state)
    batch = study(store, start(store, add(store, "a.md")))
    staged = artifacts.stage()
    (staged / "weights").write_text("1.0")
    digest = artifacts.publish("adapters", staged, {})
    adapter = Adapter(digest, None, batch.id, {"loss": 0.1}, "2026-01-01T00:00:00+00:00")
    batch = store.save_training(batch, adapter)
    settings = GateSettings(min_learned=0.5)
    review = Review(store, TextIndex(state, "probes", embed, DIMENSION), settings)
    examination = Examination(store, artifacts, Scripted(knows), review, settings, Path("base"))
    examination.hold(batch, quiet)
    return store.batch(batch.id), examination


def test_the_head_and_the_candidate_are_asked_the_same(store: Store, state: Path) -> None:
    batch, examination = held(store, state, lambda share, probe: share > 0 or not probe.chunk_id)
    before, after = (store.results(batch.id, phase) for phase in (Phase.BEFORE, Phase.AFTER))
    assert [one.probe_id for one in before] == [one.probe_id for one in after]
    assert (sum(one.correct for one in before), sum(one.correct for one in after)) == (9, 11)
    verdict = examination.verdict(batch)
    assert verdict.accepted and verdict.scale == 1.0


def test_the_largest_share_without_harm_is_taken(store: Store, state: Path) -> None:
    batch, examination = held(
        store, state, lambda share, probe: share < 0.6 if probe.chunk_id is None else share > 0
    )
    verdict = examination.verdict(batch)
    assert (verdict.accepted, verdict.scale) == (True, 0.5)
    assert batch.adapter and store.adapter(batch.adapter).figures == {"loss": 0.1, "share": 0.5}


def test_a_share_that_knows_too_little_ends_the_search(store: Store, state: Path) -> None:
    batch, examination = held(
        store, state, lambda share, probe: share < 0.6 if probe.chunk_id is None else share > 0.8
    )
    verdict = examination.verdict(batch)
    assert (verdict.accepted, verdict.scale) == (False, 1.0)
    assert verdict.reasons[0].startswith("9 general probes were lost")


def test_what_the_base_says_is_asked_once_and_bounds_what_may_be_lost(
    store: Store, state: Path
) -> None:
    batch, examination = held(store, state, lambda share, probe: share > 0 or not probe.chunk_id)
    assert len(store.base_results()) == 9
    figures = examination.verdict(batch).figures
    assert (figures["base_before"], figures["base_after"], figures["base_fall"]) == (9, 9, 0)
    assert len(store.results(batch.id, Phase.BASE)) == 9


@pytest.mark.parametrize(("pipeline", "guarded"), [(("al",), False), (("al", "alas"), True)])
def test_a_policy_of_the_pipeline_guards_each_document(
    store: Store, state: Path, pipeline: tuple[str, ...], guarded: bool
) -> None:
    learn(store, add(store, "a.md"), add(store, "b.md"))
    review = Review(store, TextIndex(state, "probes", embed, DIMENSION), GateSettings())
    examination = Examination(
        store, Artifacts(state), Scripted(lambda *asked: True), review, GateSettings(),
        Path("base"), pipeline,
    )  # fmt: skip
    first, second, *others = [row for row in store.probe_rows() if row.path]
    assert first.path == second.path and len(others) == 2
    before = [ProbeResult(row.id, True, "", -1.0) for row in (first, second, *others)]
    after = [replace(one, correct=one.probe_id not in (first.id, second.id)) for one in before]
    old = sitting({one.probe_id for one in before}, before, after)
    reasons = [f"topic {first.path} lost 2 of 2 probes, 10% are tolerated"] if guarded else []
    assert examination._guarded(old) == reasons
