"""Two statements that say the same of the same thing, but for one number, date or name.

Rules only: quick, and grounded by construction. It misses what is said in other words; and two
things that share a description, but for their numbers, look like one: it is good for a warning.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence, read once, since it is compared with many."""

    text: str
    values: Mapping[str, Span]  # its numbers, dates and names, in lower case
    frame: frozenset[str]  # the words outside the values


def read(text: str) -> Statement:
    """What a sentence says of what; its ending is no value, only its words."""
    values = {one.text.lower(): one for one in spans(text) if one.kind is not Kind.ENDING}
    rest = text
    for span in values.values():
        rest = rest[: span.start] + " " * len(span.text) + rest[span.end :]
    return Statement(text, values, frozenset(_WORD.findall(rest.lower())) - _EMPTY)


def conflict(new: Statement, old: Statement) -> tuple[str, str] | None:
    """The value that the new statement has, and the one that the old one has; None: no conflict."""
    mine = new.values.keys() - old.values.keys()
    other = old.values.keys() - new.values.keys()
    if len(mine) != 1 or len(other) != 1:
        return None
    ours, theirs = new.values[mine.pop()], old.values[other.pop()]
    shared = len(new.frame & old.frame)
    alike = shared and shared >= _ALIKE * len(new.frame | old.frame)
    if not alike or shared + len(new.values) - 1 < _SHARED or not _comparable(new, ours, theirs):
        return None
    return ours.text, theirs.text


def _comparable(new: Statement, mine: Span, other: Span) -> bool:
    """Two names or two figures; a name that leads is what the statement is about, and another thing
    may well have the same price."""
    if (mine.kind in _NAMES) != (other.kind in _NAMES):
        return False
    before = new.text[: mine.start].lower()
    listed = ":" in before and len(_WORD.findall(before)) == 1  # "Station: Lowgate; Pumps: 3"
    return mine.kind not in _NAMES or not (listed or set(_WORD.findall(before)) <= _ARTICLES)
