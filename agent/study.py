"""Batch -> study plan: runs the policies with the practised base model. Works in the child.

The practised base is the base with its study adapter, for this stage alone: the skill to study
costs general knowledge (CHANGELOG.md), and what is served and trained does not need it. What is
known already is asked of what is served.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent import general, models
from agent.directives import follow
from agent.endpoint import Endpoint, RemoteWriter, away_named
from agent.executor import Report
from agent.generate import Writer, generate
from agent.likelihood import likelihoods
from agent.models import Embedder, LanguageModel, question_tokens
from agent.pristine import borrow
from agent.prompts import Asked
from agent.proofreading import faults
from agent.rehearsal import KEPT
from agent.settings import TrainSettings
from agent.train import encode
from agent.trial import TrialRequest, trial
from memory.records import Chunk, Progress, StudyItem
from policies import load
from policies.base import NO_DIRECTIVES, Ask, Directives, Model, StudyPlan, Tools
from policies.pipeline import Pipeline, Studied
from policies.selection import select

_TRAINING = TrainSettings()
TRIAL_TOKENS = 3_000  # of a chunk's study items, in all epochs of a throw-away adapter
TRIAL_GENERAL = 16  # general questions beside them: without any, an adapter aims at nothing


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
    training: TrainSettings = _TRAINING  # of throw-away adapters, but for their tokens
    endpoint: Endpoint | None = None  # that writes; None: this process does
    known: frozenset[tuple[int, str]] = frozenset()  # (chunk, statement): taught already
    familiar: frozenset[str] = frozenset()  # statements that the head was taught anywhere
    served: Path | None = None  # the adapter that answers people; None: the base does


def study(request: StudyRequest, report: Report) -> StudyPlan:
    """What is trained on, and what is asked; probes that are wrong say so. Raises UnknownPolicy,
    PoliciesFailed, Unavailable."""
    with away_named():
        tools = _tools(request, report)
        studied = proposed(request, tools)
        most, known, familiar = request.probes_per_chunk, request.known, request.familiar
        plan = select(request.chunks, studied.trusted, most, request.seed, known, familiar)
        found = faults(plan.probes, request.chunks, tools)
    return replace(
        plan,
        probes=tuple(replace(probe, fault=found.get(probe, "")) for probe in plan.probes),
        figures={**plan.figures, "faulty": len(found)},
        health=studied.health,
        directives=studied.directives,
    )


def propose(request: StudyRequest, report: Report) -> Studied:
    """What the policies propose and trust. Raises UnknownPolicy, PoliciesFailed."""
    return proposed(request, _tools(request, report))


def proposed(request: StudyRequest, tools: Tools) -> Studied:
    """As propose(), with tools that are there already."""
    return _pipeline(request).run(request.chunks, tools, request.seed)


def _pipeline(request: StudyRequest) -> Pipeline:
    return Pipeline([load(name) for name in request.pipeline])


def _tools(request: StudyRequest, report: Report) -> "ModelTools":
    report(Progress("study", 0, 1))  # loading takes its time
    adapter, embedder = request.study_adapter, request.embedder
    tools = opened(request.base, adapter, embedder, request.training, report, request.served)
    if place := request.endpoint:
        tools.write_with(RemoteWriter(place, place.practised), RemoteWriter(place, place.published))
    return tools


def opened(
    base: Path,
    study_adapter: Path | None,
    embedder: str,
    training: TrainSettings,
    report: Report,
    served: Path | None = None,
) -> "ModelTools":
    """Tools on the practised base, or on the base where there is no study adapter."""
    model = practised(base, study_adapter)
    tools = ModelTools(model, models.Embedder(embedder), base, training, report, served=served)
    if study_adapter:
        tools.remember(study_adapter / KEPT)
    return tools


def practised(base: Path, study_adapter: Path | None) -> LanguageModel:
    """The model that writes and reads."""
    model = borrow(base)
    return models.merged(model, study_adapter) if study_adapter else model


class ModelTools:
    """What policies may ask of the model; reports how far it is."""

    def __init__(
        self,
        model: LanguageModel,
        embedder: Embedder,
        base: Path,
        training: TrainSettings,
        report: Report,
        writer: Writer = generate,
        served: Path | None = None,
    ) -> None:
        self._model = model
        self._adapter = served
        self._writers = dict.fromkeys(Model, writer)
        self._embedder = embedder
        self._base = base  # that throw-away adapters are trained on, as the real one is
        self._training = training
        self._report = report
        self._kept: Path | None = None
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._done = 0
        self._total = 0

    def write_with(self, practised: Writer, published: Writer) -> None:
        """From now on these write for two of the models; what they read is read here."""
        self._writers |= {Model.PRACTISED: practised, Model.PUBLISHED: published}
        if self._adapter is None:
            self._writers[Model.SERVED] = published

    def remember(self, kept: Path) -> None:
        """What the base answers to general questions stands in this file; see rehearsal.py."""
        self._kept = kept

    def generate(self, asks: Sequence[Ask], temperature: float, seed: int) -> list[str]:
        """See policies.base.Tools."""
        self._total += len(asks)
        said: dict[int, str] = {}
        for model in Model:
            numbers = [n for n, ask in enumerate(asks) if ask.model is model]
            if numbers:
                texts = self._generated([asks[n] for n in numbers], model, temperature, seed)
                said.update(zip(numbers, texts, strict=True))
        return [said[n] for n in range(len(asks))]

    def _generated(
        self, asks: Sequence[Ask], which: Model, temperature: float, seed: int
    ) -> list[str]:
        model = self._weights(which)
        prompts = [
            Asked(tuple(question_tokens(model.tokenizer, ask.prompt)), ask.most) for ask in asks
        ]
        return self._writers[which](model, model.network, prompts, temperature, seed, self._count)

    def _weights(self, which: Model) -> LanguageModel:
        match which:
            case Model.PRACTISED:
                return self._model
            case Model.PUBLISHED:
                return self._published
            case Model.SERVED:
                return self._served

    @cached_property
    def _published(self) -> LanguageModel:
        """Borrowed when it is first asked for."""
        return borrow(self._base)

    @cached_property
    def _served(self) -> LanguageModel:
        if self._adapter is None:
            return self._published
        return models.merged(borrow(self._base), self._adapter)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See policies.base.Tools."""
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        self._vectors.update(zip(new, self._embedder(new), strict=True))
        if not texts:
            return np.zeros((0, self._embedder.dimension), dtype=np.float32)
        return np.stack([self._vectors[text] for text in texts])

    def logprob(
        self, lessons: Sequence[tuple[str, str]], model: Model = Model.PRACTISED
    ) -> list[float]:
        """See policies.base.Tools."""
        asked = self._weights(model)
        return likelihoods(asked, [encode(asked, prompt, answer) for prompt, answer in lessons])

    def trial(
        self,
        items: Sequence[StudyItem],
        examined: Sequence[StudyItem],
        seed: int,
        directives: Directives = NO_DIRECTIVES,
    ) -> list[float]:
        """See policies.base.Tools."""
        chunks = len({item.chunk_id for item in items})
        own = replace(self._training, tokens=TRIAL_TOKENS * max(1, chunks))
        settings = follow(directives, own)
        request = TrialRequest(
            self._base, tuple(items), (), 0, settings, seed,
            general=general.prompts(TRIAL_GENERAL, seed), kept=self._kept, scored=tuple(examined),
        )  # fmt: skip
        self._total += 1
        found = trial(request, lambda progress: None)
        self._count(1)
        return list(found.logprobs)

    def _count(self, prompts: int) -> None:
        self._done += prompts
        self._report(Progress("study", self._done, self._total))
