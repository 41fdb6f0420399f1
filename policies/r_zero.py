"""R-Zero (Huang et al. 2025), grounded as in SPICE: the challenger sees the text, the solver not.

The challenger writes questions that only examine. The solver, which is what is served, answers
them closed book, several times: a question is worth most at the edge of what it can, and less the
more others are like it. The answer comes from the text, so no label decays. On a text that is new a
small model solves nothing; then the middle of the batch by log-probability is its edge.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memory.records import Chunk, Health
from policies import skills
from policies.al import Fact, facts, sensible
from policies.base import Ask, Candidate, Model, Policy, Scored, Tools
from policies.clusters import clusters, shares
from policies.reward import judged

BAND: Final = (0.2, 0.8)  # of the solver's success, within which a question is at its edge
_FACTS = 3  # of each chunk
_EACH = 4  # questions of each fact
_QUESTION_TOKENS = 15
_ANSWER_TOKENS = 48  # it may have learned to answer with whole sentences
_WARMTH = 1.0  # temperature of both
_ALIKE = 0.8  # mean cosine of questions that are a cluster
_LEAST = 0.01  # score of a question at the edge that is like all others


class RZero(Policy):
    name = "r_zero"
    role = "writes probes at the edge of what is known, each unlike the others"
    control = "the same writer, nothing selected"

    def __init__(self, selects: bool = True, samples: int = 6) -> None:
        self._selects = selects
        self._samples = samples  # answers of the solver to a question; an even number
        self._health = Health(abstained=None if selects else "it is the control")

    def controlled(self) -> Policy:
        return RZero(selects=False)

    def propose(self, chunks: Sequence[Chunk], tools: Tools, seed: int) -> list[Candidate]:
        """Questions about some facts of each chunk, which may only examine."""
        chance = Random(seed)
        drawn = [fact for chunk in chunks for fact in _drawn(list(facts(chunk)), chance)]
        asks = [Ask(_asking(fact), _EACH * _QUESTION_TOKENS) for fact in drawn]
        texts = tools.generate(asks, _WARMTH, seed)
        found = [one for pair in zip(drawn, texts, strict=True) for one in _questions(*pair)]
        return list(dict.fromkeys(found))

    def score(self, candidates: Sequence[Candidate], tools: Tools, seed: int) -> list[float]:
        """Its own questions by how near they lie to the edge; others are not its business."""
        own = [one for one in candidates if one.policy == self.name]
        if not self._selects:
            return [1.0] * len(candidates)
        if len(own) < 2:
            self._health = Health(abstained=f"{len(own)} questions are too few to choose from")
            return [1.0] * len(candidates)
        solved = self._solved(own, tools, seed)
        rated, by = (solved, "success") if _edge(solved).any() else (_rated(own, tools), "rank")
        found = clusters(tools.embed([one.question for one in own]), _ALIKE)
        scores = dict(zip(own, worth(rated.mean(axis=1), shares(found)), strict=True))
        self._health = _diagnosed(rated, found, by)
        return [scores.get(one, 1.0) for one in candidates]

    def diagnose(self, candidates: Sequence[Candidate], trusted: Scored) -> Health:
        return self._health

    def _solved(self, own: Sequence[Candidate], tools: Tools, seed: int) -> NDArray[np.float64]:
        """Shares of closed-book answers that hold the right one, [questions, halves]."""
        asks = [
            Ask(one.question, _ANSWER_TOKENS, Model.SERVED)
            for one in own
            for _ in range(self._samples)
        ]
        texts = tools.generate(asks, _WARMTH, seed + 1)
        right = [one.answer for one in own for _ in range(self._samples)]
        hits = [answer.lower() in text.lower() for text, answer in zip(texts, right, strict=True)]
        halves = np.array(hits, dtype=np.float64).reshape(len(own), 2, -1)
        return np.asarray(halves.mean(axis=2), np.float64)


def worth(success: NDArray[np.float64], share: Sequence[float]) -> list[float]:
    """1 - 2|p - 1/2|, less the share of all questions that are like it; 0 outside the band."""
    rewards = 1 - 2 * np.abs(success - 0.5) - np.array(share)
    kept = np.where(_within(success), np.maximum(rewards, _LEAST), 0.0)
    return [float(one) for one in kept]


def _within(success: NDArray[np.float64]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (success >= BAND[0]) & (success <= BAND[1])
    return inside


def _edge(rated: NDArray[np.float64]) -> NDArray[np.bool_]:
    return _within(rated.mean(axis=1))


def _rated(own: Sequence[Candidate], tools: Tools) -> NDArray[np.float64]:
    """Where each question stands in its batch by closed-book log-probability, 0 to 1: once of the
    sentence, once of the bare answer, [questions, 2]."""
    sentence = tools.logprob([(one.question, one.evidence) for one in own], Model.SERVED)
    bare = tools.logprob([(one.question, one.answer) for one in own], Model.SERVED)
    return np.stack([_ranks(sentence), _ranks(bare)], axis=1)


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """(rank + 1/2) / n, equals sharing theirs."""
    row = np.nan_to_num(np.array(values), nan=-np.inf, neginf=-np.inf)
    below = (row[:, None] > row[None]).sum(axis=1)
    equal = (row[:, None] == row[None]).sum(axis=1)
    ranks: NDArray[np.float64] = (below + equal / 2) / len(row)
    return ranks


def _diagnosed(rated: NDArray[np.float64], found: list[int], by: str) -> Health:
    success = rated.mean(axis=1)
    counts = np.array(list(Counter(found).values())) / len(found)
    return Health(
        reliability=judged(rated[:, None, :])["reliability"],
        entropy=float(-(counts * np.log(counts)).sum()),
        coverage=float(_within(success).mean()),
        figures={
            "questions": float(len(found)),
            "easy": float((success > BAND[1]).sum()),
            "edge": float(_within(success).sum()),
            "hard": float((success < BAND[0]).sum()),
            "cluster_share": math.fsum(shares(found)) / len(found),
        },
        notes=(f"difficulty by {by}",),
    )


def _drawn(known: list[Fact], chance: Random) -> list[Fact]:
    return chance.sample(known, min(_FACTS, len(known)))


def _asking(fact: Fact) -> str:
    return skills.writer(fact.chunk.title, fact.passage, fact.span.text, _EACH)


def _questions(fact: Fact, written: str) -> Iterator[Candidate]:
    for question in written.splitlines():
        if sensible(question, fact):
            yield Candidate(
                fact.chunk, fact.passage, "probe", question.strip(), fact.span.text, "r_zero"
            )
