"""Trusted candidates -> what is trained on, and what is asked: never the same question."""

import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from memory.records import Chunk, Probe, StudyItem
from policies.base import Candidate, StudyPlan
from policies.sentences import sentences

_Fact = tuple[int, str, str]  # chunk id, evidence, answer


def select(
    chunks: Sequence[Chunk], trusted: Sequence[Candidate], probes_per_chunk: int, seed: int
) -> StudyPlan:
    """Each fact is trained in every phrasing but one, which examines it if its chunk needs probes.

    The sentences themselves are trained too: without them the same questions are learned, but
    others are answered worse.
    """
    chance = random.Random(seed)
    facts = _by_fact(trusted)
    examined = _examined(facts, probes_per_chunk, chance)
    probes = [_probe(one) for one in examined.values()]
    taught = [one for fact in facts for one in facts[fact] if one is not examined.get(fact)]
    items = [*map(_item, taught), *(text for chunk in chunks for text in _texts(chunk))]
    return StudyPlan(tuple(items), tuple(probes), _health(chunks, facts, items, probes))


def words(question: str) -> frozenset[str]:
    """A question's words: two questions with the same ones are the same question."""
    return frozenset(re.findall(r"\w+", question.lower()))


def _by_fact(trusted: Sequence[Candidate]) -> dict[_Fact, list[Candidate]]:
    """Distinct phrasings of each fact; a question that is asked of two facts is ambiguous."""
    answers: defaultdict[frozenset[str], set[str]] = defaultdict(set)
    for one in trusted:
        answers[words(one.question)].add(one.answer)
    facts: defaultdict[_Fact, dict[frozenset[str], Candidate]] = defaultdict(dict)
    for one in trusted:
        if len(answers[words(one.question)]) == 1:
            facts[one.chunk.id, one.evidence, one.answer].setdefault(words(one.question), one)
    return {fact: list(group.values()) for fact, group in facts.items()}


def _examined(
    facts: Mapping[_Fact, Sequence[Candidate]], per_chunk: int, chance: random.Random
) -> dict[_Fact, Candidate]:
    """One written phrasing of some facts of each chunk: those that have another to be taught by."""
    chosen: dict[_Fact, Candidate] = {}
    counts: defaultdict[int, int] = defaultdict(int)
    for fact in chance.sample(list(facts), len(facts)):
        written = [one for one in facts[fact] if one.kind == "qa"]
        if len(written) > 1 and counts[fact[0]] < per_chunk:
            chosen[fact] = written[-1]
            counts[fact[0]] += 1
    return chosen


def _item(one: Candidate) -> StudyItem:
    return StudyItem(one.chunk.id, one.kind, one.question, one.answer, one.policy)


def _texts(chunk: Chunk) -> list[StudyItem]:
    """Each sentence under its title; a chunk without sentences as it stands."""
    return [
        StudyItem(chunk.id, "text", "", f"{chunk.title}: {text}", "al")
        for text in sentences(chunk.text) or [chunk.text]
    ]


def _probe(one: Candidate) -> Probe:
    return Probe(one.chunk.id, "paraphrase", one.question, one.answer)


def _health(
    chunks: Sequence[Chunk],
    facts: Mapping[_Fact, Sequence[Candidate]],
    items: Sequence[StudyItem],
    probes: Sequence[Probe],
) -> dict[str, float]:
    """What a person wants to know of a study set, as numbers."""
    written = sum(any(one.kind == "qa" for one in group) for group in facts.values())
    return {
        "chunks": len(chunks),
        "facts": len(facts),
        "facts_phrased": written,
        "items": len(items),
        "probes": len(probes),
    }
