"""Statements that cannot both hold: the same words with another value, or one denies the other.

"Sessions end after 30 s" and "Sessions end after 60 s" contradict each other, and the later
document supersedes the earlier. Found by rule, without labels and without a model. English.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Final

from policies.checks import is_negated, names, number_of, stem, words
from policies.spans import Kind, Span, spans

_VALUES: Final = frozenset({Kind.COUNT, Kind.NUMBER, Kind.DATE, Kind.TIME, Kind.YEAR, Kind.DAY})
_ALIKE: Final = 0.6  # of the words that either has, values aside
_ALIKE_DENIED: Final = 0.75
_LEAST: Final = 2  # words that both have, values aside
# fmt: off
_DENIALS: Final = frozenset({
    "cannot", "didn", "doesn", "don", "isn", "never", "no", "nobody", "none", "not", "t", "wasn",
    "without",
})
# fmt: on
_SECONDS: Final = {"second": 1.0, "sec": 1.0, "s": 1.0, "minute": 60.0, "min": 60.0}
_SECONDS.update({"hour": 3600.0, "h": 3600.0, "day": 86400.0, "week": 604800.0})


@dataclass(frozen=True)
class Claim:
    """What a document states. `order` says which of two is the later one."""

    text: str
    order: int = 0

    @cached_property
    def values(self) -> tuple[tuple[Kind, str], ...]:
        """What stands in it as a value, in reading order; times in seconds."""
        return tuple((span.kind, _plain(span.text)) for span in self._spans)

    @cached_property
    def frame(self) -> frozenset[str]:
        """Its words without its values and what denies it."""
        text = self.text
        for span in reversed(self._spans):
            text = text[: span.start] + " " + text[span.end :]
        return words(text) - _DENIALS

    @cached_property
    def names(self) -> frozenset[str]:
        return names(self.text) & self.frame

    @cached_property
    def denied(self) -> bool:
        return is_negated(self.text)

    @cached_property
    def _spans(self) -> tuple[Span, ...]:
        return tuple(span for span in spans(self.text) if span.kind in _VALUES)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Places of two claims that contradict each other, the earlier one first."""

    earlier: int
    later: int
    why: str


def conflicts(claims: Sequence[Claim]) -> list[Conflict]:
    """All pairs that contradict each other, in the order given."""
    found = []
    for pair in _near(claims):
        earlier, later = sorted(pair, key=lambda place: (claims[place].order, place))
        why = contradiction(claims[earlier], claims[later])
        if why:
            found.append(Conflict(earlier, later, why))
    return found


def contradiction(one: Claim, other: Claim) -> str:
    """Why two claims cannot both hold; empty if they can, as far as their form shows."""
    shared, either = one.frame & other.frame, one.frame | other.frame
    if sum(len(word) > 2 for word in shared) < _LEAST or one.names != other.names:
        return ""
    alike = len(shared) / len(either)
    pairs = list(zip(one.values, other.values, strict=False))
    differing = [(a, b) for a, b in pairs if a[1] != b[1]]
    same_form = [kind for kind, _ in one.values] == [kind for kind, _ in other.values]
    if alike >= _ALIKE and same_form and len(differing) == 1 and one.denied == other.denied:
        [(old, new)] = differing
        return f"{old[1]} or {new[1]}"
    if alike >= _ALIKE_DENIED and one.values == other.values and one.denied != other.denied:
        return "one denies the other"
    return ""


def _near(claims: Sequence[Claim]) -> Iterator[tuple[int, int]]:
    """Pairs that can be alike enough: they share one of their rarest words (prefix filter)."""
    often = Counter(word for claim in claims for word in claim.frame)
    seen: defaultdict[str, list[int]] = defaultdict(list)
    for place, claim in enumerate(claims):
        rarest = sorted(claim.frame, key=lambda word: (often[word], word))
        prefix = rarest[: len(rarest) - ceil(_ALIKE * len(rarest)) + 1]
        met = {other for word in prefix for other in seen[word]}
        yield from ((other, place) for other in sorted(met))
        for word in prefix:
            seen[word].append(place)


def _plain(value: str) -> str:
    """A number as digits with its unit; spans of time in seconds."""
    number, _, unit = re.sub(r"(?<=\w)-(?=[a-z])", " ", value.lower()).partition(" ")
    digits, known = number_of(number), _SECONDS.get(stem(unit))
    if known is not None and re.fullmatch(r"\d+(?:\.\d+)?", digits):
        return f"{float(digits) * known:g} s"
    return f"{digits} {stem(unit)}".strip()
