"""ALAS (Atreja 2025): what to study next, by topics, and a gate that guards each of them.

Topics are clusters of the chunks. How far one is mastered is how much less likely its sentences
are without the text than with it. What is mastered is only revised, in one phrasing of each fact;
the tokens go to the rest, the least known first. Taken over are the curriculum and the gate; not
the evaluation, which asked what had been trained: here nothing is in both; nor DPO (CHANGELOG.md).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import Final

from memory.records import Chunk, Health
from policies.base import Candidate, Model, Policy, Scored, Tools
from policies.clusters import clusters
from policies.selection import words

MASTERED: Final = 0.9
TOLERANCE: Final = 0.1  # of a guarded topic's probes that a promotion may lose
_ALIKE = 0.5  # mean cosine of chunks that are one topic
_LEAK = 0.95  # cosine from which a question gives away a probe


class Alas(Policy):
    name = "alas"
    role = "studies the least known topics first, only revises what is mastered, keeps probes apart"
    control = "as many questions, drawn at random"

    def __init__(self, plans: bool = True) -> None:
        self._plans = plans
        self._health = Health()

    def controlled(self) -> Policy:
        return Alas(plans=False)

    def select(self, trusted: Scored, tools: Tools, seed: int) -> Scored:
        """Without what gives a probe away, and of mastered topics one phrasing of each fact."""
        chunks = list(dict.fromkeys(one.chunk for one in trusted))
        if not chunks:
            self._health = Health(abstained="there is nothing to plan")
            return trusted
        topics = topics_of(chunks, tools)
        known = mastery(trusted, topics, tools)
        leaks = leaked(trusted, tools)
        kept = _planned([one for one in trusted if one not in leaks], topics, known)
        self._health = _diagnosed(chunks, topics, known, len(leaks))
        if not self._plans:
            kept = Random(seed).sample(list(trusted), len(kept))
        return {one: trusted[one] for one in kept}

    def guard(
        self,
        before: Mapping[int, bool],
        after: Mapping[int, bool],
        topics: Mapping[int, str],
    ) -> list[str]:
        """See promotable()."""
        return promotable(before, after, topics) if self._plans else []

    def diagnose(self, candidates: Sequence[Candidate], trusted: Scored) -> Health:
        return self._health


def topics_of(chunks: Sequence[Chunk], tools: Tools) -> dict[int, int]:
    """The topic of each chunk, by id."""
    found = clusters(tools.embed([f"{one.title}: {one.text}" for one in chunks]), _ALIKE)
    return {chunk.id: topic for chunk, topic in zip(chunks, found, strict=True)}


def mastery(trusted: Scored, topics: Mapping[int, int], tools: Tools) -> dict[int, float]:
    """How far each topic is known, 0 to 1: the mean, over its sentences, of the probability of a
    token as it is served, without the text, over that of the reader who has it. A topic that nobody
    asked about is not known."""
    asked = _clearest(trusted)
    closed = tools.logprob([(one.question, one.evidence) for one in asked], Model.SERVED)
    opened = tools.logprob([(f"{one.chunk.text}\n\n{one.question}", one.evidence) for one in asked])
    found: defaultdict[int, list[float]] = defaultdict(list)
    for one, without, given in zip(asked, closed, opened, strict=True):
        gap = without - given
        found[topics[one.chunk.id]].append(math.exp(min(0.0, gap)) if math.isfinite(gap) else 0.0)
    every = sorted(set(topics.values()))
    return {one: math.fsum(found[one]) / len(found[one]) if found[one] else 0.0 for one in every}


def leaked(trusted: Collection[Candidate], tools: Tools) -> set[Candidate]:
    """What would be trained though it gives a probe away: the same words, or nearly its meaning."""
    probes = [one for one in trusted if one.kind == "probe"]
    taught = [one for one in trusted if one.kind != "probe" and one.question]
    if not probes or not taught:
        return set()
    said = {words(one.question) for one in probes}
    near = (
        tools.embed([one.question for one in taught])
        @ tools.embed([one.question for one in probes]).T
    )
    pairs = zip(taught, near.max(axis=1), strict=True)
    return {one for one, cosine in pairs if words(one.question) in said or cosine >= _LEAK}


def promotable(
    before: Mapping[int, bool],
    after: Mapping[int, bool],
    topics: Mapping[int, str],
    tolerance: float = TOLERANCE,
) -> list[str]:
    """Why a candidate must not be promoted: a guarded topic that lost too many of its probes.

    before, after: probe -> whether it was right. topics: probe -> its topic; others are not
    guarded. One probe of a topic may always be lost: that is chance.
    """
    asked, lost = Counter[str](), Counter[str]()
    for probe, right in before.items():
        if probe in topics and probe in after:
            asked[topics[probe]] += 1
            lost[topics[probe]] += right - after[probe]
    return [
        f"topic {topic} lost {lost[topic]} of {count} probes, {tolerance:.0%} are tolerated"
        for topic, count in sorted(asked.items())
        if lost[topic] > max(1.0, tolerance * count)
    ]


def _clearest(trusted: Scored) -> list[Candidate]:
    """One written question of each sentence."""
    best: dict[tuple[int, str], Candidate] = {}
    for one, score in trusted.items():
        place = one.chunk.id, one.evidence
        if one.kind == "qa" and (place not in best or score > trusted[best[place]]):
            best[place] = one
    return list(best.values())


def _planned(
    trusted: Sequence[Candidate], topics: Mapping[int, int], known: Mapping[int, float]
) -> list[Candidate]:
    """In the order of study; two phrasings of a mastered fact, since one may examine it."""
    kept: list[Candidate] = []
    phrased: Counter[tuple[int, str, str]] = Counter()
    for one in sorted(trusted, key=lambda one: known[topics[one.chunk.id]]):
        fact = one.chunk.id, one.evidence, one.answer
        mastered = known[topics[one.chunk.id]] >= MASTERED
        phrased[fact] += 1
        if not mastered or one.kind == "probe" or phrased[fact] <= 2:
            kept.append(one)
    return kept


def _diagnosed(
    chunks: Sequence[Chunk], topics: Mapping[int, int], known: Mapping[int, float], leaks: int
) -> Health:
    sizes = Counter(topics.values())
    portions = [size / len(chunks) for size in sizes.values()]
    least = min(known, key=lambda topic: known[topic])
    title = next(one.title for one in chunks if topics[one.id] == least)
    return Health(
        entropy=math.fsum(one * math.log(1 / one) for one in portions),
        coverage=sum(one >= MASTERED for one in known.values()) / len(known),
        figures={
            "topics": float(len(known)),
            "mastered": float(sum(one >= MASTERED for one in known.values())),
            "mastery": math.fsum(known.values()) / len(known),
            "leaks": float(leaks),
        },
        notes=(f"next to study: {title} ({known[least]:.2f} known)",),
    )
