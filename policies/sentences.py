"""Text -> sentences, by rules alone: quick, the same everywhere, and without a model.

Wherever it is in doubt it does not split: two sentences in one do less harm than half a fact.
"""

import re

LINE_START = re.compile(r"^\s*(?:- |\d{1,3}\. )")  # marker of a list item
SKIPPED = re.compile(r"#{1,6} | {4}")  # headings and code are no sentences
CLOSERS = """["'”’»)\\]」』]*+"""  # noqa: RUF001
END = re.compile(
    rf"(?<![.!?…])[.!?…]++{CLOSERS}\s++(?=\S)"  # the lookbehind keeps "......" from costing n * n
    rf"|[。！？।]{CLOSERS}\s*+(?=\S)"  # noqa: RUF001  # scripts without a space after the stop
)
LAST_WORD = re.compile(r"[\w.'’-]+$")  # noqa: RUF001
NEXT_WORD = re.compile(r"\W{0,5}(\w*)")
INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")  # J. R. Smith, U.S. law, e.g. this
ENUMERATION = re.compile(r"\W*\d+\W*")

# fmt: off
ABBREVIATIONS = frozenset({
    "adj", "al", "approx", "assoc", "ave", "bros", "capt", "cf", "co", "col", "corp", "dept", "dr",
    "est", "etc", "ext", "ff", "gen", "gov", "hon", "inc", "incl", "jr", "lt", "ltd", "max", "min",
    "misc", "mr", "mrs", "ms", "mt", "ph.d", "prof", "rev", "sen", "sgt", "sr", "st", "tel", "univ",
    "viz", "vs",
    "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
})
NUMBERED = frozenset({  # abbreviations before a number only
    "art", "ca", "ch", "chap", "eq", "fig", "figs", "no", "nos", "nr", "p", "par", "pp", "sec",
    "tab", "vol",
})
OPENERS = frozenset({  # a sentence begins here, even after an abbreviation
    "a", "after", "all", "an", "and", "any", "as", "at", "before", "but", "each", "every", "for",
    "he", "her", "here", "his", "how", "if", "in", "it", "its", "no", "on", "our", "please", "she",
    "since", "so", "some", "that", "the", "their", "there", "these", "they", "this", "those", "to",
    "we", "what", "when", "where", "while", "who", "why", "you", "your",
})
# fmt: on


def sentences(text: str) -> list[str]:
    """The sentences of a chunk, in order. A list item or table row is at least one of them.

    List markers are cut off; headings and code are left out.
    """
    lines = (line for line in text.split("\n") if not SKIPPED.match(line))
    found = (sentence for line in lines for sentence in _split_line(LINE_START.sub("", line, 1)))
    return [sentence for sentence in found if any(map(str.isalnum, sentence))]


def _split_line(line: str) -> list[str]:
    pieces: list[str] = []
    start = 0
    for end in END.finditer(line):
        if _ends_sentence(line[start : end.start()], end[0], NEXT_WORD.match(line, end.end())):
            pieces.append(line[start : end.end()].strip())
            start = end.end()
    return [*pieces, line[start:].strip()]


def _ends_sentence(before: str, stop: str, following: re.Match[str] | None) -> bool:
    after = following[1] if following else ""
    if after[:1].islower() or ENUMERATION.fullmatch(before):
        return False
    last = LAST_WORD.search(before[-40:])
    if not stop.startswith(".") or stop.startswith("..") or last is None:
        return True
    word = last[0].lower()
    if word in NUMBERED and after[:1].isdigit():
        return False
    is_short = word in ABBREVIATIONS or INITIALS.fullmatch(word) is not None
    return not is_short or after.lower() in OPENERS
