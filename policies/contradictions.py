"""Two statements that say the same of the same thing, but for one number, date or name.

Rules only: quick, and grounded by construction. It misses what is said in other words; and two
things that share a description, but for their numbers, look like one: it is good for a warning.
"""

import re
from typing import Final

from policies.spans import Kind, Span, spans

_ALIKE: Final = 0.8  # of the words outside the values, how many must be the same
_SHARED: Final = 2  # words or values, at least: "It costs 3 crowns" names nothing
_NAMES: Final = frozenset({Kind.NAME, Kind.PERSON})
_ARTICLES: Final = frozenset({"a", "an", "the"})
_EMPTY: Final = _ARTICLES | {
    "it",
    "its",
    "they",
    "their",
    "he",
    "his",
    "she",
    "her",
    "this",
    "that",
}
_WORD: Final = re.compile(r"\w+")


def conflict(new: str, old: str) -> tuple[str, str] | None:
    """The value that the new statement has, and the one that the old one has; None: no conflict."""
    ours, theirs = _values(new), _values(old)
    mine = [span for text, span in ours.items() if text not in theirs]
    other = [span for text, span in theirs.items() if text not in ours]
    if len(mine) != 1 or len(other) != 1 or not _comparable(new, mine[0], other[0]):
        return None
    left, right = _frame(new, ours), _frame(old, theirs)
    shared = len(left & right)
    if shared < _ALIKE * len(left | right) or not shared or shared + len(ours) - 1 < _SHARED:
        return None
    return mine[0].text, other[0].text


def _values(statement: str) -> dict[str, Span]:
    """The numbers, dates and names of a statement; its ending is no value, only its words."""
    return {span.text.lower(): span for span in spans(statement) if span.kind is not Kind.ENDING}


def _comparable(statement: str, mine: Span, other: Span) -> bool:
    """Two names or two figures; a name that leads is what the statement is about, and another thing
    may well have the same price."""
    if (mine.kind in _NAMES) != (other.kind in _NAMES):
        return False
    before = _WORD.findall(statement[: mine.start].lower())
    listed = len(before) == 1 and ":" in statement[: mine.start]  # "Station: Lowgate; Pumps: 3"
    return mine.kind not in _NAMES or not (listed or set(before) <= _ARTICLES)


def _frame(statement: str, values: dict[str, Span]) -> frozenset[str]:
    """The words outside the values."""
    for span in values.values():
        statement = statement[: span.start] + " " * len(span.text) + statement[span.end :]
    return frozenset(_WORD.findall(statement.lower())) - _EMPTY
