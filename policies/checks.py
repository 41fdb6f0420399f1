"""Does a text bear a statement out, as far as its form shows: numbers, names, units, negation.

What is checked can only be disproved so: a statement that passes may still be wrong. English.
"""

import re
from enum import StrEnum
from itertools import pairwise
from typing import Final

from policies.sentences import sentences
from policies.spans import Kind, spans


class Mismatch(StrEnum):
    """What of a statement the text does not bear out."""

    NUMBER = "number"
    ENTITY = "entity"
    UNIT = "unit"
    NEGATION = "negation"
    SORT = "sort"  # the answer is not what the question asks for: a year for "who"


# fmt: off
UNITS: Final = tuple(frozenset(group.split()) for group in (  # what may take another's place
    "millisecond second minute hour day week month year decade century",
    "millimetre centimetre metre kilometre meter kilometer inch foot feet yard mile km cm mm m",
    "gram kilogram tonne ton pound ounce kg", "litre liter gallon pint barrel",
    "hundred thousand million billion trillion", "crown euro dollar pound cent",
    "degree celsius fahrenheit kelvin", "byte kilobyte megabyte gigabyte terabyte kb mb gb tb",
    "percent per-mille",
))
# fmt: on
# fmt: off
_WORDS: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
    "twenty",
)
# fmt: on
_DIGITS: Final = {word: str(number) for number, word in enumerate(_WORDS)}
_NUMBER = re.compile(rf"\d+(?:[.,:]\d+)*|\b(?:{'|'.join(_WORDS)})\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")  # noqa: RUF001
NEGATION: Final = re.compile(r"\b(?:not|never|no|nobody|none|without|cannot)\b|n['’]t\b")  # noqa: RUF001
_VAGUE: Final = re.compile(r"\b(?:a|an|half|every|once|twice)\b")
_NAMED: Final = frozenset({Kind.NAME, Kind.PERSON})
_TIMES: Final = frozenset({Kind.DATE, Kind.TIME, Kind.YEAR, Kind.DAY})
_BEGINNING: Final = 5  # letters that two forms of a name share
COUNTING: Final = frozenset({"a", "an", "many", "few", "several", "per", "half"})
_LEAST_SHARED: Final = 0.4  # of a statement's words, for a sentence to speak about the same


def mismatches(text: str, question: str, answer: str) -> frozenset[Mismatch]:
    """What speaks against an answer to a question, by a text; nothing if it is borne out so far."""
    said = f"{question} {answer}"
    found = {
        Mismatch.NUMBER: numbers(said) - numbers(text),
        Mismatch.ENTITY: _unknown(names(said), words(text)),
        Mismatch.UNIT: _units(said, text),
        Mismatch.NEGATION: _negated(said, text),
        Mismatch.SORT: not sort_fits(question, answer),
    }
    return frozenset(kind for kind, against in found.items() if against)


def words(text: str) -> frozenset[str]:
    """Lower case, without the ending of a plural or a possessive."""
    return frozenset(map(stem, _WORD.findall(text.lower())))


def numbers(text: str) -> frozenset[str]:
    """As digits, without separators of thousands."""
    return frozenset(map(number_of, _NUMBER.findall(text)))


def number_of(text: str) -> str:
    """A number in digits, without separators of thousands."""
    return _DIGITS.get(text.lower(), re.sub(r",(?=\d{3})", "", text.lower()))


def names(text: str) -> frozenset[str]:
    """Words of names, as words()."""
    return frozenset().union(*(words(one.text) for one in spans(text) if one.kind in _NAMED))


def sort_fits(question: str, answer: str) -> bool:
    """Whether an answer may be of the kind asked for; True where the question does not say."""
    asked = question.lower()
    kinds = {span.kind for span in spans(f": {answer}")}
    if re.search(r"\bhow (?:many|much|old|tall|long|far|often|high|big)\b", asked):
        return bool(numbers(answer)) or bool(
            re.search(r"\b(?:a|an|half|every|once|twice)\b", answer)
        )
    if re.search(r"^when\b|\b(?:what|which) (?:year|date|day|month|time)\b", asked):
        return bool(kinds & _TIMES) or bool(numbers(answer)) or answer.islower()
    if re.search(r"^who(?:m|se)?\b", asked):
        return not kinds & _TIMES and not _is_quantity(answer)
    if re.search(r"^where\b", asked):
        return not kinds & _TIMES
    return True


def _unknown(ours: frozenset[str], theirs: frozenset[str]) -> bool:
    """Whether one of the words stands there in no form: Scandinavian may be Scandinavia."""
    beginnings = {word[:_BEGINNING] for word in theirs}
    return any(word[:_BEGINNING] not in beginnings for word in ours)


def _is_quantity(answer: str) -> bool:
    return _NUMBER.match(answer) is not None and not names(f": {answer}")


def counted(text: str) -> frozenset[str]:
    """The units that something is counted in."""
    pairs = pairwise(re.findall(r"[\w.,'’]+", text.lower()))  # noqa: RUF001
    return frozenset(
        stem(unit)
        for before, unit in pairs
        if any(stem(unit) in group for group in UNITS) and (before in COUNTING or numbers(before))
    )


def _units(said: str, text: str) -> bool:
    """Whether something is counted in a unit that the text has not, but another of its kind."""
    ours, theirs = counted(said), words(text)
    return any(ours & group - theirs and theirs & group for group in UNITS)


def _negated(said: str, text: str) -> bool:
    """Whether the sentence that says most of it says the opposite."""
    ours = words(said)
    near = max(sentences(text) or [text], key=lambda one: len(ours & words(one)))
    if len(ours & words(near)) < _LEAST_SHARED * len(ours):
        return False
    return is_negated(said) and not is_negated(near)


def is_negated(text: str) -> bool:
    return len(NEGATION.findall(text.lower())) % 2 == 1


def stem(word: str) -> str:
    """Without the ending of a plural or a possessive."""
    word = re.sub(r"['’]s?$", "", word)  # noqa: RUF001
    return word[:-1] if len(word) > 3 and word.endswith("s") and word[-2] not in "su" else word
