"""How each rival comes from one batch to the next, on a tiny random model."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from agent.executor import InlineExecutor, Report
from agent.merge import CombineRequest, MergeRequest
from agent.passages import Passage, Question
from agent.train import TrainRequest
from agent.trial import RespondRequest
from service.bench import students
from service.bench.rivals import Bench
from service.config import load
from tests.helpers.embedding import embed
from tests.helpers.tiny_model import save_tiny_model

FERRY = Passage("Ferry", "The ferry Tarrick carries 12 goats.", (Question("How many?", "12"),))
TOWER = Passage("Tower", "The tower is red. It has 9 floors.", (Question("Which?", "red"),))


@dataclass
class Noted:
    """An executor that works, and notes what it was asked."""

    requests: list[Any] = field(default_factory=list)
    inner: InlineExecutor = field(default_factory=InlineExecutor)

    def run(self, job: Any, request: Any, report: Report) -> Any:
        self.requests.append(request)
        return self.inner.run(job, request, report)

    def free(self) -> None: ...

    def close(self) -> None: ...

    def of(self, kind: type) -> Sequence[Any]:
        return [request for request in self.requests if isinstance(request, kind)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), seed=1, context=2048)


@pytest.fixture
def bench(state: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    class Stub:
        dimension = embed([""]).shape[1]

        def __init__(self, name: str) -> None: ...

        def __call__(self, texts: Sequence[str]) -> Any:
            return embed(texts)

    monkeypatch.setattr("agent.models.Embedder", Stub)
    train = {"rank": 4, "epochs": 2, "threads": 1}
    gate = {"min_learned": 0.0}
    config = load(None, {"state": state, "model": str(model), "train": train, "gate": gate})
    return Bench(Noted(), embed, config, model, None, ((FERRY,), (TOWER,)), (), 3)


@pytest.mark.parametrize("method", ["sequential", "seal"])
def test_a_chain_merges_each_adapter_into_what_the_last_left(bench: Bench, method: str) -> None:
    assert isinstance(bench.executor, Noted)
    with students.student(bench, method) as one:
        for group in bench.groups:
            one.learn(group)
            assert len(one.answer(["How many?", "Which?"])) == 2
        first, second = bench.executor.of(TrainRequest)
        merged = [request.output for request in bench.executor.of(MergeRequest)]
        assert (first.base, second.base, second.parent) == (bench.base, merged[0], None)
        assert not merged[0].exists() and merged[1].exists()
        assert bench.executor.of(RespondRequest)[-1].base == merged[1]
        assert (first.general, first.rehearsed) == ((), ())
    assert not merged[1].exists()


def test_adapters_that_were_trained_alone_are_made_into_one(bench: Bench) -> None:
    assert isinstance(bench.executor, Noted)
    with students.student(bench, "svd") as one:
        for group in bench.groups:
            one.learn(group)
            assert len(one.answer(["How many?", "Which?"])) == 2
    trained = bench.executor.of(TrainRequest)
    assert all(request.base == bench.base and request.parent is None for request in trained)
    mixes = [request.adapters for request in bench.executor.of(CombineRequest)]
    assert mixes == [(trained[0].output,), (trained[0].output, trained[1].output)]


def test_seal_writes_with_what_it_has_become_and_we_with_the_base(bench: Bench) -> None:
    assert isinstance(bench.executor, Noted)
    with students.student(bench, "seal") as one:
        one.learn((FERRY,))
        one.learn((TOWER,))
    edits = [one for one in bench.executor.of(RespondRequest) if one.temperature]
    assert edits[0].base == bench.base != edits[1].base


def test_the_daemons_own_pipeline_follows_a_folder(bench: Bench) -> None:
    assert isinstance(bench.executor, Noted)
    with students.student(bench, "learnd") as one:
        assert len(one.answer(["How many?"])) == 1
        one.learn((FERRY,))
        one.learn((TOWER,))
        assert len(one.answer(["How many?", "Which?"])) == 2
        assert one.refused() == 0
    first, second = bench.executor.of(TrainRequest)
    assert first.base == second.base == bench.base
    assert first.parent is None and second.parent is not None
    assert second.rehearsed and not first.rehearsed


def test_what_does_not_get_in_is_counted(bench: Bench) -> None:
    with students.student(bench, "learnd") as one:
        one.learn((replace(FERRY, context="\0\0"),))
        assert one.refused() == 1


@pytest.mark.parametrize("method", ["no_replay", "no_kl", "no_reviews"])
def test_a_part_can_be_off(bench: Bench, method: str) -> None:
    assert isinstance(bench.executor, Noted)
    with students.student(bench, method) as one:
        one.learn((FERRY,))
        one.learn((TOWER,))
        one.rest()
    _, second, *_ = bench.executor.of(TrainRequest)
    assert bool(second.rehearsed) is (method != "no_replay")
    assert bool(second.settings.general_weight) is (method != "no_kl")
