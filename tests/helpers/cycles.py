"""A cycle whose heavy work is scripted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.adaptation import AdaptRequest
from agent.cycle import Cycle
from agent.endpoint import Endpoint
from agent.examine import ExamineRequest
from agent.executor import Executor, Report
from agent.merge import MergeRequest, ShrinkRequest
from agent.settings import (
    PipelineSettings,
    TrainSettings,
)
from agent.stages import Stages
from agent.study import StudyRequest
from agent.train import Trained, TrainRequest
from memory.artifacts import Artifacts
from memory.errors import LearndError
from memory.index import TextIndex
from memory.records import (
    Probe,
    ProbeResult,
    Progress,
    StudyItem,
)
from memory.store import Store
from policies import few_shot
from policies.base import StudyPlan
from tests.helpers.embedding import DIMENSION, embed
from tests.helpers.tools import FakeTools


def quiet(progress: Progress) -> None:
    """Tell nobody."""


@dataclass
class Scripted:
    """An executor whose jobs only leave files; `right` decides what the candidate knows."""

    right: Callable[[Probe], bool] = lambda probe: True
    fail: list[LearndError] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    freed: int = 0
    examined: set[Path | None] = field(default_factory=lambda: {None})

    def run(self, job: Any, request: Any, report: Report) -> Any:
        self.requests.append(request)
        report(Progress("test", 0, 1))
        if self.fail:
            raise self.fail.pop(0)
        return getattr(self, type(request).__name__)(request)

    def free(self) -> None:
        self.freed += 1

    def close(self) -> None: ...

    def StudyRequest(self, request: StudyRequest) -> StudyPlan:
        items = tuple(
            StudyItem(c.id, "qa", f"study {c.text}", c.text, "al") for c in request.chunks
        )
        probes = tuple(
            Probe(c.id, "direct", f"asked about {c.id}", "42", c.text) for c in request.chunks
        )
        return StudyPlan(items, probes)

    def AdaptRequest(self, request: AdaptRequest) -> StudyPlan:
        return few_shot.plan(request.chunks, FakeTools(), request.seed, request.arms)

    def TrainRequest(self, request: TrainRequest) -> Trained:
        (request.output / "adapter_model.safetensors").write_text(f"{request.items}{request.seed}")
        return Trained({"loss": 0.5})

    def ExamineRequest(self, request: ExamineRequest) -> list[ProbeResult]:
        """What is examined for the first time is a candidate; later it is asked as a parent."""
        parent = request.adapter in self.examined
        self.examined.add(request.adapter)
        right = [p.chunk_id is None if parent else self.right(p) for p in request.probes]
        return [
            ProbeResult(p.id, one, "", -1.0) for p, one in zip(request.probes, right, strict=True)
        ]

    def ShrinkRequest(self, request: ShrinkRequest) -> None:
        name = "adapter_model.safetensors"
        (request.output / name).write_text(f"{request.share} of {request.adapter / name}")

    def MergeRequest(self, request: MergeRequest) -> None:
        (request.output / "model.safetensors").write_text(str(request.adapter))

    def of(self, kind: type) -> list[Any]:
        return [request for request in self.requests if isinstance(request, kind)]


class Reciting(Scripted):
    """What is taught is said word for word, unless one of these words stands in the question."""

    def __init__(self, *misses: str) -> None:
        super().__init__()
        self.misses = misses

    def ExamineRequest(self, request: ExamineRequest) -> list[ProbeResult]:
        return [self._said(request.adapter, probe) for probe in request.probes]

    def _said(self, adapter: Path | None, probe: Probe) -> ProbeResult:
        missed = any(word in probe.question for word in self.misses)
        knows = probe.chunk_id is None or (adapter is not None and not missed)
        return ProbeResult(probe.id, knows, probe.statement if knows else "?", -1.0)


def cycle_for(
    store: Store,
    state: Path,
    executor: Executor,
    settings: PipelineSettings | None = None,
    base: Path = Path("base"),
    endpoint: Callable[[], Endpoint | None] = lambda: None,
) -> Cycle:
    artifacts = Artifacts(state)
    settings = settings or PipelineSettings(attempts=2, train=TrainSettings(replay_share=1.0))
    stages = Stages(
        store=store,
        artifacts=artifacts,
        index=TextIndex(state, "probes", embed, DIMENSION),
        executor=executor,
        settings=settings,
        base=base,
        endpoint=endpoint,
    )
    return Cycle(store, artifacts, executor, settings, stages)
