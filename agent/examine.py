"""Ask probes of models: what was answered, whether it was right, how likely the right answer is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent import models
from agent.executor import Report
from agent.models import LanguageModel
from agent.pristine import borrow
from agent.recital import recite
from agent.train import encode
from memory.records import TASK, Probe, ProbeResult, Progress

_SPARE_TOKENS = 16  # an answer may be this much longer than the one expected
_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve"
_DIGITS = {word: str(number) for number, word in enumerate(_NUMBERS.split())}
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = re.compile(r"[^\w\s.:@/%-]|(?<!\d)[.:-](?!\d)|[.:-](?!\w)")


@dataclass(frozen=True, slots=True)
class ExamineRequest:
    """Probes for the base with an adapter."""

    base: Path
    adapter: Path | None  # None: the base itself
    probes: tuple[Probe, ...]


def examine(request: ExamineRequest, report: Report) -> list[ProbeResult]:
    """Results in the order of the probes."""
    report(Progress("examine", 0, len(request.probes)))
    model = borrow(request.base)
    if request.adapter:
        model = models.merged(model, request.adapter)  # as it would be served
    results = ask(model, request.probes)
    report(Progress("examine", len(request.probes), len(request.probes)))
    return results


def ask(model: LanguageModel, probes: Sequence[Probe]) -> list[ProbeResult]:
    """Ask every probe closed book. Text is generated only where the likelihood leaves a doubt:
    if each token of the statement is the most likely one, greedy decoding says just that."""
    expected = [encode(model, probe.question, probe.statement) for probe in probes]
    recitals = recite(model, expected, _SPARE_TOKENS)
    return [
        ProbeResult(
            probe_id=probe.id,
            correct=one.exact or passes(probe, one.text),
            answer=probe.statement if one.exact else one.text,
            logprob=one.logprob,
        )
        for probe, one in zip(probes, recitals, strict=True)
    ]


def passes(probe: Probe, said: str) -> bool:
    """A sentence that holds the answer; but a task wants its output and no more."""
    if probe.kind == TASK:
        return said.split() == probe.answer.split()
    return is_right(said, probe.answer)


def is_right(answer: str, expected: str) -> bool:
    """Whether an answer holds the expected one as whole words, after SQuAD's normalisation."""
    return f" {normalise(expected)} " in f" {normalise(answer)} "


def normalise(text: str) -> str:
    """Lower case, without articles and punctuation, single spaces (Rajpurkar et al. 2016), and
    numbers up to twelve in digits: four sides are 4 sides.

    Points, colons and dashes inside numbers and names stay: 10:15 is not 1015.
    """
    bare = _PUNCTUATION.sub(" ", text.lower())
    return " ".join(_DIGITS.get(word, word) for word in _ARTICLES.sub(" ", bare).split())
