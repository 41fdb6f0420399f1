"""Autonomous Learning (Ji et al., Findings of ACL 2025): open book teaches closed book.

With the text before it the model writes questions; those that lead back to their own passage are
trained without the text. Simple form: no DPO stage, nothing is dropped as known already.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory.records import Chunk
from policies import forms, skills
from policies.base import Ask, Candidate, Policy, Tools
from policies.sentences import sentences
from policies.spans import Span, repeats, spans

_WORDINGS = 4  # written questions of each fact
_QUESTION_TOKENS = 15
_WARMTH = 0.7  # temperature
_NEAREST = 3  # passages, of which a question's own must be one
_RELATED = 0.3  # cosine that a question and its passage must have at least
_LEANS = re.compile(r"(?:It|Its|They|Their|He|His|She|Her|This|That|These|Those|Then|There)\b")


@dataclass(frozen=True, slots=True)
class Fact:
    """A span of a sentence of a chunk."""

    chunk: Chunk
    passage: str  # the sentence, with what is needed to understand it
    span: Span

    def asked(self, kind: str, question: str) -> Candidate:
        return Candidate(self.chunk, self.passage, kind, question, self.span.text, "al")


class AutonomousLearning(Policy):
    name = "al"
    role = "writes questions about every span and keeps those that lead back to their sentence"

    def propose(self, chunks: Sequence[Chunk], tools: Tools, seed: int) -> list[Candidate]:
        """Written questions for each fact, and what people type in haste."""
        known = [fact for chunk in chunks for fact in facts(chunk)]
        written = dict.fromkeys(_write(known, tools, seed))
        chance = random.Random(seed)
        return [*written, *(_by_rule(fact, chance) for fact in known)]

    def score(self, candidates: Sequence[Candidate], tools: Tools, seed: int) -> list[float]:
        """Round trip: a written question stays if it leads back to its own passage."""
        written = [one for one in candidates if one.kind == "qa"]
        found = dict(zip(written, _clarity(written, candidates, tools), strict=True))
        return [found.get(one, 1.0) for one in candidates]


def _clarity(
    written: Sequence[Candidate], candidates: Sequence[Candidate], tools: Tools
) -> list[float]:
    """How clearly each question means its own passage and no other of the batch: 1/2 where the
    nearest other one is as near, more by half of the lead; 0 if it is not among the nearest."""
    places = {place: i for i, place in enumerate(dict.fromkeys(map(_place, candidates)))}
    nearness = tools.embed([one.question for one in written]) @ tools.embed([*places]).T
    own = [places[_place(one)] for one in written]
    return [_lead(row, mine) for row, mine in zip(nearness, own, strict=True)]


def _lead(nearness: NDArray[np.float32], own: int) -> float:
    others = np.delete(nearness, own)
    rank = 1 + int((others > nearness[own]).sum())
    if nearness[own] < _RELATED or rank > _NEAREST:
        return 0.0
    return (1 + float(nearness[own] - others.max(initial=0))) / 2


def _place(one: Candidate) -> str:
    return f"{_topic(one.chunk)}: {one.evidence}"


def facts(chunk: Chunk) -> Iterator[Fact]:
    """Every span of every sentence of a chunk."""
    found = sentences(chunk.text)
    for before, sentence in zip(["", *found], found, strict=False):
        passage = _understandable(chunk, before, sentence)
        for span in spans(sentence):
            yield Fact(chunk, passage, span)


def _understandable(chunk: Chunk, before: str, sentence: str) -> str:
    """The sentence; if it leans on what it does not name, after the one before, or the heading."""
    if not _LEANS.match(sentence):
        return sentence
    if before and not _LEANS.match(before):
        return f"{before} {sentence}"
    return f"{_topic(chunk)}: {sentence}"


def _topic(chunk: Chunk) -> str:
    """The innermost heading."""
    return chunk.title.split(" > ")[-1]


def _by_rule(fact: Fact, chance: random.Random) -> Candidate:
    """What needs no writer."""
    hasty = forms.keywords(_topic(fact.chunk), fact.passage, fact.span, chance)
    return fact.asked("keywords", hasty)


def _write(known: Sequence[Fact], tools: Tools, seed: int) -> Iterator[Candidate]:
    asks = [
        Ask(
            skills.writer(fact.chunk.title, fact.passage, fact.span.text, _WORDINGS),
            _WORDINGS * _QUESTION_TOKENS,
        )
        for fact in known
    ]
    for fact, questions in zip(known, tools.generate(asks, _WARMTH, seed), strict=True):
        for question in questions.splitlines():
            if _sensible(question, fact):
                yield fact.asked("qa", question.strip())


def _sensible(question: str, fact: Fact) -> bool:
    """Of a question's length, and it does not give its answer away or repeat itself."""
    return (
        2 <= len(question.split()) <= 30
        and fact.span.text.lower() not in question.lower()
        and not repeats(question)
    )
