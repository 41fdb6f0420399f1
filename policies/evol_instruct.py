"""Evol-Instruct (Xu et al. 2023): questions that are made out of questions, grounded in their text.

In depth a question gets a condition, more detail, or another step; in breadth another question is
asked about the same text. The paper's four rules of elimination hold, and one more that it lacks:
a child must be answerable, so the model reads its answer out of the chunk (round trip).
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from memory.records import Health
from policies import skills
from policies.base import Ask, Candidate, Policy, Scored, Tools
from policies.selection import words
from policies.sentences import sentences
from policies.spans import repeats

IN_DEPTH: Final[Mapping[str, str]] = {
    "constrain": "Add a condition that the text states, so that the answer stays the same.",
    "concretise": "Put a more concrete word of the text in the place of a general one.",
    "deepen": "Ask more precisely, so that one has to know the text well.",
    "reason": "Ask so that one more step of thought leads to the same answer.",
    "complicate": "Begin with a fact of the text, then ask.",
    "paraphrase": "Ask the same in entirely different words.",
}
IN_BREADTH: Final[Mapping[str, str]] = {
    "rarer": "Ask something else about the same text, which few people would think of.",
}
OPERATORS: Final = {**IN_DEPTH, **IN_BREADTH}
_CHILDREN = 2  # of each sentence, at most
_TOKENS = 30
_ANSWER_TOKENS = 16
_WARMTH = 0.7  # temperature
_SAME = 0.98  # cosine from which a child says nothing that its parent does not
_SHORT = 80  # words below which an apology is a refusal
_LEAKS = re.compile(
    r"\b(?:given|new|rewritten|original|evolved|created) (?:prompt|question)s?\b|#", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Child:
    """What an operator made of a question."""

    parent: Candidate
    operator: str
    question: str


class EvolInstruct(Policy):
    name = "evol_instruct"
    role = "makes other, deeper and rarer questions out of those that were written"
    control = "the parents alone"

    def __init__(self) -> None:
        self._eliminated: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()

    def diversify(
        self, candidates: Sequence[Candidate], tools: Tools, seed: int
    ) -> list[Candidate]:
        """All that is there, and the children that survive."""
        children = _children(candidates, tools, Random(seed), seed)
        left = list(self._new(children, {words(one.question) for one in candidates}, tools))
        asks = [Ask(_read(child), _ANSWER_TOKENS) for child in left]
        answers = tools.generate(asks, 0.0, seed)
        born = [self._grounded(*pair) for pair in zip(left, answers, strict=True)]
        return [*candidates, *(one for one in born if one)]

    def diagnose(self, candidates: Sequence[Candidate], trusted: Scored) -> Health:
        born, dead = sum(self._kept.values()), sum(self._eliminated.values())
        if not born + dead:
            return Health(abstained="there was no written question to begin with")
        return Health(
            entropy=_entropy(self._kept),
            coverage=born / (born + dead),
            figures={
                "children": float(born),
                **{f"eliminated_{why}": float(n) for why, n in sorted(self._eliminated.items())},
                **{f"kept_{one}": float(n) for one, n in sorted(self._kept.items())},
            },
        )

    def _new(
        self, children: Iterable[_Child], asked: set[frozenset[str]], tools: Tools
    ) -> Iterator[_Child]:
        """The children that no rule eliminates and nobody asked before."""
        children = list(children)
        own = tools.embed([child.question for child in children])
        parents = tools.embed([child.parent.question for child in children])
        for child, likeness in zip(children, (own * parents).sum(axis=1), strict=True):
            why = eliminated(child.question, child.parent, float(likeness))
            if why is None and words(child.question) in asked:
                why = "nothing_new"
            if why is not None:
                self._eliminated[why] += 1
                continue
            asked.add(words(child.question))
            yield child

    def _grounded(self, child: _Child, answer: str) -> Candidate | None:
        """The child as a candidate, if the chunk answers it: in depth with its parent's answer."""
        parent, answer = child.parent, answer.strip().strip(".")
        same = _holds(answer, parent.answer)
        if child.operator in IN_DEPTH and same:
            born = replace(parent, question=child.question, policy=self.name)
        elif child.operator in IN_BREADTH and not same and (said := _saying(answer, parent)):
            born = replace(
                parent, question=child.question, answer=answer, evidence=said, policy=self.name
            )
        else:
            self._eliminated["not_answerable"] += 1
            return None
        self._kept[child.operator] += 1
        return born


def eliminated(question: str, parent: Candidate, likeness: float) -> str | None:
    """Which rule eliminates a child, if any; likeness is its cosine with its parent."""
    if not any(len(word) > 3 for word in words(question)):
        return "empty"  # punctuation and stop words
    if re.search(r"\bsorry\b", question, re.IGNORECASE) and len(question.split()) < _SHORT:
        return "refusal"
    if _LEAKS.search(question) or any(how in question for how in OPERATORS.values()):
        return "leak"
    if parent.answer and parent.answer.lower() in question.lower():
        return "gives_away"
    if repeats(question) or not 2 <= len(question.split()) <= 40:
        return "garbled"
    if likeness >= _SAME or words(question) == words(parent.question):
        return "nothing_new"
    return None


def _children(
    candidates: Sequence[Candidate], tools: Tools, chance: Random, seed: int
) -> Iterator[_Child]:
    """A random operator on some questions of each sentence."""
    by_sentence: dict[tuple[int, str], list[Candidate]] = {}
    for one in candidates:
        if one.kind == "qa":
            by_sentence.setdefault((one.chunk.id, one.evidence), []).append(one)
    parents = [
        one
        for group in by_sentence.values()
        for one in chance.sample(group, min(_CHILDREN, len(group)))
    ]
    chosen = [chance.choice(list(OPERATORS)) for _ in parents]
    asks = [Ask(_asking(*pair), _TOKENS) for pair in zip(parents, chosen, strict=True)]
    for parent, operator, text in zip(
        parents, chosen, tools.generate(asks, _WARMTH, seed), strict=True
    ):
        yield _Child(parent, operator, next(iter(text.strip().splitlines()), "").strip())


def _asking(parent: Candidate, operator: str) -> str:
    about = f"{parent.chunk.title}: {parent.chunk.text}\n\nQuestion: {parent.question}"
    return f"{about}\nAnswer: {parent.answer}\n\n{OPERATORS[operator]} Write one question."


def _read(child: _Child) -> str:
    return skills.reader(child.parent.chunk.title, child.parent.chunk.text, child.question)


def _saying(answer: str, parent: Candidate) -> str | None:
    """The sentence of the chunk that holds the answer word for word, if one does."""
    if not answer or answer.lower() == skills.NOT_STATED:
        return None
    return next((one for one in sentences(parent.chunk.text) if answer in one), None)


def _holds(said: str, answer: str) -> bool:
    return bool(answer) and answer.lower() in said.lower()


def _entropy(counts: Mapping[str, int]) -> float:
    """Of the operators whose children live, nats."""
    total = sum(counts.values())
    return sum(n / total * math.log(total / n) for n in counts.values() if n)
