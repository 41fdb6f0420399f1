"""Batch -> study plan: runs the policies with the practised base model. Works in the child.

The practised base is the base with its study adapter, for this stage alone: the skill to study
costs general knowledge (CHANGELOG.md), and what is served and trained does not need it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent import models
from agent.executor import Report
from agent.generate import Asked, Writer, generate
from agent.models import Embedder, LanguageModel, question_tokens
from agent.shelf import borrow
from memory.records import Chunk, Progress
from policies import load
from policies.base import Ask, Candidate, StudyPlan, Tools
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
    """What is trained on, and what is asked. Raises UnknownPolicy."""
    trusted = propose(request, report)
    return select(request.chunks, trusted, request.probes_per_chunk, request.seed)


def propose(request: StudyRequest, report: Report) -> dict[Candidate, float]:
    """Let each policy propose, then let each of them judge what all have proposed; what none
    distrusts stays, with what the strictest thinks of it. Raises UnknownPolicy."""
    report(Progress("study", 0, 1))  # loading takes its time
    model = practised(request.base, request.study_adapter)
    return proposed(request, ModelTools(model, models.Embedder(request.embedder), report))


def proposed(request: StudyRequest, tools: Tools) -> dict[Candidate, float]:
    """As propose(), with tools that are there already."""
    policies = [load(name) for name in request.pipeline]
    chunks, seed = request.chunks, request.seed
    candidates = [one for policy in policies for one in policy.propose(chunks, tools, seed)]
    scores = [policy.score(candidates, tools, seed) for policy in policies]
    worst = [min(column) for column in zip(*scores, strict=True)]
    return {one: score for one, score in zip(candidates, worst, strict=True) if score > 0}


def practised(base: Path, study_adapter: Path | None) -> LanguageModel:
    """The model that writes and reads."""
    model = borrow(base)
    return models.merged(model, study_adapter) if study_adapter else model


class ModelTools:
    """What policies may ask of the model; reports how far it is."""

    def __init__(
        self, model: LanguageModel, embedder: Embedder, report: Report, writer: Writer = generate
    ) -> None:
        self._model = model
        self._writer = writer
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
        return self._writer(
            self._model, self._model.network, prompts, temperature, seed, self._count
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
