"""Autonomous Learning (Ji et al., Findings of ACL 2025): open book teaches closed book.

With the text before it the model writes questions; those that lead back to their own passage are
trained without the text. Then nothing is left for its second stage, DPO: CHANGELOG.md. What the
documents said before is no candidate (agent/novelty.py).
"""

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from memory.records import Chunk
from policies import checks, forms, skills
from policies.base import Ask, Candidate, Policy, Tools
from policies.sentences import sentences
from policies.spans import Span, repeats, spans

_WORDINGS = 16  # written questions of each sentence: with few, it is not remembered
_EACH = (4, 10)  # of each fact, at least and at most
_LEAST = 8  # questions of each sentence, filled up by rule where fewer were written
_QUESTION_TOKENS = 15
_WARMTH = 0.4  # temperature: at .7 fewer questions lead to their sentence, and fewer are right
_TURNS = 2  # times that each fact is asked about: the writer stops after five questions
_NEAREST = 3  # passages, of which a question's own must be one
_RELATED = 0.3  # cosine that a question and its passage must have at least
_EVIDENT = 0.4  # what a written question must reach to be kept, see _evident()
_WRITTEN = ("qa", "probe")  # questions by a model, which may mean another passage
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
    role = "writes questions about every span and keeps those that lead to their sentence"
    control = "plain training on the text"

    def propose(self, chunks: Sequence[Chunk], tools: Tools, seed: int) -> list[Candidate]:
        """Written questions that lead to their sentence, and what people type in haste: more of it
        where nothing was written, so that something can examine."""
        known = _distinct(fact for chunk in chunks for fact in facts(chunk))
        written = _answered(list(dict.fromkeys(_write(known, tools, seed))), known, tools)
        return [*written, *_hasty(known, written, random.Random(seed))]

    def score(self, candidates: Sequence[Candidate], tools: Tools, seed: int) -> list[float]:
        """Round trip: a written question stays if it leads to its own passage."""
        written = [one for one in candidates if one.kind in _WRITTEN]
        asked = [one for one in candidates if one.kind != "text"]
        places = list(dict.fromkeys(map(_place, asked)))
        rows = _nearness(written, places, tools)
        own = [places.index(_place(one)) for one in written]
        pairs = zip(rows, own, strict=True)
        found = dict(zip(written, [_clarity(row, mine) for row, mine in pairs], strict=True))
        return [found.get(one, 1.0) for one in candidates]


def _bare(known: Iterable[Fact]) -> Iterator[Candidate]:
    """Facts without a question."""
    return (fact.asked("", "") for fact in known)


def _distinct(known: Iterable[Fact]) -> list[Fact]:
    """What several chunks say in the same words under the same heading is asked about once."""
    found: dict[tuple[str, str], Fact] = {}
    for fact in known:
        one = fact.asked("", "")
        found.setdefault((_place(one), one.answer), fact)
    return list(found.values())


def _answered(written: Sequence[Candidate], known: Sequence[Fact], tools: Tools) -> list[Candidate]:
    """The questions that their own passage seems to answer, the most evident of each passage: half
    of what a small writer asks has no answer there."""
    number = {place: i for i, place in enumerate(dict.fromkeys(map(_place, _bare(known))))}
    rows = _nearness(written, list(number), tools)
    evident = {
        one: _evident(one, row, number[_place(one)])
        for one, row in zip(written, rows, strict=True)
        if row.max() >= _RELATED and row.argmax() == number[_place(one)]
    }
    counts = Counter[str]()
    kept = []
    for one in sorted(evident, key=evident.__getitem__, reverse=True):
        counts[_place(one)] += 1
        if evident[one] >= _EVIDENT and counts[_place(one)] <= _WORDINGS:
            kept.append(one)
    return kept


def _evident(one: Candidate, nearness: NDArray[np.float32], own: int) -> float:
    """Share of the question's words that stand in its passage, and twice its lead."""
    asked = checks.words(one.question)
    return len(asked & checks.words(_place(one))) / max(1, len(asked)) + 2 * _lead(nearness, own)


def _nearness(
    questions: Sequence[Candidate], places: Sequence[str], tools: Tools
) -> NDArray[np.float32]:
    """Cosines [questions, places]."""
    cosines: NDArray[np.float32] = (
        tools.embed([one.question for one in questions]) @ tools.embed(places).T
    )
    return cosines


def _clarity(nearness: NDArray[np.float32], own: int) -> float:
    """How clearly a question means its own passage and no other: 1/2 where the nearest other one is
    as near, more by half of the lead; 0 if it is not among the nearest."""
    rank = 1 + int((nearness > nearness[own]).sum())
    if nearness[own] < _RELATED or rank > _NEAREST:
        return 0.0
    return (1 + _lead(nearness, own)) / 2


def _lead(nearness: NDArray[np.float32], own: int) -> float:
    """How much nearer a question is to its own passage than to any other."""
    return float(nearness[own] - np.delete(nearness, own).max(initial=0))


def _place(one: Candidate) -> str:
    return f"{_topic(one.chunk)}: {one.evidence}"


def _fact(one: Candidate) -> tuple[int, str, str]:
    return one.chunk.id, one.evidence, one.answer


def facts(chunk: Chunk) -> Iterator[Fact]:
    """Every span of every sentence of a chunk."""
    found = sentences(chunk.text)
    for before, sentence in zip(["", *found], found, strict=False):
        passage = _understandable(chunk, before, sentence)
        for span in spans(sentence):
            yield Fact(chunk, passage, span)


def statements(chunk: Chunk) -> set[str]:
    """What is said of its facts: what study items about it are answered with."""
    return {fact.passage for fact in facts(chunk)}


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


def _hasty(
    known: Sequence[Fact], written: Sequence[Candidate], chance: random.Random
) -> Iterator[Candidate]:
    """What needs no writer: about every fact a question, two where nobody wrote one, so that one
    can examine, and more until each sentence has enough."""
    asked = Counter(map(_place, written))
    phrased = set(map(_fact, written))
    by_sentence: defaultdict[str, list[Fact]] = defaultdict(list)
    for fact in known:
        by_sentence[_place(fact.asked("", ""))].append(fact)
    for place, group in by_sentence.items():
        group.sort(key=lambda fact: _fact(fact.asked("", "")) in phrased)
        alone = sum(_fact(fact.asked("", "")) not in phrased for fact in group)
        count = max(len(group) + alone, _LEAST - asked[place])
        for fact in islice(cycle(group), count):
            hasty = forms.keywords(_topic(fact.chunk), fact.passage, fact.span, chance)
            yield fact.asked("keywords", hasty)


def _write(known: Sequence[Fact], tools: Tools, seed: int) -> Iterator[Candidate]:
    beside = Counter((fact.chunk.id, fact.passage) for fact in known)
    asked = [fact for fact in known for _ in range(_TURNS)]
    asks = [_asking(fact, beside[fact.chunk.id, fact.passage]) for fact in asked]
    for fact, questions in zip(asked, tools.generate(asks, _WARMTH, seed), strict=True):
        for question in questions.splitlines():
            if sensible(question, fact):
                yield fact.asked("qa", question.strip())


def _asking(fact: Fact, facts: int) -> Ask:
    """The prompt for one of so many facts of a sentence."""
    least, most = _EACH
    count = min(most, max(least, math.ceil(_WORDINGS / facts)))
    prompt = skills.writer(fact.chunk.title, fact.passage, fact.span.text, count)
    return Ask(prompt, count * _QUESTION_TOKENS)


def sensible(question: str, fact: Fact) -> bool:
    """Of a question's length, and it does not give its answer away or repeat itself."""
    return (
        2 <= len(question.split()) <= 30
        and fact.span.text.lower() not in question.lower()
        and not repeats(question)
    )
