"""What is measured and thrown away: a throw-away adapter that is asked once, and plain answers.

Every reply comes with what it cost, so that rivals can be compared. Works in the child.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from agent import models
from agent.executor import Report
from agent.generate import generate
from agent.models import LanguageModel, question_tokens
from agent.pristine import borrow
from agent.prompts import Asked
from agent.settings import TrainSettings
from agent.train import TrainRequest, encode, scores, train
from memory.records import Progress, StudyItem


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """What to train on, and what to ask closed book afterwards."""

    base: Path
    items: tuple[StudyItem, ...]  # none: nothing is trained, the base itself answers
    questions: tuple[str, ...]
    most: int  # tokens of an answer
    settings: TrainSettings
    seed: int
    general: tuple[str, ...] = ()
    kept: Path | None = None  # what the base answers to them, see rehearsal.py
    control: tuple[str, ...] = ()  # questions about something else, to see what was lost
    scored: tuple[StudyItem, ...] = ()  # how likely are their answers?


@dataclass(frozen=True, slots=True)
class Replies:
    """Answers that were given together, in the order of their prompts."""

    texts: tuple[str, ...]
    prompt_tokens: int  # of all prompts
    seconds: float  # for all answers, the model being loaded


@dataclass(frozen=True, slots=True)
class Trial:
    """What an adapter answered, and what it cost to train."""

    replies: Replies
    seconds: float  # of training, with loading the model
    tokens: int  # trained on, in all epochs
    control: tuple[str, ...] = ()  # answers to the control questions
    logprobs: tuple[float, ...] = ()  # of the scored items, mean of an answer's tokens, nats


@dataclass(frozen=True, slots=True)
class RespondRequest:
    """Prompts for the base, or for the base with a study adapter."""

    base: Path
    adapter: Path | None
    batches: tuple[tuple[str, ...], ...]  # prompts that are answered together
    most: int
    temperature: float = 0.0
    seed: int = 0


def trial(request: TrialRequest, report: Report) -> Trial:
    """Train an adapter, ask it, and delete it. Raises TrainingDiverged."""
    if not request.items:
        return _answered(request, _load(request.base, None), 0.0, 0)
    with TemporaryDirectory(prefix="learnd-trial-") as name:
        output = Path(name)
        started = time.monotonic()
        trained = train(_training(request, output), report)
        seconds = time.monotonic() - started
        model = _load(request.base, output)  # merged, as it would be served
    return _answered(request, model, seconds, int(trained.figures["tokens"]))


def _answered(request: TrialRequest, model: LanguageModel, seconds: float, tokens: int) -> Trial:
    replies = _replies(model, request.questions, request.most)
    control = _replies(model, request.control, request.most)
    asked = [encode(model, item.prompt, item.answer) for item in request.scored]
    found = scores(model.network, asked, model.device) if asked else []
    return Trial(replies, seconds, tokens, control.texts, tuple(logprob for logprob, _ in found))


def respond(request: RespondRequest, report: Report) -> list[Replies]:
    """Answer every batch of prompts; greedy at temperature 0."""
    model = _load(request.base, request.adapter)
    replies: list[Replies] = []
    for batch in request.batches:
        one = _replies(model, batch, request.most, request.temperature, request.seed)
        replies.append(one)
        report(Progress("respond", len(replies), len(request.batches)))
    return replies


def _load(base: Path, adapter: Path | None) -> LanguageModel:
    model = borrow(base)
    return models.merged(model, adapter) if adapter else model


def _training(request: TrialRequest, output: Path) -> TrainRequest:
    return TrainRequest(
        base=request.base,
        parent=None,
        output=output,
        items=request.items,
        settings=request.settings,
        seed=request.seed,
        general=request.general,
        kept=request.kept,
    )


def _replies(
    model: LanguageModel,
    prompts: Sequence[str],
    most: int,
    temperature: float = 0.0,
    seed: int = 0,
) -> Replies:
    asked = [Asked(tuple(question_tokens(model.tokenizer, one)), most) for one in prompts]
    started = time.monotonic()
    texts = generate(model, model.network, asked, temperature, seed)
    seconds = time.monotonic() - started
    return Replies(tuple(texts), sum(len(one.tokens) for one in asked), seconds)
