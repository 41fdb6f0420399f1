"""What a policy is: pure decisions about what to study and what to ask.

In a pipeline each policy proposes, each diversifies what all proposed, each judges it, and each
chooses (pipeline.py). Everything in and out is a frozen record; models are reached only through
Tools, chance only through a seed. So a policy is tested with a fake in milliseconds, and with the
real model once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from memory.records import Chunk, Health, Probe, StudyItem

Scored = Mapping["Candidate", float]  # what is trusted, and how far: above 0, to 1


@dataclass(frozen=True, slots=True)
class Candidate:
    """A question about one chunk, before anybody decided what it is for.

    Of kind "text" it is a text about the chunk: no question, no answer, only what it says. Of kind
    "probe" it examines and is never trained on; any other kind may do either.
    """

    chunk: Chunk
    evidence: str  # the sentences of the chunk that it is about; the answer is a span of them
    kind: str  # as in StudyItem.kind
    question: str
    answer: str
    policy: str
    said: str = ""  # what is trained as the answer; empty: the evidence

    @property
    def statement(self) -> str:
        """What it would teach, as one statement that a verifier can hold against the chunk."""
        return self.said or self.evidence


class Model(Enum):
    """The weights that Tools asks."""

    PRACTISED = auto()  # the base that was taught to write questions and to read
    PUBLISHED = auto()  # the base as it came: it can write other things than questions
    SERVED = auto()  # what answers people: it knows what was learned; before anything was, the base


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt for Tools.generate."""

    prompt: str
    most: int  # new tokens
    model: Model = Model.PRACTISED


@dataclass(frozen=True, slots=True)
class Directives:
    """How a policy would have the batch trained, within bounds; None leaves it to the settings."""

    learning_rate: float | None = None
    epochs: int | None = None


NO_DIRECTIVES: Final = Directives()


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What a batch is trained on and examined with; no question is in both."""

    items: tuple[StudyItem, ...]
    probes: tuple[Probe, ...]
    figures: Mapping[str, float] = field(default_factory=dict)  # facts, items, probes ...
    health: Mapping[str, Health] = field(default_factory=dict)  # of each policy, by name
    directives: Directives = NO_DIRECTIVES


class Tools(Protocol):
    """The models that a policy may ask, and the sentence embedder."""

    def generate(self, asks: Sequence[Ask], temperature: float, seed: int) -> list[str]:
        """One answer a prompt; greedy at temperature 0."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, [texts, dimension]; texts that mean the same point the same way."""
        ...

    def logprob(
        self, lessons: Sequence[tuple[str, str]], model: Model = Model.PRACTISED
    ) -> list[float]:
        """Of each (prompt, answer), the mean log-probability of the answer's tokens, in nats.

        The prompt alone decides whether the book is open: with the chunk in it, it is.
        """
        ...

    def trial(
        self,
        items: Sequence[StudyItem],
        examined: Sequence[StudyItem],
        seed: int,
        directives: Directives = NO_DIRECTIVES,
    ) -> list[float]:
        """Train a throw-away adapter on the items; log-probabilities, as above, of the examined
        ones under it. Without items, those of the base. Dear: seconds to minutes each."""
        ...


class Policy:
    """A method. Each step has a harmless default, so a policy overrides only what it is about.

    An object serves one batch; it may remember what it measured in a step, to diagnose it.
    """

    name = "policy"
    role = ""  # one line for `learnd policies`
    control = ""  # one line: what is cheap and would have to be beaten

    def controlled(self) -> "Policy":
        """Its control, to be put in its place; as a rule a pipeline without it."""
        return Policy()

    def propose(self, chunks: Sequence[Chunk], tools: Tools, seed: int) -> list[Candidate]:
        """Write candidates for the chunks."""
        return []

    def diversify(
        self, candidates: Sequence[Candidate], tools: Tools, seed: int
    ) -> list[Candidate]:
        """What all proposed, with variants beside it, or with some of it changed or left out."""
        return list(candidates)

    def score(self, candidates: Sequence[Candidate], tools: Tools, seed: int) -> list[float]:
        """How far each candidate can be trusted, 0 to 1; 0 drops it."""
        return [1.0] * len(candidates)

    def select(self, trusted: Scored, tools: Tools, seed: int) -> Scored:
        """Those of the trusted candidates that are worth their tokens; none that is not there."""
        return trusted

    def directives(self) -> Directives:
        """How the batch should be trained, asked after select()."""
        return NO_DIRECTIVES

    def guard(
        self,
        before: Mapping[int, bool],
        after: Mapping[int, bool],
        topics: Mapping[int, str],
    ) -> list[str]:
        """Why a trained adapter must not be served, though the gate's floor would let it pass.

        before, after: old probe -> whether it was right. topics: probe -> the file it is about.
        """
        return []

    def diagnose(self, candidates: Sequence[Candidate], trusted: Scored) -> Health:
        """How well it went, by what it measured; asked after score() and again after select().

        If it abstained, or its reliability is below the floor, what it judged is not heeded.
        """
        return Health()
