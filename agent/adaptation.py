"""A file of examples -> study plan: a task is learned beside the documents, from the base.

What is decided is policies/few_shot.py's; this gives it the model. Works in the child, but for what
takes the store.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agent.course import budget
from agent.directives import STEADY
from agent.executor import Report
from agent.settings import TrainSettings
from agent.study import TRIAL_TOKENS, opened
from memory.records import TASK, Batch, Chunk, SelfEdit
from memory.store import Store
from policies import few_shot
from policies.base import StudyPlan

_TOGETHER: Final = 16  # examples in a chunk


@dataclass(frozen=True, slots=True)
class AdaptRequest:
    """The examples of one task. The seed is of all chance but the choice of what is held out."""

    base: Path
    study_adapter: Path | None  # beside which lies what the base answers to general questions
    embedder: str
    chunks: tuple[Chunk, ...]
    seed: int
    training: TrainSettings  # of throw-away adapters, but for their tokens
    arms: int  # self-edits that are tried


def adapt(request: AdaptRequest, report: Report) -> StudyPlan:
    """How the task is studied, and what is held out to examine it."""
    adapter, embedder = request.study_adapter, request.embedder
    tools = opened(request.base, adapter, embedder, request.training, report)
    return few_shot.plan(request.chunks, tools, request.seed, request.arms)


def cut(store: Store, batch: Batch) -> tuple[Chunk, ...]:
    """The batch's document in chunks, which count as what a throw-away adapter may take."""
    [number] = batch.document_ids
    document = store.document(number)
    store.save_chunks(number, [(document.title, part) for part in parted(document.text)])
    return tuple(store.chunks([number]))


def training(settings: TrainSettings, chunks: int) -> TrainSettings:
    """The settings with a budget that passes over a task of so many chunks as often as its trials
    did, which took two thirds of the examples; no more than any training has."""
    return replace(settings, tokens=min(budget(settings), TRIAL_TOKENS * chunks * 3 // 2))


def parted(text: str) -> list[str]:
    """The lines of a file of examples, some together."""
    lines = text.split("\n")
    return ["\n".join(lines[i : i + _TOGETHER]) for i in range(0, len(lines), _TOGETHER)]


def self_edit(plan: StudyPlan) -> SelfEdit:
    """What was chosen, for the batch's record."""
    chosen = plan.directives
    return SelfEdit(TASK, STEADY, plan.figures, plan.health, chosen.learning_rate, chosen.epochs)
