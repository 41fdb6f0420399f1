"""Autonomous Learning (Ji et al., Findings of ACL 2025): open book teaches closed book.

With the text before it the model writes questions, and answers them; what comes back as it went out
is trained without the text. Simple form: no DPO stage, nothing is dropped as known already.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memory.records import Chunk
from policies import forms, skills
from policies.base import Ask, Candidate, Policy, Tools
from policies.sentences import sentences
from policies.spans import Span, content_words, repeats, spans

_QUESTION_TOKENS = 22
_ANSWER_TOKENS = 10
_AGREED = 0.6
_WARMTH = 0.7  # temperature of the second phrasing
_TWICE = 2  # facts of a chunk that get a second one: some of those become probes
_HASTY = 2  # keyword questions of each fact
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
    role = "writes questions about every span and keeps those that it can answer from the text"

    def propose(self, chunks: Sequence[Chunk], tools: Tools, seed: int) -> list[Candidate]:
        """A written question for each fact, two for some, and what people type in haste."""
        known = [fact for chunk in chunks for fact in facts(chunk)]
        written = [
            *_write(known, tools, 0.0, seed),
            *_write(_some(known, seed), tools, _WARMTH, seed),
        ]
        chance = random.Random(seed)
        return [*dict.fromkeys(written), *(one for fact in known for one in _by_rule(fact, chance))]

    def score(self, candidates: Sequence[Candidate], tools: Tools, seed: int) -> list[float]:
        """Round trip: a written question stays if the reader finds its answer in the text."""
        doubtful = [one for one in candidates if one.kind == "qa"]
        asks = [
            Ask(skills.reader(one.chunk.title, one.evidence, one.question), _ANSWER_TOKENS)
            for one in doubtful
        ]
        answers = tools.generate(asks, 0.0, seed)
        trusted = {
            one: agreement(answer, one.answer)
            for one, answer in zip(doubtful, answers, strict=True)
        }
        return [trusted.get(one, 1.0) for one in candidates]


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


def _by_rule(fact: Fact, chance: random.Random) -> Iterator[Candidate]:
    """What needs no writer."""
    for _ in range(_HASTY):
        hasty = forms.keywords(_topic(fact.chunk), fact.passage, fact.span, chance)
        yield fact.asked("keywords", hasty)


def _some(known: Sequence[Fact], seed: int) -> list[Fact]:
    """A few facts of each chunk, by chance."""
    counts: Counter[int] = Counter()
    chosen = []
    for fact in random.Random(seed).sample(known, len(known)):
        counts[fact.chunk.id] += 1
        if counts[fact.chunk.id] <= _TWICE:
            chosen.append(fact)
    return chosen


def _write(
    known: Sequence[Fact], tools: Tools, temperature: float, seed: int
) -> Iterator[Candidate]:
    asks = [
        Ask(skills.writer(fact.chunk.title, fact.passage, fact.span.text), _QUESTION_TOKENS)
        for fact in known
    ]
    for fact, question in zip(known, tools.generate(asks, temperature, seed), strict=True):
        if _sensible(question, fact):
            yield fact.asked("qa", question)


def agreement(answer: str, expected: str) -> float:
    """F1 of the words that two answers share (Rajpurkar et al. 2016); below .6 it counts as 0."""
    one, other = (Counter(re.findall(r"\w+", text.lower())) for text in (answer, expected))
    common = (one & other).total()
    f1 = 2 * common / (one.total() + other.total()) if common else 0.0
    return f1 if f1 >= _AGREED else 0.0


def _sensible(question: str, fact: Fact) -> bool:
    """A question, of the right length, that does not give its answer away or lose its way."""
    return (
        question.endswith("?")
        and 3 <= len(question.split()) <= 30
        and fact.span.text.lower() not in question.lower()
        and not repeats(question)
        and bool(content_words(question) & content_words(f"{fact.chunk.title} {fact.passage}"))
    )
