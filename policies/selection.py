"""Trusted candidates -> what is trained on, and what is asked: never the same question."""

import random
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from memory.records import Chunk, Probe, StudyItem
from policies.base import Candidate, StudyPlan
from policies.sentences import sentences
from policies.spans import spans

_Fact = tuple[int, str, str]  # chunk id, evidence, answer

# A question is answered with the whole sentence of the document, not with the bare fact: the words
# of a question lead to its sentence, and the sentence to the fact (recitation, Sun et al., ICLR
# 2023). With the bare fact half as many questions in other words were answered right: CHANGELOG.md.


def select(
    chunks: Sequence[Chunk],
    trusted: Mapping[Candidate, float],
    probes_per_chunk: int,
    seed: int,
    known: Collection[tuple[int, str]] = (),
    familiar: Collection[str] = (),
) -> StudyPlan:
    """Each fact is trained in every phrasing but one, which examines it if its chunk needs probes:
    the clearest, since what examines must be understood.

    Of what is known, as (chunk id, statement), nothing is taught or asked anew; what is familiar,
    since another document says it in the same words, examines where nothing else can. A candidate
    of kind "probe" examines or is left out. Texts that were written are trained, and sentences that
    no question leads to as they stand.
    """
    chance = random.Random(seed)
    asking = _by_fact([one for one in trusted if one.kind != "text"])
    facts = {fact: group for fact, group in asking.items() if fact[:2] not in known}
    examined = _examined(facts, trusted, probes_per_chunk, chance, familiar)
    probes = [_probe(one) for one in examined.values()]
    taught = [
        one
        for fact in facts
        for one in facts[fact]
        if one is not examined.get(fact) and one.kind != "probe"
    ]
    asked = dict.fromkeys(map(_item, taught))
    said = [*known, *((item.chunk_id, item.answer) for item in asked)]
    texts = [*_written(trusted), *(text for chunk in chunks for text in _texts(chunk, said))]
    items = [*asked, *{text.answer: text for text in reversed(texts)}.values()]
    return StudyPlan(tuple(items), tuple(probes), _health(chunks, facts, items, probes))


def coverage(chunks: Sequence[Chunk], items: Iterable[StudyItem]) -> float | None:
    """Share of the sentences that state something, which some written question of the items tests.

    None if no sentence does.
    """
    taught: defaultdict[int | None, list[str]] = defaultdict(list)
    for item in items:
        if item.kind == "qa":
            taught[item.chunk_id].append(item.answer)
    tested = [
        any(sentence in answer for answer in taught[chunk.id])
        for chunk in chunks
        for sentence in sentences(chunk.text)
        if spans(sentence)
    ]
    return sum(tested) / len(tested) if tested else None


def words(question: str) -> frozenset[str]:
    """A question's words: two questions with the same ones are the same question."""
    return frozenset(re.findall(r"\w+", question.lower()))


def _by_fact(trusted: Collection[Candidate]) -> dict[_Fact, list[Candidate]]:
    """Distinct phrasings of each fact; a question that leads to two sentences is ambiguous."""
    evidence: defaultdict[frozenset[str], set[str]] = defaultdict(set)
    for one in trusted:
        evidence[words(one.question)].add(one.evidence)
    facts: defaultdict[_Fact, dict[frozenset[str], Candidate]] = defaultdict(dict)
    for one in trusted:
        if len(evidence[words(one.question)]) == 1:
            facts[one.chunk.id, one.evidence, one.answer].setdefault(words(one.question), one)
    return {fact: list(group.values()) for fact, group in facts.items()}


def _examined(
    facts: Mapping[_Fact, Sequence[Candidate]],
    clarity: Mapping[Candidate, float],
    per_chunk: int,
    chance: random.Random,
    familiar: Collection[str],
) -> dict[_Fact, Candidate]:
    """The clearest phrasing of the clearest facts of each chunk, if there is another one
    to teach the fact by; what was written to examine comes first, what is familiar last."""
    chosen: dict[_Fact, Candidate] = {}
    counts: defaultdict[int, int] = defaultdict(int)
    clearest = _clearest(facts, clarity, chance)
    for fact, one in sorted(clearest, key=lambda pair: pair[0][1] in familiar):
        if counts[fact[0]] < per_chunk:
            chosen[fact] = one
            counts[fact[0]] += 1
    return chosen


def _clearest(
    facts: Mapping[_Fact, Sequence[Candidate]],
    clarity: Mapping[Candidate, float],
    chance: random.Random,
) -> list[tuple[_Fact, Candidate]]:
    """Facts with more than one phrasing, and the clearest; equals in random order. What was made
    by rule examines only where nothing was written."""

    def rank(one: Candidate) -> tuple[bool, bool, float]:
        return one.kind == "probe", one.kind == "qa", clarity[one]

    found = []
    for fact in chance.sample(list(facts), len(facts)):
        taught = [one for one in facts[fact] if one.kind != "probe"]
        probes = [one for one in facts[fact] if one.kind == "probe"]
        written = [one for one in taught if one.kind == "qa"]
        phrasings = written or taught
        if len(phrasings) > 1 or (probes and taught):
            choice = probes or phrasings
            found.append((fact, max(chance.sample(choice, len(choice)), key=rank)))
    return sorted(found, key=lambda pair: rank(pair[1]), reverse=True)


def _item(one: Candidate) -> StudyItem:
    return StudyItem(one.chunk.id, one.kind, one.question, one.statement, one.policy)


def _written(trusted: Iterable[Candidate]) -> list[StudyItem]:
    """The texts among the candidates, under their titles; in the same words only once."""
    texts = {(one.chunk.id, words(one.said)): one for one in trusted if one.kind == "text"}
    return [
        StudyItem(one.chunk.id, "text", "", f"{one.chunk.title}: {one.said}", one.policy)
        for one in texts.values()
    ]


def _texts(chunk: Chunk, said: Iterable[tuple[int | None, str]]) -> list[StudyItem]:
    """What nothing else teaches, as (chunk id, statement)."""
    taught = [statement for number, statement in said if number == chunk.id]
    return [StudyItem(chunk.id, "text", "", text, "al") for text in standing(chunk, taught)]


def standing(chunk: Chunk, taught: Collection[str]) -> list[str]:
    """Under their title, the sentences that stand in nothing that is taught; a chunk without any as
    it stands."""
    found = sentences(chunk.text) or [chunk.text]
    left = [one for one in found if not any(one in statement for statement in taught)]
    return [f"{chunk.title}: {one}" for one in left]


def _probe(one: Candidate) -> Probe:
    return Probe(one.chunk.id, "paraphrase", one.question, one.answer, one.evidence)


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
