"""The hard floor between a trained adapter and the people who ask.

Counts flips of single probes, not averages: an average hides what was forgotten (arXiv 2510.17776).
A policy may be stricter than this floor, never laxer.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Final

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


NOBODY: Final = Sitting({}, {})  # nothing was asked


def sitting(
    ids: Collection[int], before: Iterable[ProbeResult], after: Iterable[ProbeResult]
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
    base: Sitting = NOBODY,
    guarded: Sequence[str] = (),
) -> Verdict:
    """Accept only if enough of the new is known, and of the old no more than allowed is lost.

    `base` compares the general probes with what the base answered, `general` with the parent;
    `guarded` is what policies hold against it, and counts as harm.
    """
    far = _capped(general, base, settings)
    harm = [*_kept("old", old, settings), *_kept("general", general, settings), *far, *guarded]
    reasons = [*_finite(new, old, general), *_learned(new, settings), *harm]
    figures = {**_figures(new, old, general, base), **_fall(base)}
    harmed = reasons == harm != []
    return Verdict(not reasons, tuple(reasons), figures, harmed=harmed, far=bool(far))


def judge_rebuilt(
    old: Sitting,
    general: Sitting,
    settings: GateSettings,
    base: Sitting = NOBODY,
    gain: int = 0,
    guarded: Sequence[str] = (),
) -> Verdict:
    """A consolidation has nothing new to show: it must know at least as much of the old, and a
    repair more of it, by `gain` probes."""
    right, needed = old.right_after, old.right_before + gain
    reasons = [] if right >= needed else [f"only {right} old probes are right, {needed} are needed"]
    floor = judge(NOBODY, old, general, settings, base, guarded)
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
    likely = chance(group.lost, group.won)
    if likely >= settings.false_rejects:
        return []
    return [
        f"{group.lost} {name} probes were lost and {group.won} won;"
        f" chance does so in {likely:.1%} of cases"
    ]


def _capped(general: Sitting, base: Sitting, settings: GateSettings) -> list[str]:
    """Steps that are each too small to show add up; what the base answers bounds their sum.

    Nobody is blamed for what the parent had lost before.
    """
    right, allowed = base.right_after, (1 - settings.base_lost) * base.right_before
    worse = general.right_after < general.right_before
    if not worse or right >= allowed or chance(base.lost, base.won) >= settings.false_rejects:
        return []
    return [
        f"the base answers {base.right_before} general probes, these weights {right};"
        f" {math.ceil(allowed)} are needed (gate.base_lost)"
    ]


def chance(lost: int, won: int) -> float:
    """Of at least so many losses among the flips, if both ways are equally likely."""
    flips = lost + won
    return sum(math.comb(flips, k) for k in range(lost, flips + 1)) / float(2**flips)


def _fall(base: Sitting) -> dict[str, float]:
    """By how much the right answers became less likely than to the base: mean, nats per token."""
    falls = [result.logprob - base.after[i].logprob for i, result in base.before.items()]
    return {"base_fall": fmean(falls)} if falls and all(map(math.isfinite, falls)) else {}


def _figures(new: Sitting, old: Sitting, general: Sitting, base: Sitting) -> dict[str, float]:
    figures = {}
    for name, group in (("new", new), ("old", old), ("general", general), ("base", base)):
        figures[f"{name}_asked"] = float(len(group.after))
        figures[f"{name}_before"] = float(group.right_before)
        figures[f"{name}_after"] = float(group.right_after)
        figures[f"{name}_lost"] = float(group.lost)
    return figures
