"""Teach a model to study: warm start by imitation of people's questions about texts, then rounds of
SEAL's outer loop (outer_loop.py).

The skills are taught together; one alone destroys the others (reading fell from F1 .61 to .11). The
result is a study adapter. It holds no document's facts, only the skill.
"""

import random
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import torch

from agent import general, models
from agent.executor import Report
from agent.outer_loop import RoundRequest, Rounds, improve
from agent.passages import Passage, read_passages
from agent.rehearsal import KEPT, keep, recall
from agent.settings import PipelineSettings, TrainSettings
from agent.study import StudyRequest
from agent.train import Trained, TrainRequest, adapted, train
from memory.errors import BadInput
from memory.records import StudyItem
from policies.sentences import sentences
from policies.skills import NOT_STATED, reader, writer

_UNANSWERABLE = 0.15  # share of reader items whose text does not hold the answer
_ASKED_LEAST = 3  # questions of a passage that a round writes about: fewer say little
_REHEARSED = 200  # lessons of the warm start beside what a round teaches
_RECIPE: Final = TrainSettings(
    rank=16,
    alpha=32,
    frozen_share=0.0,
    learning_rate=8e-4,
    epochs=1,
    batch_tokens=512,
    lead_weight=1.0,
)


@dataclass(frozen=True, slots=True)
class PracticeRequest:
    """What to teach with, and the empty directory for the study adapter."""

    base: Path  # the model as published
    data: tuple[Path, ...]
    output: Path
    writers: int  # lessons in writing out of each file, at most
    readers: int  # lessons in reading out of each file, at most
    seed: int = 0
    start: Path | None = None  # a study adapter to go on from, instead of the warm start
    rounds: Rounds = field(default_factory=Rounds)


def practise(request: PracticeRequest, report: Report) -> Mapping[str, float]:
    """Write a study adapter and its card; returns what was measured on the way.

    Raises BadInput, TrainingDiverged.
    """
    passages = [read_passages(path) for path in request.data]
    drawn = _drawn(request, [one for part in passages for one in part])
    items = [one for part in passages for one in _lessons(request, part)]
    if request.start is None:
        figures = dict(_warm_start(request, items, report).figures)
    else:
        figures = {}
        shutil.copytree(request.start, request.output, dirs_exist_ok=True)
    if not (request.output / KEPT).exists():
        _keep_general_knowledge(request)
    figures |= _rounds(request, drawn, items, report)
    (request.output / "README.md").write_text(_card(request, figures))
    return figures


def _lessons(request: PracticeRequest, passages: Sequence[Passage]) -> list[StudyItem]:
    return lessons(passages, request.writers, request.readers, request.seed)


def _warm_start(request: PracticeRequest, items: Sequence[StudyItem], report: Report) -> Trained:
    """Both skills in one pass."""
    training = TrainRequest(
        base=request.base,
        parent=None,
        output=request.output,
        items=tuple(items),
        settings=_RECIPE,
        seed=request.seed,
        saved_as=torch.bfloat16,  # half the bytes to ship
    )
    return train(training, report)


def _drawn(request: PracticeRequest, passages: Sequence[Passage]) -> list[Passage]:
    """The passages of all rounds. Raises BadInput if there is not one a round."""
    asked = [one for one in passages if len(one.questions) >= _ASKED_LEAST]
    wanted = request.rounds
    if len(asked) < wanted.count:
        raise BadInput(
            f"{wanted.count} rounds need as many passages with {_ASKED_LEAST} questions or more; "
            f"the data hold {len(asked)}"
        )
    count = min(len(asked), wanted.count * wanted.passages)
    return random.Random(request.seed).sample(asked, count)


def _rounds(
    request: PracticeRequest,
    drawn: Sequence[Passage],
    lessons: Sequence[StudyItem],
    report: Report,
) -> dict[str, float]:
    """Each round writes about other passages; what it teaches replaces the adapter."""
    chance, wanted = random.Random(request.seed), request.rounds
    rehearsed = tuple(chance.sample(lessons, min(len(lessons), _REHEARSED)))
    figures: dict[str, float] = {}
    for number in range(wanted.count):
        part = tuple(drawn[number :: wanted.count])
        with TemporaryDirectory(prefix="learnd-round-") as name:
            output = Path(name)
            study = _study(request)
            found = improve(RoundRequest(study, part, wanted, _RECIPE, rehearsed, output), report)
            shutil.copytree(output, request.output, dirs_exist_ok=True)
        figures |= {f"round {number + 1}: {key}": value for key, value in found.items()}
    return figures


def _study(request: PracticeRequest) -> StudyRequest:
    """How the present study adapter writes."""
    settings, adapter = PipelineSettings(), request.output
    pipeline = settings.study.pipeline
    return StudyRequest(request.base, adapter, settings.embedder, (), pipeline, 0, request.seed)


def _keep_general_knowledge(request: PracticeRequest) -> None:
    """What the base says to all general questions, so that no training has to ask it again."""
    model = models.load(request.base)
    prompts = general.prompts(sys.maxsize, request.seed)
    said = recall(model, adapted(model, None, TrainSettings()), prompts)
    keep(prompts, said, request.output / KEPT)


def _card(request: PracticeRequest, figures: Mapping[str, float]) -> str:
    lines = "\n".join(f"- {name}: {value:.4g}" for name, value in figures.items())
    names = " ".join(path.name for path in request.data)
    rounds = f"--rounds {request.rounds.count}"
    if request.start:
        rounds += f" --start {request.start.name}"
    return (
        f"# Study adapter for {request.base.name}\n\n"
        "A LoRA adapter (safetensors, bfloat16) that teaches a model to write questions about a "
        "text and to answer them from it. It holds the skill, not facts.\n\n"
        f"Made by `learnd practice {names} DIR --writers {request.writers} "
        f"--readers {request.readers} {rounds}`, seed {request.seed}.\n\n"
        f"{lines}\n\n"
        f"Its licence follows that of the passages in {names}.\n"
    )


def lessons(passages: Sequence[Passage], writers: int, readers: int, seed: int) -> list[StudyItem]:
    """Study items that teach the skills: so many of each, fewer if the passages hold fewer."""
    chance = random.Random(seed)
    facts = [fact for passage in passages for fact in _facts(passage, chance)]
    chance.shuffle(facts)
    written = [_writing(fact) for fact in facts[:writers]]
    read = [_reading(fact, facts, chance) for fact in facts[-readers:]] if readers else []
    return written + read


@dataclass(frozen=True, slots=True)
class _Fact:
    """What one sentence says, and how people ask for it."""

    title: str
    text: str  # the sentence, perhaps after the one before
    answer: str
    questions: tuple[str, ...]  # all with this answer


def _facts(passage: Passage, chance: random.Random) -> Iterator[_Fact]:
    """The answers of a passage, half of them with the sentence before theirs."""
    found = sentences(passage.context)
    asked: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
    for one in passage.questions:
        at = next((i for i, sentence in enumerate(found) if one.answer in sentence), None)
        if at is not None:
            asked[at, one.answer.strip(" .")].append(one.text.strip())
    for (at, answer), questions in asked.items():
        text = " ".join(found[max(0, at - chance.randrange(2)) : at + 1])
        yield _Fact(passage.title.replace("_", " "), text, answer, tuple(questions))


def _writing(fact: _Fact) -> StudyItem:
    prompt = writer(fact.title, fact.text, fact.answer, len(fact.questions))
    return StudyItem(None, "writer", prompt, "\n".join(fact.questions), "practice")


def _reading(fact: _Fact, facts: Sequence[_Fact], chance: random.Random) -> StudyItem:
    text, answer = fact.text, fact.answer
    if chance.random() < _UNANSWERABLE:
        text, answer = _elsewhere(fact, facts, chance), NOT_STATED
    prompt = reader(fact.title, text, chance.choice(fact.questions))
    return StudyItem(None, "reader", prompt, answer, "practice")


def _elsewhere(fact: _Fact, facts: Sequence[_Fact], chance: random.Random) -> str:
    """A text of the same title, if there is one, that does not hold the answer."""
    others = [other for other in facts if fact.answer not in other.text]
    same = [other for other in others if other.title == fact.title]
    return chance.choice(same or others).text
