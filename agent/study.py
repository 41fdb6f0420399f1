"""Batch -> study plan: runs the policies with the practised base model. Works in the child.

The practised base is the base with its study adapter, for this stage alone: the skill to study
costs general knowledge (CHANGELOG.md), and what is served and trained does not need it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent import models
from agent.executor import Report
from agent.generate import Asked, generate
from agent.models import Embedder, LanguageModel, question_tokens
from agent.proofreading import faults
from memory.records import Chunk, Progress
from policies import load
from policies.base import Ask, Candidate, StudyPlan
from policies.selection import select


@dataclass(frozen=True, slots=True)
class StudyRequest:
    """What to study, and with which policies."""

    base: Path
    study_adapter: Path | None  # None: the base studies as it is
    embedder: str
    chunks: tuple[Chunk, ...]
    pipeline: tuple[str, ...]
    probes_per_chunk: int
    seed: int


def study(request: StudyRequest, report: Report) -> StudyPlan:
    """What is trained on, and what is asked; probes that are wrong say so. Raises UnknownPolicy."""
    tools = _tools(request, report)
    trusted = _proposed(request, tools)
    plan = select(request.chunks, trusted, request.probes_per_chunk, request.seed)
    found = faults(plan.probes, request.chunks, tools)
    probes = tuple(replace(probe, fault=found.get(probe, "")) for probe in plan.probes)
    return replace(plan, probes=probes, health={**plan.health, "faulty": len(found)})


def propose(request: StudyRequest, report: Report) -> dict[Candidate, float]:
    """Let each policy propose, then let each of them judge what all have proposed; what none
    distrusts stays, with what the strictest thinks of it. Raises UnknownPolicy."""
    return _proposed(request, _tools(request, report))


def _tools(request: StudyRequest, report: Report) -> "ModelTools":
    report(Progress("study", 0, 1))  # loading takes its time
    return ModelTools(_practised(request), models.Embedder(request.embedder), report)


def _proposed(request: StudyRequest, tools: "ModelTools") -> dict[Candidate, float]:
    policies = [load(name) for name in request.pipeline]
    chunks, seed = request.chunks, request.seed
    candidates = [one for policy in policies for one in policy.propose(chunks, tools, seed)]
    scores = [policy.score(candidates, tools, seed) for policy in policies]
    worst = [min(column) for column in zip(*scores, strict=True)]
    return {one: score for one, score in zip(candidates, worst, strict=True) if score > 0}


def _practised(request: StudyRequest) -> LanguageModel:
    model = models.load(request.base)
    return models.merged(model, request.study_adapter) if request.study_adapter else model


class ModelTools:
    """What policies may ask of the model; reports how far it is."""

    def __init__(self, model: LanguageModel, embedder: Embedder, report: Report) -> None:
        self._model = model
        self._embedder = embedder
        self._report = report
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._done = 0
        self._total = 0

    def generate(self, asks: Sequence[Ask], temperature: float, seed: int) -> list[str]:
        """See policies.base.Tools."""
        prompts = [
            Asked(tuple(question_tokens(self._model.tokenizer, ask.prompt)), ask.most)
            for ask in asks
        ]
        self._total += len(prompts)
        return generate(
            self._model, self._model.network, prompts, temperature, seed, on_done=self._count
        )

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See policies.base.Tools."""
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        self._vectors.update(zip(new, self._embedder(new), strict=True))
        if not texts:
            return np.zeros((0, self._embedder.dimension), dtype=np.float32)
        return np.stack([self._vectors[text] for text in texts])

    def _count(self, prompts: int) -> None:
        self._done += prompts
        self._report(Progress("study", self._done, self._total))
