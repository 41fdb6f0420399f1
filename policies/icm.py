"""ICM (Wen et al. 2025): True or False for all claims of a batch, jointly (coherence.py).

Documents hold what a model does not believe yet, so alone it would vote them down: their own
sentences are pinned True, sentences made wrong are pinned False, and claims that contradict each
other cannot both stand. What documents contradict each other in is told; the later one holds.

Control: each claim by itself, from what is pinned alone.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from memory.records import Health
from policies.base import Candidate, Policy, Scored, Tools
from policies.claims import Claim, Conflict, conflicts
from policies.coherence import Claims, Labels, bootstrap, broken, independent, utility
from policies.planting import auc, claim, planted
from policies.sentences import sentences

_CLAIMS: Final = 64  # that are judged at most: each takes long, twice a round
_PLANTED: Final = 12  # pairs made wrong that are pinned, and as many that are judged, too
_SHOWN: Final = 6  # labelled claims before the one that is judged, the nearest


class InternalCoherence(Policy):
    name = "icm"
    role = "labels claims jointly, and finds documents that contradict each other"
    control = "each claim by itself"

    def __init__(self, jointly: bool = True) -> None:
        self._jointly = jointly
        self._health = Health(abstained="there was no claim to judge")

    def controlled(self) -> Policy:
        return InternalCoherence(jointly=False)

    def score(self, candidates: Sequence[Candidate], tools: Tools, seed: int) -> list[float]:
        """0 for what was labelled False; what was not looked at is trusted."""
        written = [one for one in candidates if one.kind in {"qa", "probe"}]
        judged = random.Random(seed).sample(written, min(_CLAIMS, len(written)))
        against = contradictions(candidates)
        if not judged:
            why = "there was no claim to judge"
            self._health = Health(abstained=why, notes=_told(candidates, against))
            return [1.0] * len(candidates)
        problem = _problem(judged, _superseded(candidates, against), tools, seed)
        labels = (bootstrap if self._jointly else independent)(problem.claims)
        self._health = _diagnosed(problem, labels, _told(candidates, against), len(written))
        said = {one: labels[place] for one, place in zip(judged, problem.judged, strict=True)}
        return [float(said.get(one, True)) for one in candidates]

    def diagnose(self, candidates: Sequence[Candidate], trusted: Scored) -> Health:
        return self._health


@dataclass(frozen=True, slots=True)
class _Problem:
    """Claims of a batch: pinned ones, those to judge, and planted ones, by their places."""

    claims: Claims
    judged: range
    right: range
    wrong: range


def stated(candidates: Sequence[Candidate]) -> list[tuple[str, Claim]]:
    """(title, sentence) of the chunks, each under its heading's last part; later ones hold."""
    chunks = dict.fromkeys(one.chunk for one in candidates)
    return [
        (chunk.title, Claim(text, chunk.document_id))
        for chunk in chunks
        for text in dict.fromkeys(sentences(chunk.text))
    ]


def contradictions(candidates: Sequence[Candidate]) -> list[Conflict]:
    """Between sentences of different documents, as places in stated()."""
    known = [one for _, one in stated(candidates)]
    found = conflicts(known)
    return [one for one in found if known[one.earlier].order != known[one.later].order]


def _told(candidates: Sequence[Candidate], found: Sequence[Conflict]) -> tuple[str, ...]:
    known = stated(candidates)
    return tuple(
        f"{known[one.later][0]} says {known[one.later][1].text!r} and {known[one.earlier][0]}, "
        f"which is older, {known[one.earlier][1].text!r}: {one.why}"
        for one in found
    )


def _superseded(candidates: Sequence[Candidate], found: Sequence[Conflict]) -> set[str]:
    known = stated(candidates)
    return {known[one.earlier][1].text for one in found}


def _problem(
    judged: Sequence[Candidate], superseded: set[str], tools: Tools, seed: int
) -> _Problem:
    """Pinned: what the judged ones rest on and still holds (True), and planted ones (False)."""
    chunks = dict.fromkeys(one.chunk for one in judged)
    pairs = planted(list(chunks), 2 * _PLANTED, seed)
    pinned, fresh = pairs[::2], pairs[1::2]
    premises = dict.fromkeys(one.evidence for one in judged)
    parts = [
        [one for one in premises if not any(old in one for old in superseded)],
        [claim(wrong) for _, _, wrong in pinned],
        [claim(one) for one in judged],
        [claim(true) for _, true, _ in fresh],
        [claim(wrong) for _, _, wrong in fresh],
    ]
    ends = np.cumsum([0, *map(len, parts)]).tolist()
    texts = [text for part in parts for text in part]
    held = dict.fromkeys(range(ends[1]), True) | dict.fromkeys(range(ends[1], ends[2]), False)
    clashes = frozenset(
        (one.earlier, one.later) for one in conflicts([Claim(text) for text in texts])
    )
    claims = Claims(len(texts), _Judge(texts, tools), clashes, held)
    places = [range(start, end) for start, end in pairwise(ends)]
    return _Problem(claims, places[2], places[3], places[4])


class _Judge:
    """Log-odds of True, after the nearest claims with their labels; each text is asked once."""

    def __init__(self, texts: Sequence[str], tools: Tools) -> None:
        self._texts, self._tools = texts, tools
        vectors = tools.embed(texts)
        self._near = np.argsort(-(vectors @ vectors.T), axis=1, kind="stable")
        self._known: dict[str, float] = {}

    def __call__(self, places: Sequence[int], labels: Mapping[int, bool]) -> list[float]:
        prompts = [self._prompt(place, labels) for place in places]
        new = [one for one in dict.fromkeys(prompts) if one not in self._known]
        asked = self._tools.logprob([(one, said) for one in new for said in ("True", "False")])
        self._known.update(
            (one, asked[2 * turn] - asked[2 * turn + 1]) for turn, one in enumerate(new)
        )
        return [self._known[one] for one in prompts]

    def _prompt(self, place: int, labels: Mapping[int, bool]) -> str:
        near = [one for one in self._near[place].tolist() if one != place and one in labels]
        shown = [f"{self._texts[one]}\nTrue or False: {labels[one]}" for one in near[:_SHOWN][::-1]]
        return "\n\n".join([*shown, f"{self._texts[place]}\nTrue or False:"])


def _diagnosed(problem: _Problem, labels: Labels, notes: tuple[str, ...], written: int) -> Health:
    """Reliability: how much better than a coin it tells planted sentences from their twins."""
    context = {one: label for one, label in labels.items() if one not in problem.wrong}
    right = problem.claims.predict(problem.right, labels)
    wrong = problem.claims.predict(problem.wrong, labels)
    told = auc(right, wrong)
    return Health(
        reliability=max(0.0, 2 * told - 1) if right else None,
        coverage=len(problem.judged) / written,
        figures={
            "claims": float(len(problem.judged)),
            "true": sum(labels[one] for one in problem.judged) / len(problem.judged),
            "utility": utility(problem.claims, labels),
            "utility_of_pinned": utility(problem.claims, problem.claims.pinned),
            "clashes_left": float(len(broken(problem.claims, context))),
            "contradictions": float(len(notes)),
            "planted_auc": told,
        },
        notes=notes,
    )
