"""LMSI (Huang et al., EMNLP 2023): several sampled answers vote, and what they agree on is taught.

Here with the book open: the votes are read from the sentences that a question is about, and the
share that agrees with its answer is how far it is trusted. Each fact is also put in four formats:
question, statement, gap, and the statement before its answer. Votes show agreement, not truth.

Control: one format, every question trusted alike.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from memory.records import Health
from policies import skills
from policies.base import Ask, Candidate, Policy, Scored, Tools
from policies.checks import numbers, words
from policies.planting import GAP, auc, planted

_VOTES: Final = 5  # sampled answers to a question; the paper draws 32, and finds 15 nearly as good
_WARMTH: Final = 0.7  # temperature, as there
_ANSWER_TOKENS: Final = 12
_ALIKE: Final = 0.5  # F1 of the words of two answers that are the same one
_LEAST: Final = 0.05  # trust in what no vote agrees with: a small reader errs more than it lies
_PLANTED: Final = 24  # pairs that tell what the votes are worth
_EMPTY: Final = frozenset({"a", "an", "the", "in", "on", "at", "of", "by", "to", "it", "is"})


class SelfImprovement(Policy):
    name = "lmsi"
    role = "open-book answers vote on each question; a fact is put in four formats"
    control = "one format, no vote"

    def __init__(self, votes: int = _VOTES, formats: bool = True) -> None:
        self._votes = votes  # 0: none are asked for
        self._formats = formats
        self._health = Health(abstained="nothing was judged")

    def controlled(self) -> Policy:
        return Policy()

    def diversify(
        self, candidates: Sequence[Candidate], tools: Tools, seed: int
    ) -> list[Candidate]:
        """With each fact, once, as a statement, a gap, and the statement before the answer."""
        return [*candidates, *(_formats(candidates) if self._formats else ())]

    def score(self, candidates: Sequence[Candidate], tools: Tools, seed: int) -> list[float]:
        """Share of the open-book answers that agree; only what was written as a question is asked,
        the rest is grounded by construction."""
        asked = [one for one in candidates if one.kind in {"qa", "probe"}]
        if not asked or not self._votes:
            return [1.0] * len(candidates)
        votes = agreement(asked, self._votes, tools, seed)
        pairs = planted([one.chunk for one in asked], _PLANTED, seed)
        controls = [true for _, true, _ in pairs], [wrong for _, _, wrong in pairs]
        told = [agreement(each, self._votes, tools, seed + 1) for each in controls]
        self._health = _diagnosed(votes, told[0], told[1])
        found = dict(zip(asked, votes, strict=True))
        return [max(_LEAST, found.get(one, 1.0)) for one in candidates]

    def diagnose(self, candidates: Sequence[Candidate], trusted: Scored) -> Health:
        return self._health


def agreement(candidates: Sequence[Candidate], votes: int, tools: Tools, seed: int) -> list[float]:
    """Of so many sampled open-book answers to each, the share that agrees with its own."""
    asks = [
        Ask(skills.reader(one.chunk.title, one.evidence, one.question), _ANSWER_TOKENS)
        for one in candidates
        for _ in range(votes)
    ]
    said = tools.generate(asks, _WARMTH, seed)
    each = [said[start : start + votes] for start in range(0, len(said), votes)]
    return [
        sum(agrees(answer, one.answer) for answer in answers) / votes
        for one, answers in zip(candidates, each, strict=True)
    ]


def agrees(answer: str, expected: str) -> bool:
    """Whether two short answers say the same: the same numbers, most of the same words."""
    if numbers(answer) != numbers(expected):
        return False
    one, other = map(_telling, (answer, expected))
    if not one or not other:
        return bool(numbers(answer))
    return 2 * len(one & other) / (len(one) + len(other)) >= _ALIKE


def _telling(answer: str) -> frozenset[str]:
    """Its words that are neither numbers nor empty."""
    return frozenset(word for word in words(answer) if not numbers(word)) - _EMPTY


def _formats(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """Each fact three times more."""
    facts = {
        (one.chunk.id, one.evidence, one.answer): one for one in reversed(candidates) if one.answer
    }
    for one in reversed(facts.values()):
        own = replace(one, policy="lmsi")
        if one.answer in one.evidence:
            gap = one.evidence.replace(one.answer, GAP, 1)
            yield replace(own, kind="cloze", question=f"{one.chunk.title}: {gap}")
        if one.kind == "qa":
            said = f"{one.evidence} So the answer is {one.answer}."
            yield replace(own, kind="rationale", said=said)
        yield replace(own, kind="text", question="", answer="", said=one.evidence)


def _diagnosed(votes: Sequence[float], right: Sequence[float], wrong: Sequence[float]) -> Health:
    """Reliability: how much better than a coin the votes tell planted pairs from their twins."""
    spread = Counter(votes)
    return Health(
        reliability=max(0.0, 2 * auc(right, wrong) - 1) if right else None,
        coverage=sum(share > 0 for share in votes) / len(votes),
        figures={
            "asked": float(len(votes)),
            "agreement": sum(votes) / len(votes),
            "unanimous": spread[1.0] / len(votes),
            "planted": float(len(right)),
            "planted_auc": auc(right, wrong),
        },
    )
