"""Titled text -> chunks small enough to study in one go.

Takes the text that agent/extract.py writes. A chunk never crosses a heading, holds whole sentences
(only one that is longer than a chunk is cut), and a list that is cut takes its lead-in along.
Does not cover: a cut between an item and the nested items under it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

from policies.sentences import sentences

__all__ = ["count_words", "sentences", "split"]

CHARACTERS_PER_WORD = 10  # where no spaces part the words: Chinese, Thai, long identifiers
TITLE_CHARACTERS = 200
HEADING = re.compile(r"(#{1,6}) +(\S.*)")
ITEM = re.compile(r" {0,2}(?:- |\d{1,3}\. )")
CODE = " " * 4


@dataclass(frozen=True, slots=True)
class Unit:
    """What stays in one piece: a sentence, a list item, a table row, a line of code."""

    text: str
    glue: str = "\n\n"  # between it and the unit before, in the same chunk
    lead: str = ""  # comes first where the unit opens a chunk


def count_words(text: str) -> int:
    """Length in words; where spaces are rare, in tens of characters."""
    return max(len(text.split()), ceil(len(text) / CHARACTERS_PER_WORD))


def split(title: str, text: str, chunk_words: int) -> list[tuple[str, str]]:
    """(chunk title, chunk text) in order; a text has 1 to `chunk_words` words, plus a lead-in.

    A chunk title is "Document > Heading > Lower heading". Of a text of nothing but headings, the
    headings are the text.
    """
    sections = list(_sections(title, text)) or [(title, _headings(text))]
    return [
        (section, chunk)
        for section, blocks in sections
        for chunk in _pack(list(_fit(_units(blocks), chunk_words)), chunk_words)
    ]


def _sections(title: str, text: str) -> Iterator[tuple[str, list[str]]]:
    """(chunk title, blocks) of each stretch between two headings that is not empty."""
    trail: list[tuple[int, str]] = []  # (level, heading) from the outermost to the present one
    blocks: list[str] = []
    for block in _blocks(text):
        heading = HEADING.fullmatch(block)
        if heading is None:
            blocks.append(block)
            continue
        if blocks:
            yield _chunk_title(title, trail), blocks
        blocks = []
        level = len(heading[1])
        trail = [outer for outer in trail if outer[0] < level] + [(level, heading[2])]
    if blocks:
        yield _chunk_title(title, trail), blocks


def _blocks(text: str) -> list[str]:
    blocks = (
        "\n".join(line for line in block.split("\n") if line.strip())
        for block in re.split(r"\n{2,}", text)
    )
    return [block for block in blocks if block]


def _headings(text: str) -> list[str]:
    return [block.lstrip("# ") for block in _blocks(text)]


def _chunk_title(title: str, trail: Sequence[tuple[int, str]]) -> str:
    names = [title, *(heading for _, heading in trail if heading != title)]
    return " > ".join(filter(None, names))[:TITLE_CHARACTERS]


def _units(blocks: Sequence[str]) -> list[Unit]:
    units: list[Unit] = []
    for block in blocks:
        lines = block.split("\n")
        if len(lines) > 1 or ITEM.match(block) or block.startswith(CODE):
            lead = units.pop() if units and units[-1].text.endswith(":") else None
            units.extend(_listed(lines, lead))
        else:
            first, *others = sentences(block) or [block]
            units.extend([Unit(first), *(Unit(other, " ") for other in others)])
    return units


def _listed(lines: Sequence[str], lead: Unit | None) -> Iterator[Unit]:
    """One unit a line. The lead-in stays with the first, and is repeated where a cut falls."""
    first, *others = lines
    if lead is None:
        yield Unit(first)
        yield from (Unit(other, "\n") for other in others)
    else:
        yield Unit(f"{lead.text}\n\n{first}", lead.glue)
        yield from (Unit(other, "\n", f"{lead.text}\n\n") for other in others)


def _fit(units: Sequence[Unit], limit: int) -> Iterator[Unit]:
    """The same units; one that is larger than a chunk is cut into its words."""
    width = limit * CHARACTERS_PER_WORD
    for unit in units:
        lead = unit.lead if count_words(unit.lead) <= limit // 2 else ""
        if count_words(unit.text) <= limit:
            yield replace(unit, lead=lead)
            continue
        words = unit.text.split()
        first, *others = (word[i : i + width] for word in words for i in range(0, len(word), width))
        yield Unit(first, unit.glue, lead)
        yield from (Unit(other, " ") for other in others)


def _pack(units: Sequence[Unit], limit: int) -> Iterator[str]:
    """Chunks of about the same length, so that no section ends in a crumb."""
    sizes = [count_words(unit.text) for unit in units]
    count = ceil(sum(sizes) / limit)
    target = sum(sizes) / count if count > 1 else limit
    chunk, filled = "", 0
    for unit, size in zip(units, sizes, strict=True):
        if chunk and filled < target and filled + size <= limit:
            chunk, filled = chunk + unit.glue + unit.text, filled + size
        else:
            if chunk:
                yield chunk
            chunk, filled = unit.lead + unit.text, size
    if chunk:
        yield chunk
