"""Several policies as one: each proposes, then diversifies what all proposed, judges it, chooses.

The strictest judgement counts. This is the one place that may catch what a policy raises: a broken
policy costs its own part of a batch, never the batch.
"""

import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

from memory.errors import GaveWay, PoliciesFailed, StateError
from memory.records import Chunk, Health
from policies.base import NO_DIRECTIVES, Candidate, Directives, Policy, Scored, Tools

RELIABLE: Final = 0.3  # below, a reward is chance (methods that climb it learn noise)
_Result = TypeVar("_Result")
_NOT_ITS_FAULT = (GaveWay, StateError, OSError)  # a policy has no files: these come from the tools
_TRACE = 4_000  # characters that are kept of a trace


@dataclass(frozen=True, slots=True)
class Studied:
    """What a pipeline made of the chunks."""

    trusted: Scored
    health: Mapping[str, Health]  # of each policy, by name, in order
    directives: Directives


class Pipeline:
    """Policies in their order, for one batch."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._policies = {policy.name: policy for policy in policies}
        self._failed: dict[str, str] = {}
        self._notes: dict[str, list[str]] = {name: [] for name in self._policies}
        self._silent: set[str] = set()

    def run(self, chunks: Sequence[Chunk], tools: Tools, seed: int) -> Studied:
        """Raises PoliciesFailed if none of the policies is left."""
        candidates = self._proposed(chunks, tools, seed)
        candidates = self._diversified(candidates, tools, seed)
        trusted = self._judged(candidates, tools, seed)
        trusted = self._selected(candidates, trusted, tools, seed)
        directives = self._directives()
        health = {name: self._health(name, candidates, trusted) for name in self._policies}
        return Studied(self._of_the_rest(trusted), health, directives)

    def _proposed(self, chunks: Sequence[Chunk], tools: Tools, seed: int) -> list[Candidate]:
        found: list[Candidate] = []
        for policy in self._left():
            found += self._try(policy, partial(policy.propose, chunks, tools, seed)) or []
        return self._distinct(found)

    def _diversified(self, candidates: list[Candidate], tools: Tools, seed: int) -> list[Candidate]:
        for policy in self._left():
            given = tuple(candidates)
            changed = self._try(policy, partial(policy.diversify, given, tools, seed))
            candidates = self._distinct(candidates if changed is None else changed)
        return candidates

    def _judged(self, candidates: Sequence[Candidate], tools: Tools, seed: int) -> Scored:
        worst = dict.fromkeys(candidates, 1.0)
        for policy in self._left():
            scores = self._try(policy, partial(self._scores, policy, candidates, tools, seed))
            judged = dict(zip(candidates, scores or (), strict=False))
            if judged and self._heeded(policy, candidates, judged):
                worst = {one: min(score, judged[one]) for one, score in worst.items()}
        return self._of_the_rest({one: score for one, score in worst.items() if score > 0})

    def _scores(
        self, policy: Policy, candidates: Sequence[Candidate], tools: Tools, seed: int
    ) -> list[float]:
        """Within 0 to 1; what is not a number is not trusted. Raises ValueError if none is one."""
        scores = policy.score(candidates, tools, seed)
        if len(scores) != len(candidates):
            raise ValueError(f"{len(scores)} scores for {len(candidates)} candidates")
        missing = sum(math.isnan(score) for score in scores)
        if missing and missing == len(scores):
            raise ValueError("no score is a number")
        if missing:
            self._notes[policy.name].append(f"{missing} scores were no numbers: not trusted")
        bounded = [0.0 if math.isnan(score) else min(1.0, max(0.0, score)) for score in scores]
        if bounded and not any(bounded):
            self._notes[policy.name].append(f"trusts none of {len(scores)} candidates")
        return bounded

    def _selected(
        self, candidates: Sequence[Candidate], trusted: Scored, tools: Tools, seed: int
    ) -> Scored:
        for policy in self._left():
            given = dict(trusted)
            chosen = self._try(policy, partial(policy.select, given, tools, seed))
            if chosen is None or not self._heeded(policy, candidates, chosen):
                continue
            trusted = {one: given[one] for one in chosen if one in given}
            if given and not trusted:
                self._notes[policy.name].append(f"chose none of {len(given)}: not heeded")
                trusted = given
        return self._of_the_rest(trusted)

    def _directives(self) -> Directives:
        """Those of the first policy that has any."""
        asked = (
            self._try(policy, policy.directives)
            for policy in self._left()
            if policy.name not in self._silent
        )
        return next((one for one in asked if one and one != NO_DIRECTIVES), NO_DIRECTIVES)

    def _heeded(self, policy: Policy, candidates: Sequence[Candidate], judged: Scored) -> bool:
        """Whether what it just decided counts; it does not if it failed or abstained."""
        health = self._try(policy, partial(_diagnosed, policy, candidates, judged))
        if health is None:
            return False
        if health.abstained is not None:
            self._silent.add(policy.name)
        return health.abstained is None

    def _health(self, name: str, candidates: Sequence[Candidate], trusted: Scored) -> Health:
        policy = self._policies[name]
        found = self._try(policy, partial(_diagnosed, policy, candidates, trusted))
        notes = (*(found.notes if found else ()), *self._notes[name])
        return replace(found or Health(), notes=notes, failed=self._failed.get(name))

    def _try(self, policy: Policy, step: Callable[[], _Result]) -> _Result | None:
        """A step of a policy; None if it raised, now or before: then the batch does without it."""
        if policy.name in self._failed:
            return None
        try:
            return step()
        except _NOT_ITS_FAULT:
            raise
        except Exception:
            self._failed[policy.name] = traceback.format_exc()[-_TRACE:]
            if not self._left():
                raise PoliciesFailed(self._complaint()) from None
            return None

    def _left(self) -> list[Policy]:
        return [one for name, one in self._policies.items() if name not in self._failed]

    def _complaint(self) -> str:
        last = {name: trace.strip().splitlines()[-1] for name, trace in self._failed.items()}
        told = "; ".join(f"{name}: {line}" for name, line in last.items())
        return f"no policy of the pipeline is left ({told}); see `study.pipeline`"

    def _distinct(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Once each, and nothing of a policy that failed."""
        return [one for one in dict.fromkeys(candidates) if one.policy not in self._failed]

    def _of_the_rest(self, trusted: Scored) -> Scored:
        return {one: score for one, score in trusted.items() if one.policy not in self._failed}


def _diagnosed(policy: Policy, candidates: Sequence[Candidate], trusted: Scored) -> Health:
    """Without figures that are not finite; one whose reward is mostly chance has abstained."""
    health = policy.diagnose(candidates, trusted)
    kept = {name: value for name, value in health.figures.items() if math.isfinite(value)}
    reliable = health.reliability
    health = replace(
        health,
        reliability=reliable if reliable is None or math.isfinite(reliable) else 0.0,
        entropy=_finite(health.entropy),
        inflation=_finite(health.inflation),
        coverage=_finite(health.coverage),
        figures=kept,
    )
    if health.abstained or health.reliability is None or health.reliability >= RELIABLE:
        return health
    return replace(health, abstained=f"reliability {health.reliability:.2f} is below {RELIABLE}")


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
