"""The hard floor between a trained adapter and the people who ask.

Counts flips of single probes, not averages: an average hides what was forgotten (arXiv 2510.17776).
A policy may be stricter than this floor, never laxer.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.settings import GateSettings
from memory.records import ProbeResult, Verdict


@dataclass(frozen=True, slots=True)
class Sitting:
    """One group of probes before and after: probe id -> result, the same ids in both."""

    before: Mapping[int, ProbeResult]
    after: Mapping[int, ProbeResult]

    @property
    def lost(self) -> int:
        """Probes that were right before and are wrong now."""
        return sum(
            result.correct and not self.after[i].correct for i, result in self.before.items()
        )

    @property
    def won(self) -> int:
        """Probes that were wrong before and are right now."""
        return sum(self.after[i].correct and not one.correct for i, one in self.before.items())

    @property
    def right_before(self) -> int:
        return sum(result.correct for result in self.before.values())

    @property
    def right_after(self) -> int:
        return sum(result.correct for result in self.after.values())


def sitting(
    ids: Collection[int], before: Sequence[ProbeResult], after: Sequence[ProbeResult]
) -> Sitting:
    """The part of an examination that asked these probes."""
    return Sitting(
        {result.probe_id: result for result in before if result.probe_id in ids},
        {result.probe_id: result for result in after if result.probe_id in ids},
    )


def judge(
    new: Sitting,
    old: Sitting,
    general: Sitting,
    settings: GateSettings,
    guarded: Sequence[str] = (),
) -> Verdict:
    """Accept only if enough of the new is known, and of the old no more than allowed is lost.

    guarded: what policies hold against it; it counts as harm.
    """
    harm = [*_kept("old", old, settings), *_kept("general", general, settings), *guarded]
    reasons = [*_finite(new, old, general), *_learned(new, settings), *harm]
    figures = _figures(new, old, general)
    return Verdict(not reasons, tuple(reasons), figures, harmed=reasons == harm != [])


def judge_rebuilt(
    old: Sitting, general: Sitting, settings: GateSettings, guarded: Sequence[str] = ()
) -> Verdict:
    """A consolidation has nothing new to show: it must know at least as much of the old."""
    right, needed = old.right_after, old.right_before
    reasons = [] if right >= needed else [f"only {right} old probes are right, {needed} were"]
    floor = judge(Sitting({}, {}), old, general, settings, guarded)
    return replace(
        floor, accepted=not reasons and floor.accepted, reasons=(*reasons, *floor.reasons)
    )


def _finite(*sittings: Sitting) -> list[str]:
    results = [result for one in sittings for result in one.after.values()]
    if all(math.isfinite(result.logprob) for result in results):
        return []
    return ["a log-probability is not finite"]


def _learned(new: Sitting, settings: GateSettings) -> list[str]:
    asked, right = len(new.after), new.right_after
    needed = math.ceil(settings.min_learned * asked)
    if right >= needed:
        return []
    return [f"only {right} of {asked} new probes are right, {needed} are needed"]


def _kept(name: str, group: Sitting, settings: GateSettings) -> list[str]:
    """Shaky facts flip both ways by chance; harm flips one way (McNemar 1947, exact)."""
    lost, won = group.lost, group.won
    chance = sum(math.comb(lost + won, k) for k in range(lost, lost + won + 1)) / 2 ** (lost + won)
    if chance >= settings.false_rejects:
        return []
    return [
        f"{lost} {name} probes were lost and {won} won; chance does so in {chance:.1%} of cases"
    ]


def _figures(new: Sitting, old: Sitting, general: Sitting) -> dict[str, float]:
    figures = {}
    for name, group in (("new", new), ("old", old), ("general", general)):
        figures[f"{name}_asked"] = float(len(group.after))
        figures[f"{name}_before"] = float(group.right_before)
        figures[f"{name}_after"] = float(group.right_after)
        figures[f"{name}_lost"] = float(group.lost)
    return figures
