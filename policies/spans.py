"""The spans of a sentence that someone might ask for: numbers, dates, names, addresses, endings.

Rules only, no model: quick, the same everywhere, and grounded by construction. The kinds say which
question word fits. Number words, months and weekdays are English; the rest is not tied to it.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise


class Kind(StrEnum):
    """What a span is, as far as its form shows."""

    ADDRESS = "address"  # e-mail, host
    CODE = "code"
    DATE = "date"
    TIME = "time"
    YEAR = "year"
    COUNT = "count"  # a number with its unit
    NUMBER = "number"
    DAY = "day"
    PERSON = "person"
    NAME = "name"
    ENDING = "ending"  # what follows the last preposition or form of "to be"


@dataclass(frozen=True, slots=True)
class Span:
    """sentence[start:end] == text."""

    kind: Kind
    start: int
    end: int
    text: str


_WORDS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|"
    "sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|"
    "hundred|thousand|half an?"
)
_NO_UNIT = "in|of|to|at|on|for|by|with|from|and|or|is|are|was|were|will|can|may|must|has|had|have"
_QUANTITY = (  # with the gap after it; "no one will" counts nothing
    rf"(?<!no )(?<!each )(?<!every )(?<!any )"
    rf"(?:\d[\d,.]*\d|\d|{_WORDS})[- ](?!(?:{_NO_UNIT})\b)"
)
_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_DAY = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?"
_CAPITAL = r"[^\W\d_a-z][\w'’-]*\w"  # noqa: RUF001
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (Kind.CODE, re.compile(r"`[^`]+`")),
    (Kind.ADDRESS, re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")),
    (Kind.ADDRESS, re.compile(r"\b(?:https?://\S*\w|(?:[a-z][\w-]*\.)+[a-z]{2,})\b")),
    (Kind.DATE, re.compile(rf"\b\d{{1,2}} {_MONTH}(?: \d{{4}})?\b")),
    (Kind.DATE, re.compile(rf"\b{_MONTH} \d{{1,2}}(?:, \d{{4}})?\b|\b{_MONTH} \d{{4}}\b")),
    (Kind.DATE, re.compile(r"\b\d{4}-\d\d-\d\d\b|\b\d+(?:st|nd|rd|th)\b")),
    (Kind.TIME, re.compile(r"\b\d{1,2}:\d{2}(?: ?[ap]\.?m\b)?")),
    (Kind.YEAR, re.compile(r"\b(?:1[5-9]|20)\d\d\b(?![.,]?\d)")),
    (Kind.COUNT, re.compile(rf"\b{_QUANTITY}[a-z]*[a-rt-z] [a-z]+s\b")),  # three working days
    (Kind.COUNT, re.compile(rf"\b{_QUANTITY}[a-z]+\b")),
    (Kind.NUMBER, re.compile(r"\b\d[\d,.]*\d\b|\b\d\b")),
    (Kind.DAY, re.compile(rf"\b(?:{_DAY}|{_MONTH})\b")),
    (Kind.NAME, re.compile(rf"\b{_CAPITAL}(?: (?:(?:of|de|van|von|the) )?{_CAPITAL})*")),
)
_ENDING = re.compile(
    r"\b(?:is|are|was|were|called|named|behind|under|beside|near|by|in|at|from|of|with|than|for|to)"
    r"\s+(?!\w+ed\b)([^\s,;:]+(?: [^\s,;:]+){0,4})[.;!]?$"  # "before it is placed" names nothing
)
_ACTS = re.compile(r" (?:is|was|has|had|will|can|may|must|\w+[^\Ws]s|\w+ed)\b")  # as one thing does
_NOT_A_PLACE = frozenset({"the", "in", "at", "on", "from", "to", "near", "a", "an", "of"})


def spans(sentence: str) -> list[Span]:
    """Spans that do not overlap, in reading order."""
    found: list[Span] = []
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(_without(found, sentence)):
            span = _named(kind, match.start(), match.end(), sentence)
            if span is not None:
                found.append(span)
    ending = _ENDING.search(sentence)
    if ending is not None:
        last = Span(Kind.ENDING, ending.start(1), ending.end(1), ending[1].rstrip(".;!"))
        last = Span(last.kind, last.start, last.start + len(last.text), last.text)
        if not _overlaps(last, found):
            found.append(last)
    return sorted(found, key=lambda span: span.start)


def _named(kind: Kind, start: int, end: int, sentence: str) -> Span | None:
    """The span, trimmed: a capital at the start of a sentence makes no name yet."""
    text = sentence[start:end]
    if kind is not Kind.NAME:
        return Span(kind, start, end, text)
    if start == 0:
        first, _, rest = text.partition(" ")
        if not rest and not _ACTS.match(sentence, end):
            return None
        if _common(first):
            start, text = start + len(first) + 1, rest
    if not text or sentence.startswith(":", end) or (_begins(sentence, start) and _common(text)):
        return None
    words = text.split()
    before = sentence[:start].split()
    preceded = before[-1].lower() if before else ""
    person = len(words) in {2, 3} and preceded not in _NOT_A_PLACE
    return Span(Kind.PERSON if person else Kind.NAME, start, end, text)


def _begins(sentence: str, start: int) -> bool:
    """Whether a part of a sentence begins there: a cell of a table, what follows a semicolon."""
    return sentence[:start].rstrip().endswith((";", ":"))


def _common(word: str) -> bool:
    """Whether the first word of a sentence is an ordinary one, as far as its form tells."""
    return word.lower() in _OPENERS or word.endswith(("ing", "ly", "ed"))


def _without(found: list[Span], sentence: str) -> str:
    """The sentence with holes where spans were found, so that patterns do not run across them."""
    for span in found:
        sentence = sentence[: span.start] + "\0" * len(span.text) + sentence[span.end :]
    return sentence


def _overlaps(span: Span, others: list[Span]) -> bool:
    return any(span.start < other.end and other.start < span.end for other in others)


# fmt: off
_OPENERS = frozenset({
    "a", "after", "all", "an", "and", "any", "as", "at", "before", "both", "but", "by", "core",
    "customers", "each", "every", "everyone", "expenses", "for", "from", "full", "guests", "he",
    "her", "his", "how", "i", "if", "in", "it", "its", "keep", "many", "meals", "most", "my",
    "never", "new", "no", "nobody", "not", "on", "once", "one", "only", "our", "outside", "over",
    "people", "please", "salaries", "send", "she", "since", "some", "that", "the", "their", "then",
    "there", "these", "they", "this", "those", "to", "today", "two", "under", "until", "use",
    "visitors", "we", "wear", "what", "when", "where", "which", "while", "who", "with", "you",
    "your",
})
# fmt: on


def repeats(text: str) -> bool:
    """Whether a word stands twice in a row: a sign of a generator that lost its way."""
    return any(one == two for one, two in pairwise(text.lower().split()))
