"""What a policy is: pure decisions about what to study and what to ask.

In a pipeline each policy proposes, then each judges what all proposed. Everything in and out is a
frozen record; models are reached only through Tools, chance only through a seed. So a policy is
tested with a fake in milliseconds, and with the real model once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from memory.records import Chunk, Probe, StudyItem


@dataclass(frozen=True, slots=True)
class Candidate:
    """A question about one chunk, before anybody decided what it is for."""

    chunk: Chunk
    evidence: str  # the sentences it is about; the answer is a span of them
    kind: str  # as in StudyItem.kind
    question: str
    answer: str
    policy: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt for Tools.generate."""

    prompt: str
    most: int  # new tokens


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What a batch is trained on and examined with; no question is in both."""

    items: tuple[StudyItem, ...]
    probes: tuple[Probe, ...]
    health: Mapping[str, float] = field(default_factory=dict)  # coverage, verified share ...


class Tools(Protocol):
    """The practised base model and the sentence embedder, as a policy may use them."""

    def generate(self, asks: Sequence[Ask], temperature: float, seed: int) -> list[str]:
        """One answer a prompt; greedy at temperature 0."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, [texts, dimension]; texts that mean the same point the same way."""
        ...


class Policy:
    """A method. Each step has a harmless default, so a policy overrides only what it is about."""

    name = "policy"
    role = ""  # one line for `learnd policies`

    def propose(self, chunks: Sequence[Chunk], tools: Tools, seed: int) -> list[Candidate]:
        """Write candidates for the chunks."""
        return []

    def score(self, candidates: Sequence[Candidate], tools: Tools, seed: int) -> list[float]:
        """How far each candidate can be trusted, 0 to 1; 0 drops it."""
        return [1.0] * len(candidates)
