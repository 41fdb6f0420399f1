"""What is done with a batch at each stage: heavy work in the executor, then one transaction."""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

from agent import (
    adaptation,
    contradictions,
    directives,
    gate,
    material,
    novelty,
)
from agent.adaptation import AdaptRequest, adapt
from agent.endpoint import Endpoint
from agent.examination import Examination, Known
from agent.executor import Executor, Report
from agent.material import Material
from agent.merge import MergeRequest, merge
from agent.novelty import Novelty
from agent.rehearsal import KEPT
from agent.review import Review
from agent.settings import PipelineSettings
from agent.study import StudyRequest, study
from agent.train import TrainRequest, train
from memory.artifacts import Artifacts
from memory.errors import StaleParent
from memory.index import TextIndex
from memory.records import Adapter, Batch, ProbeResult, Progress, SelfEdit
from memory.store import Store
from policies.base import StudyPlan

_CHECKPOINT = "training.safetensors"  # in the state directory: a training that was cut off
_ACTIVATIONS = "activations"  # likewise: a cache
_KEPT_MODELS = 3  # merged models kept for a quick rollback


class Stages:
    """One method a stage; in which order, agent/cycle.py knows."""

    def __init__(
        self,
        *,
        store: Store,
        artifacts: Artifacts,
        index: TextIndex,
        executor: Executor,
        settings: PipelineSettings,
        base: Path,
        study_adapter: Path | None = None,
        endpoint: Callable[[], Endpoint | None] = lambda: None,
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._index = index
        self._review = Review(store, index, settings.gate)
        self.examination = Examination(
            store, artifacts, executor, self._review, settings.gate, base, settings.study.pipeline
        )
        self._executor = executor
        self._settings = settings
        self._base = base
        self._study_adapter = study_adapter
        self._endpoint = endpoint  # where study items are written; None: in the executor
        # an adapter, and a merged model of up to twice the bytes, while the old one is kept
        self.room = 3 * sum(file.stat().st_size for file in base.glob("*.safetensors"))

    def study(self, batch: Batch, report: Report) -> None:
        """Write study items and probes; where nothing is new, the head serves on."""
        if batch.task:
            self._adapt(batch, report)
            return
        new = novelty.find(self._store, batch, self._settings.study.chunk_words)
        if new.chunks:
            plan = self._executor.run(study, self._studying(batch, new), report)
            self._save_study(batch, new, plan)
        elif batch.document_ids:
            self._adopt(batch, f"nothing is new in {_count(batch)}")
        else:
            self._store.save_study(batch, (), ())

    def _adapt(self, batch: Batch, report: Report) -> None:
        chunks, settings = adaptation.cut(self._store, batch), self._settings
        models = (self._base, self._study_adapter, settings.embedder)
        arms = settings.study.self_edits
        request = AdaptRequest(*models, chunks, _seed(batch), settings.train, arms)
        plan = self._executor.run(adapt, request, report)
        self._store.save_study(batch, plan.items, plan.probes, adaptation.self_edit(plan))

    def _studying(self, batch: Batch, new: Novelty) -> StudyRequest:
        settings = self._settings.study
        return StudyRequest(
            base=self._base,
            study_adapter=self._study_adapter,
            embedder=self._settings.embedder,
            chunks=new.chunks,
            pipeline=settings.pipeline,
            probes_per_chunk=settings.probes_each(len(new.chunks)),
            seed=_seed(batch),
            training=self._settings.train,
            endpoint=self._endpoint(),
            known=new.known,
            familiar=new.familiar,
            served=self._adapter_path(batch.parent),
        )

    def _save_study(self, batch: Batch, new: Novelty, plan: StudyPlan) -> None:
        kind = directives.kind(new.chunks)
        style = directives.choose(kind, self._store.batches(), batch)
        given, every = plan.directives, self._store.chunks(batch.document_ids)
        figures = {**plan.figures, "known": float(len(every) - len(new.chunks))}
        self_edit = SelfEdit(kind, style, figures, plan.health, given.learning_rate, given.epochs)
        probes, items = self._review.apart(plan.probes, plan.items)
        self._review.refresh()
        warned = contradictions.find(self._store, self._index, batch, items)
        self._store.save_study(batch, items, probes, self_edit, warned)

    def train(self, batch: Batch, report: Report) -> None:
        """Train what the head does not know yet. Raises StaleParent, TrainingDiverged."""
        parent = None if batch.task else self._store.head().adapter
        if parent != batch.parent:
            raise StaleParent  # now, not after the training
        known = self.examination.known(batch, report)
        if not known.everything:
            self._learn(batch, known, report)
        elif not self._is_adopted(batch, report):
            self._learn(batch, Known(), report)

    def _learn(self, batch: Batch, known: Known, report: Report) -> None:
        given, staged = self._material(batch, known.items), self._artifacts.stage()
        parent = self._adapter_path(batch.parent)
        request = TrainRequest(
            base=self._base,
            parent=None if batch.consolidates else parent,
            output=staged,
            items=given.items,
            rehearsed=given.rehearsed,
            settings=given.settings,
            seed=_seed(batch),
            general=given.general,
            kept=self._study_adapter and self._study_adapter / KEPT,
            checkpoint=self._artifacts.root / _CHECKPOINT,
            activations=None if batch.task else self._artifacts.root / _ACTIVATIONS,
        )
        trained = self._executor.run(train, request, report)
        about = {"batch": batch.id, "parent": batch.parent, "seed": request.seed}
        digest = self._artifacts.publish("adapters", staged, {**about, **trained.figures})
        now = datetime.now(UTC).isoformat(timespec="seconds")
        adapter = Adapter(digest, batch.parent, batch.id, trained.figures, now)
        self._store.save_training(batch, adapter, known.items)

    def _is_adopted(self, batch: Batch, report: Report) -> bool:
        """Nothing in it is new; it is, if its own probes bear that out."""
        said = self.examination.own(batch, report)
        new = gate.sitting({one.probe_id for one in said}, said, said)
        if not gate.judge(new, gate.NOBODY, gate.NOBODY, self._settings.gate).accepted:
            return False
        known = {item.answer for item in self._store.items(batch.id)}
        self._adopt(batch, f"nothing is new in {_count(batch)}; {_known(known)}", said)
        return True

    def _adopt(self, batch: Batch, note: str, said: Sequence[ProbeResult] = ()) -> None:
        """The head serves on: there is nothing to train."""
        self._store.adopt(batch, note, said)
        self._review.refresh()

    def _material(self, batch: Batch, known: Collection[int]) -> Material:
        settings, seed = self._settings.train, _seed(batch)
        if batch.task:
            chunks = len(self._store.chunks(batch.document_ids))
            fitting = adaptation.training(settings, chunks)
            return material.alone(self._store, batch, fitting, seed)
        if batch.consolidates:
            return material.everything(self._store, settings, self._settings.consolidate, seed)
        if batch.repairs:
            return material.again(self._store, batch, settings, seed)
        near = self._review.neighbours(batch)
        return material.beside(self._store, batch, settings, seed, near, known)

    def judge(self, batch: Batch, report: Report) -> None:
        """The gate's verdict on what was answered."""
        report(Progress("gate", 0, 1))
        verdict = self.examination.verdict(batch)
        self._store.save_verdict(batch, verdict, self._settings.attempts)
        report(Progress("gate", 1, 1))

    def merge(self, batch: Batch, report: Report) -> None:
        """Publish base and adapter as one model."""
        adapter = self._adapter_path(batch.adapter)
        assert adapter is not None, "an accepted batch has an adapter"
        staged = self._artifacts.stage()
        self._executor.run(merge, MergeRequest(self._base, adapter, staged), report)
        about = {"adapter": batch.adapter}
        self._store.save_merge(batch, self._artifacts.publish("models", staged, about))

    def promote(self, batch: Batch, report: Report) -> None:
        """Serve it, and delete what nobody needs any more."""
        report(Progress("serve", 0, 1))
        self._store.promote(batch, _note(batch, self._store.known_statements(batch.id)))
        self._review.refresh()
        self._collect()
        report(Progress("serve", 1, 1))

    def _adapter_path(self, digest: str | None) -> Path | None:
        return None if digest is None else self._artifacts.verify("adapters", digest)

    def _collect(self) -> None:
        """Delete what no row needs, but keep the last merged models for a quick rollback."""
        needed = self._store.needed()
        recent = [one.model for one in self._store.generations() if one.model][-_KEPT_MODELS:]
        models: Collection[str] = {*needed["models"], *recent}
        self._artifacts.collect({"adapters": needed["adapters"], "models": models})


def _note(batch: Batch, known: Collection[str]) -> str:
    """What the generation is for, for people; these statements were known before."""
    if batch.task:
        return f"learned the task {batch.task}"
    if batch.consolidates:
        return "consolidated"
    if batch.repairs:
        return "repaired what had slipped"
    style, same = directives.STEADY, 0.0
    if batch.self_edit:
        style, same = batch.self_edit.style, batch.self_edit.figures.get("known", 0)
    passed_on = f"; chunks in which nothing is new: {same:.0f}" if same else ""
    said = f"; {_known(known)}" if known else ""
    return f"learned {_count(batch)}, {style}{passed_on}{said}"


def _known(statements: Collection[str]) -> str:
    return f"sentences known word for word: {len(statements)}"


def _count(batch: Batch) -> str:
    count = len(batch.document_ids)
    return f"{count} document{'s' * (count > 1)}"


def _seed(batch: Batch) -> int:
    """Another one at each attempt: the same chance would fail in the same way."""
    return batch.seed * 1000 + batch.attempts
