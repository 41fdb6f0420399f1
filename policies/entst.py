"""EntST with SimPLE (Ge et al., ACL 2023): is a question-answer pair entailed by its text?

Premise: the sentences that it is about; hypothesis: the pair. Without an encoder trained on
entailment the verdict comes from what the model at hand can tell: rules about numbers, names, units
and negation; how likely the answer is with the text open, beside the answer that the reader itself
would give, beside the same with the book closed, and beside another text of the batch. Verdicts are
cleaned by their neighbours. How well it tells true from false is measured on planted pairs.

Control: no verifier.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memory.records import Health
from policies import skills
from policies.base import Ask, Candidate, Policy, Scored, Tools
from policies.checks import Mismatch, mismatches
from policies.neighbours import clean
from policies.planting import auc, claim, planted

# Of a constant one and Signals.features: those that `learnd bench verify --n 100` found to fit the
# passages that the study adapter practised on (CHANGELOG.md).
WEIGHTS: Final = (0.67, 0.51, 0.08, 0.10, -2.25)
_ANSWER_TOKENS: Final = 16
_PLANTED: Final = 24  # pairs that tell what its verdicts are worth
_REJECTED: Final = 0.25  # support below which a pair is contradicted: most are true
_FLOOR: Final = -12.0  # nats a token: below, one is as unlikely as the other


@dataclass(frozen=True, slots=True)
class Signals:
    """What speaks for a pair. Log-probabilities of its answer, nats a token."""

    opened: float  # after its text
    closed: float  # without any
    strange: float  # after another text of the batch
    best: float  # of the answer that the reader gives, after its text
    against: frozenset[Mismatch]

    @property
    def features(self) -> tuple[float, ...]:
        """As WEIGHTS takes them, after the constant one."""
        return (
            self.opened - self.best,
            self.opened - self.closed,
            self.opened - self.strange,
            float(bool(self.against)),
        )


class EntailmentVerifier(Policy):
    name = "entst"
    role = "holds each question and answer against its text, and drops what that does not bear out"
    control = "no verifier"

    def __init__(self, cleans: bool = True) -> None:
        self._cleans = cleans
        self._health = Health(abstained="there was nothing to verify")

    def score(self, candidates: Sequence[Candidate], tools: Tools, seed: int) -> list[float]:
        """How far each written pair is entailed; 0 if it is contradicted. What was made by rule
        out of its own sentence is entailed by construction."""
        written = [one for one in candidates if one.kind not in {"text", "keywords", "cloze"}]
        if not written:
            return [1.0] * len(candidates)
        pairs = planted([one.chunk for one in written], _PLANTED, seed)
        controls = [one for pair in pairs for one in pair[1:]]
        told = [support(one) for one in signals([*written, *controls], tools, seed)]
        found, known = told[: len(written)], told[len(written) :]
        kept = verdicts(written, found, tools) if self._cleans else [p >= _REJECTED for p in found]
        self._health = _diagnosed(found, kept, known[::2], known[1::2])
        scores = {
            one: p if keep else 0.0 for one, p, keep in zip(written, found, kept, strict=True)
        }
        return [scores.get(one, 1.0) for one in candidates]

    def diagnose(self, candidates: Sequence[Candidate], trusted: Scored) -> Health:
        return self._health


def signals(candidates: Sequence[Candidate], tools: Tools, seed: int) -> list[Signals]:
    """What the rules and the model say of each; the strange text is one with another premise."""
    prompts = [_reading(one, one) for one in candidates]
    best = tools.generate([Ask(prompt, _ANSWER_TOKENS) for prompt in prompts], 0.0, seed)
    strangers = _strangers(candidates, random.Random(seed))
    lessons = [
        lesson
        for one, other, prompt, said in zip(candidates, strangers, prompts, best, strict=True)
        for lesson in (
            (prompt, one.answer),
            (one.question, one.answer),
            (_reading(one, other), one.answer),
            (prompt, said or skills.NOT_STATED),
        )
    ]
    likely = [max(value, _FLOOR) for value in tools.logprob(lessons)]
    opened, closed, strange, given = (likely[turn::4] for turn in range(4))
    against = map(_against, candidates)
    return list(map(Signals, opened, closed, strange, given, against))


def support(found: Signals, weights: Sequence[float] = WEIGHTS) -> float:
    """How likely the pair is entailed, 0 to 1; NaN if a signal is none."""
    constant, *others = weights
    odds = constant + math.fsum(a * b for a, b in zip(others, found.features, strict=True))
    return 1 / (1 + math.exp(-odds)) if odds > -700 else 0.0


def verdicts(candidates: Sequence[Candidate], found: Sequence[float], tools: Tools) -> list[bool]:
    """Whether each is kept, cleaned over the embeddings of the pair, its question, its answer."""
    likely = np.nan_to_num(np.array(found)) >= _REJECTED
    copies = [
        tools.embed([claim(one) for one in candidates]),
        tools.embed([one.question for one in candidates]),
        tools.embed([f"{one.answer}: {one.evidence}" for one in candidates]),
    ]
    seen: NDArray[np.float32] = np.stack(copies, axis=1)
    cleaned = clean(seen, np.repeat(likely[:, None], len(copies), axis=1), likely)
    return [bool(one) for one in cleaned]


def _reading(one: Candidate, other: Candidate) -> str:
    return skills.reader(other.chunk.title, other.evidence, one.question)


def _strangers(candidates: Sequence[Candidate], chance: random.Random) -> list[Candidate]:
    """For each one with another premise; itself if there is none."""
    premises = list({one.evidence: one for one in candidates}.values())

    def stranger(one: Candidate) -> Candidate:
        drawn = chance.sample(premises, min(2, len(premises)))
        return next((other for other in drawn if other.evidence != one.evidence), one)

    return [stranger(one) for one in candidates]


def _against(one: Candidate) -> frozenset[Mismatch]:
    return mismatches(f"{one.chunk.title}. {one.chunk.text}", one.question, one.answer)


def _diagnosed(
    found: Sequence[float],
    kept: Sequence[bool],
    right: Sequence[float],
    wrong: Sequence[float],
) -> Health:
    """Reliability: how much better than a coin it tells planted pairs from their twins."""
    told = auc(right, wrong)
    return Health(
        reliability=max(0.0, 2 * told - 1) if right else None,
        coverage=sum(kept) / len(kept),
        figures={
            "verified": float(len(found)),
            "rejected": float(len(kept) - sum(kept)),
            "planted": float(len(right)),
            "planted_auc": told,
        },
    )
