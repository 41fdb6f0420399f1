"""SEAL's outer loop (Zweiger et al. 2025): the model is taught those of its self-edits that worked.

ReST-EM (Singh et al. 2023): several self-edits of each passage are written, a throw-away adapter
learns each, what people ask about the passage examines it, and the writer is taught the best one.
The reward is a log-probability, and each self-edit is learned more than once: by SEAL's own files
chance in training decides as much as the self-edit does, so the share that it does not is told.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from agent import general
from agent.executor import Report
from agent.passages import Passage
from agent.rehearsal import KEPT
from agent.settings import TrainSettings
from agent.study import TRIAL_GENERAL, TRIAL_TOKENS, StudyRequest, propose
from agent.train import TrainRequest, train
from agent.trial import TrialRequest, trial
from memory.records import Chunk, Progress, StudyItem
from policies import skills
from policies.base import Candidate
from policies.pipeline import RELIABLE
from policies.reward import judged
from policies.selection import select
from policies.sentences import sentences


@dataclass(frozen=True, slots=True)
class Rounds:
    """How much is tried."""

    count: int = 0
    passages: int = 16  # of a round, learned together
    edits: int = 4  # self-edits of each passage
    trainings: int = 2  # of each self-edit, at least two


@dataclass(frozen=True, slots=True)
class RoundRequest:
    """One round: who writes, about what, and what becomes of it."""

    study: StudyRequest  # its study adapter writes; its chunks are replaced by the passages
    passages: tuple[Passage, ...]
    rounds: Rounds
    settings: TrainSettings  # of the study adapter, which goes on from the one that wrote
    lessons: tuple[StudyItem, ...]  # of the warm start, rehearsed: no skill is to be lost
    output: Path  # stays empty if nobody is taught


@dataclass(frozen=True, slots=True)
class _SelfEdit:
    """One study set of all passages, and how the model that wrote it would be taught it."""

    items: tuple[StudyItem, ...]
    lessons: Mapping[int, tuple[StudyItem, ...]]  # by passage


def improve(request: RoundRequest, report: Report) -> dict[str, float]:
    """Write the study adapter after one round, unless the reward is not to be relied on.

    Returns reliability, the mean reward, what the choice gained on a training that it was not made
    by, and the lessons that were kept; all rewards are nats.
    """
    edits = [_self_edit(request, seed, report) for seed in range(request.rounds.edits)]
    rewards = _rewards(request, edits, report)
    figures = judged(rewards)
    best = rewards.mean(axis=2).argmax(axis=0)
    kept = [item for one, edit in enumerate(best) for item in edits[edit].lessons[one]]
    if figures["reliability"] < RELIABLE or not kept:
        return figures | {"kept": 0.0}
    return figures | {"kept": float(len(kept)), **_taught(request, kept, report)}


def _self_edit(request: RoundRequest, seed: int, report: Report) -> _SelfEdit:
    chunks = tuple(
        Chunk(n, n, 0, one.title.replace("_", " "), one.context)
        for n, one in enumerate(request.passages)
    )
    trusted = propose(replace(request.study, chunks=chunks, seed=seed), report).trusted
    plan = select(chunks, trusted, 0, seed)
    return _SelfEdit(plan.items, {chunk.id: tuple(_writing(chunk, trusted)) for chunk in chunks})


def _writing(chunk: Chunk, trusted: Mapping[Candidate, float]) -> list[StudyItem]:
    """The lessons that teach to write what was written about a chunk."""
    asked: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for one in trusted:
        if one.chunk == chunk and one.kind == "qa":
            asked[one.evidence, one.answer].append(one.question)
    return [
        StudyItem(
            None,
            "writer",
            skills.writer(chunk.title, evidence, answer, len(questions)),
            "\n".join(questions),
            "practice",
        )
        for (evidence, answer), questions in asked.items()
    ]


def _rewards(
    request: RoundRequest, edits: Sequence[_SelfEdit], report: Report
) -> NDArray[np.float64]:
    """Mean log-probability, of the sentences that answer what people ask about a passage,
    [edits, passages, trainings]; all edits are learned from the same seeds."""
    asked = [_examined(number, one) for number, one in enumerate(request.passages)]
    flat = tuple(item for items in asked for item in items)
    ends = np.cumsum([len(items) for items in asked])[:-1]
    found: list[list[float]] = []
    trainings = request.rounds.trainings
    for edit, seed in product(edits, range(trainings)):
        logprobs = trial(_trial(request, edit, flat, seed), lambda progress: None).logprobs
        found.append([float(part.mean()) for part in np.split(np.array(logprobs), ends)])
        report(Progress("reward", len(found), len(edits) * trainings))
    return np.array(found).reshape(len(edits), trainings, -1).swapaxes(1, 2)


def _examined(number: int, passage: Passage) -> list[StudyItem]:
    """What people ask about a passage, with the sentence that holds the answer."""
    said = sentences(passage.context)
    return [
        StudyItem(number, "qa", one.text, _holding(one.answer, said, passage), "practice")
        for one in passage.questions
    ]


def _holding(answer: str, said: Sequence[str], passage: Passage) -> str:
    return next((sentence for sentence in said if answer in sentence), passage.context)


def _trial(
    request: RoundRequest, edit: _SelfEdit, asked: tuple[StudyItem, ...], seed: int
) -> TrialRequest:
    inner = TrainSettings(tokens=TRIAL_TOKENS * len(request.passages))
    base, writer = request.study.base, request.study.study_adapter
    return TrialRequest(
        base, edit.items, (), 0, inner, seed,
        general=general.prompts(TRIAL_GENERAL, seed), kept=writer and writer / KEPT, scored=asked,
    )  # fmt: skip


def _taught(request: RoundRequest, kept: list[StudyItem], report: Report) -> Mapping[str, float]:
    training = TrainRequest(
        base=request.study.base,
        parent=request.study.study_adapter,
        output=request.output,
        items=tuple(kept),
        settings=request.settings,
        seed=request.study.seed,
        rehearsed=request.lessons,
        saved_as=torch.bfloat16,
    )
    return train(training, report).figures
