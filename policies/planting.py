"""Pairs of question and answer that are true by construction, and the same made wrong: with them
whoever judges others can be measured, without labels, on the very documents at hand.

What is put in is taken from the same text where it has something of the kind: the other year, the
other name. Such a pair is the harder to tell from a true one.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from memory.records import Chunk
from policies.base import Candidate
from policies.checks import COUNTING, NEGATION, UNITS, numbers, stem, words
from policies.sentences import sentences
from policies.spans import Kind, Span, spans

_NAMED: Final = frozenset({Kind.NAME, Kind.PERSON})
_VERB: Final = re.compile(
    r"\b(?:is|are|was|were|did|does|do|has|have|had|can|could|will|would|must|may|should)\b"
)
_NUMBER: Final = re.compile(r"\d+(?:,\d{3})*")
GAP: Final = "____"

Corrupt = Callable[[Candidate, Sequence[Candidate], random.Random], Candidate | None]


def number(one: Candidate, others: Sequence[Candidate], chance: random.Random) -> Candidate | None:
    """Another number in the answer, else in the question."""

    def swapped(text: str) -> str | None:
        found = _NUMBER.search(text)
        if found is None:
            return None
        return _replaced(text, found, _other_number(found[0], one.chunk.text, chance))

    return _changed(one, swapped)


def entity(one: Candidate, others: Sequence[Candidate], chance: random.Random) -> Candidate | None:
    """Another name of the text in the answer, else in the question."""
    known = [span.text for sentence in sentences(one.chunk.text) for span in _named(sentence)]
    said = words(f"{one.question} {one.answer}")
    strange = [name for name in dict.fromkeys(known) if not words(name) & said]

    def swapped(text: str) -> str | None:
        named = _named(f": {text}" if text == one.answer else text)
        if not named or not strange:
            return None
        old = chance.choice(named).text
        return text.replace(old, chance.choice(strange), 1)

    return _changed(one, swapped)


def negation(
    one: Candidate, others: Sequence[Candidate], chance: random.Random
) -> Candidate | None:
    """The question negated, or a negation taken out of it."""
    denied = NEGATION.search(one.question)
    if denied is not None and denied[0] == "not":
        return replace(one, question=_replaced(one.question, denied, "").replace("  ", " "))
    verb = _VERB.search(one.question)
    if verb is None or denied is not None:
        return None
    return replace(one, question=_replaced(one.question, verb, f"{verb[0]} not"))


def unit(one: Candidate, others: Sequence[Candidate], chance: random.Random) -> Candidate | None:
    """Another unit of the same kind: minutes for seconds."""

    def swapped(text: str) -> str | None:
        for found in re.finditer(r"(?<=[\w.] )[a-zA-Z]+", text):
            old, before = stem(found[0].lower()), text[: found.start()].rsplit(maxsplit=1)[-1]
            group = next((group for group in UNITS if old in group), frozenset())
            if len(group) > 1 and (numbers(before) or before.lower() in COUNTING):
                plural = "s" if found[0].lower() != old else ""
                return _replaced(text, found, chance.choice(sorted(group - {old})) + plural)
        return None

    return _changed(one, swapped)


def elsewhere(
    one: Candidate, others: Sequence[Candidate], chance: random.Random
) -> Candidate | None:
    """The pair of another text, of the same title if there is one, held against this text."""
    strange = [other for other in others if other.chunk.id != one.chunk.id]
    near = [other for other in strange if other.chunk.title == one.chunk.title]
    return replace(chance.choice(near or strange), chunk=one.chunk) if strange else None


KINDS: Final[Mapping[str, Corrupt]] = {
    "number": number,
    "entity": entity,
    "negation": negation,
    "unit": unit,
    "elsewhere": elsewhere,
}


def planted(
    chunks: Sequence[Chunk], count: int, seed: int
) -> list[tuple[str, Candidate, Candidate]]:
    """(kind, true pair, the same made wrong), of each kind about as many, at most `count` in all.

    A true pair is a sentence with a gap, and what stood there.
    """
    chance = random.Random(seed)
    known = [one for chunk in dict.fromkeys(chunks) for one in _gapped(chunk)]
    chance.shuffle(known)
    found: list[tuple[str, Candidate, Candidate]] = []
    for turn, one in enumerate(known):
        kinds = list(KINDS)[turn % len(KINDS) :] + list(KINDS)[: turn % len(KINDS)]
        made = ((kind, KINDS[kind](one, known, chance)) for kind in kinds)
        kind, wrong = next(((kind, wrong) for kind, wrong in made if wrong), ("", None))
        if wrong is not None and len(found) < count:
            found.append((kind, one, wrong))
    return found


def claim(one: Candidate) -> str:
    """A question and its answer as one statement."""
    if GAP in one.question:
        return one.question.replace(GAP, one.answer)
    return f"{one.question} {one.answer}" if one.question else one.statement


def auc(right: Sequence[float], wrong: Sequence[float]) -> float:
    """Chance that a right one is rated higher than a wrong one; ties count half. 1/2 of nothing."""
    if not right or not wrong:
        return 0.5
    won = sum((one > other) + (one == other) / 2 for one in right for other in wrong)
    return won / (len(right) * len(wrong))


def _gapped(chunk: Chunk) -> list[Candidate]:
    """Each sentence once for every span that it has."""
    return [
        Candidate(
            chunk,
            sentence,
            "cloze",
            sentence[: span.start] + GAP + sentence[span.end :],
            span.text,
            "planted",
        )
        for sentence in sentences(chunk.text)
        for span in spans(sentence)
    ]


def _named(text: str) -> list[Span]:
    return [span for span in spans(text) if span.kind in _NAMED]


def _changed(one: Candidate, swapped: Callable[[str], str | None]) -> Candidate | None:
    answer = swapped(one.answer)
    if answer is not None:
        return replace(one, answer=answer)
    question = swapped(one.question)
    return None if question is None else replace(one, question=question)


def _other_number(old: str, text: str, chance: random.Random) -> str:
    """One of the text with as many digits, else one a little off."""
    value = int(old.replace(",", ""))
    alike = sorted(
        one for one in numbers(text) if len(one) == len(str(value)) and one not in {old, str(value)}
    )
    if alike:
        return chance.choice(alike)
    off = max(0, value + chance.choice((-1, 1)) * chance.randint(1, max(2, min(20, value // 10))))
    return f"{off if off != value else value + 1:{',' if ',' in old else ''}}"


def _replaced(text: str, found: re.Match[str], new: str) -> str:
    return text[: found.start()] + new + text[found.end() :]
