"""One examination: the head and the candidate answer the same probes, and the gate judges.

A candidate that harmed what was known is shrunk before it is given up: what its batch changed is
taken at .7, .5 and .3 of its size (STABLE, arXiv 2510.16089, rescales likewise).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agent import gate, novelty
from agent.examine import ExamineRequest, examine
from agent.executor import Executor, Report
from agent.gate import Sitting, sitting
from agent.merge import ShrinkRequest, shrink
from agent.review import Paper, Review
from agent.settings import GateSettings
from memory.artifacts import Artifacts
from memory.records import (
    Adapter,
    Batch,
    Phase,
    Probe,
    ProbeResult,
    Progress,
    StudyItem,
    Verdict,
)
from memory.store import Store
from policies import load

_SHARES: Final = (1.0, 0.7, 0.5, 0.3)  # of what a batch changed in its parent


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An adapter that might be served, and what it answered."""

    adapter: Adapter
    results: Sequence[ProbeResult]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Known:
    """What need not be trained."""

    items: frozenset[int] = frozenset()  # ids, of statements that the head knows
    everything: bool = False  # there are no other statements


class Examination:
    """Examines batches. Writes what was answered to the store."""

    def __init__(
        self,
        store: Store,
        artifacts: Artifacts,
        executor: Executor,
        review: Review,
        settings: GateSettings,
        base: Path,
        pipeline: Sequence[str] = (),
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._executor = executor
        self._review = review
        self._settings = settings
        self._base = base
        self._pipeline = pipeline  # policies, which may guard what is known

    def known(self, batch: Batch, report: Report) -> Known:
        """What the head says word for word when it is asked the batch's study items (the filter of
        Autonomous Learning).

        Only what some document said in these words is asked. Where a document says no more what it
        said, the weights must unlearn that, and nothing counts as known.
        """
        if not batch.document_ids or batch.parent is None or self._store.outdated_items(batch):
            return Known()
        told, items = self._store.said_before(batch.id), self._store.items(batch.id)
        again = [item for item in items if item.id in told]
        asked = [_asking(item) for item in again if item.prompt]
        answers = {one.probe_id: one.answer for one in self._answers(batch.parent, asked, report)}
        said = {one.id for one in again if answers.get(one.id, one.answer) == one.answer}
        known = novelty.mastered(items, said)
        ids = (one.id for one in items if one.answer in known and one.id in said)
        return Known(frozenset(ids), bool(items) and all(one.answer in known for one in items))

    def own(self, batch: Batch, report: Report) -> Sequence[ProbeResult]:
        """What the head answers to the batch's own probes."""
        return self._answers(batch.parent, self._store.probes(batch.id), report)

    def hold(self, batch: Batch, report: Report) -> None:
        """Ask before and after, and save it with the adapter that is to be judged."""
        paper = self._review.paper(batch)
        before = self._before(batch, paper.probes, report)
        self._ask_base(batch, paper.general, before, report)
        first, *smaller = self._candidates(batch, paper, before, report)
        chosen = smaller[-1] if smaller and smaller[-1].verdict.accepted else first
        shrunk = None if chosen is first else chosen.adapter
        self._store.save_examination(batch, before, chosen.results, shrunk)

    def verdict(self, batch: Batch) -> Verdict:
        """What the gate says of an examination that was held."""
        assert batch.adapter is not None, "an examined batch has an adapter"
        before = self._store.results(batch.id, Phase.BEFORE)
        after = self._store.results(batch.id, Phase.AFTER)
        verdict = self._judged(batch, self._asked_of(batch, after), before, after)
        share = self._store.adapter(batch.adapter).figures.get("share", 1.0)
        return replace(verdict, scale=share)

    def review(self, report: Report) -> int:
        """Ask what is served all that is due; returns how much that was."""
        probes = self._review.waiting()
        if probes:
            self._store.save_review(self._answers(self._store.head().adapter, probes, report))
        return len(probes)

    def _candidates(
        self, batch: Batch, paper: Paper, before: Sequence[ProbeResult], report: Report
    ) -> Iterator[_Candidate]:
        """The trained adapter, then smaller ones, as long as harm is what stands against them."""
        assert batch.adapter is not None, "a trained batch has an adapter"
        whole = self._store.adapter(batch.adapter)
        for share in _SHARES:
            adapter = whole if share == 1.0 else self._shrunk(whole, share, report)
            results = self._answers(adapter.digest, paper.probes, report)
            verdict = self._judged(batch, paper, before, results)
            yield _Candidate(adapter, results, verdict)
            if not (batch.document_ids and verdict.harmed):
                return

    def _shrunk(self, whole: Adapter, share: float, report: Report) -> Adapter:
        report(Progress("shrink", 0, 1, f"{share:.0%}"))
        staged, parent = self._artifacts.stage(), self._adapter_path(whole.parent)
        request = ShrinkRequest(
            self._artifacts.verify("adapters", whole.digest), parent, share, staged
        )
        self._executor.run(shrink, request, report)
        about = {"batch": whole.batch_id, "parent": whole.parent, "of": whole.digest}
        digest = self._artifacts.publish("adapters", staged, {**about, "share": share})
        return replace(whole, digest=digest, figures={**whole.figures, "share": share})

    def _before(self, batch: Batch, probes: Sequence[Probe], report: Report) -> list[ProbeResult]:
        """What the parent answers. What it answered when it was examined itself it says again."""
        known = {} if batch.parent else self._store.base_results()
        if batch.parent is not None:
            examined = self._store.adapter(batch.parent).batch_id
            for phase in (Phase.AFTER, Phase.REVIEW):
                results = self._store.results(examined, phase)
                known |= {result.probe_id: result for result in results}
        unasked = [probe for probe in probes if probe.id not in known]
        asked = self._answers(batch.parent, unasked, report)
        known |= {result.probe_id: result for result in asked}
        return [known[probe.id] for probe in probes]

    def _ask_base(
        self,
        batch: Batch,
        general: Sequence[Probe],
        before: Sequence[ProbeResult],
        report: Report,
    ) -> None:
        """Once for ever: the base never changes. A first batch's parent is the base itself."""
        known = self._store.base_results()
        unasked = {probe.id: probe for probe in general if probe.id not in known}
        if batch.parent is None:
            said = [result for result in before if result.probe_id in unasked]
        else:
            said = list(self._answers(None, list(unasked.values()), report))
        if said:
            self._store.save_base(batch.id, said)

    def _answers(
        self, adapter: str | None, probes: Sequence[Probe], report: Report
    ) -> Sequence[ProbeResult]:
        if not probes:
            return []
        request = ExamineRequest(self._base, self._adapter_path(adapter), tuple(probes))
        return self._executor.run(examine, request, report)

    def _judged(
        self,
        batch: Batch,
        paper: Paper,
        before: Sequence[ProbeResult],
        after: Sequence[ProbeResult],
    ) -> Verdict:
        new, old, general = (
            sitting({probe.id for probe in part}, before, after)
            for part in (paper.new, paper.old, paper.general)
        )
        known = self._store.base_results()
        base = sitting({probe.id for probe in paper.general} & known.keys(), known.values(), after)
        guarded = self._guarded(old)
        if not batch.document_ids:
            gain = int(batch.repairs)
            return gate.judge_rebuilt(old, general, self._settings, base, gain, guarded)
        return gate.judge(new, old, general, self._settings, base, guarded)

    def _guarded(self, old: Sitting) -> list[str]:
        """What the policies hold against a candidate."""
        topics = {row.id: row.path for row in self._store.probe_rows() if row.path is not None}
        before = {number: result.correct for number, result in old.before.items()}
        after = {number: result.correct for number, result in old.after.items()}
        guards = [load(name) for name in self._pipeline]
        return [reason for one in guards for reason in one.guard(before, after, topics)]

    def _asked_of(self, batch: Batch, results: Sequence[ProbeResult]) -> Paper:
        """The paper of an examination that was held, from its results."""
        asked = {result.probe_id for result in results}
        new = self._review.new(batch)
        own = {probe.id for probe in new}
        every = [*self._store.probes(batch.id), *self._store.probes()]
        others = [one for one in every if one.id in asked and one.id not in own]
        old = tuple(one for one in others if one.chunk_id is not None)
        return Paper(new, old, tuple(one for one in others if one.chunk_id is None))

    def _adapter_path(self, digest: str | None) -> Path | None:
        return None if digest is None else self._artifacts.verify("adapters", digest)


def _asking(item: StudyItem) -> Probe:
    """A study item as a question to the head, under its own id."""
    return Probe(item.chunk_id, item.kind, item.prompt, item.answer, item.answer, id=item.id)
