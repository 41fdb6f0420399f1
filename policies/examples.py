"""A task as a file of JSON lines, each an input and the output that is wanted for it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeGuard

from memory.errors import BadDocument

LEAST: Final = 12  # examples
MOST: Final = 2_000
_CHARACTERS: Final = 2_000  # of an example: three of them stand in one prompt
_ALL_CHARACTERS: Final = 200_000  # of all: what a training can pass over in minutes


@dataclass(frozen=True, slots=True)
class Example:
    """What is given, and what is to be answered."""

    given: str
    answer: str


def parse(source: str) -> list[Example]:
    """The examples of a file of JSON lines, each once. Raises BadDocument with the line."""
    found: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(source.split("\n"), 1):
        if line.strip():
            one = _example(number, line)
            first, answer = found.setdefault(one.given, (number, one.answer))
            if answer != one.answer:
                raise BadDocument(f"lines {first} and {number} answer the same input differently")
    if not LEAST <= len(found) <= MOST:
        wanted = f"{LEAST} to {MOST:,} examples"
        raise BadDocument(f"{len(found):,} different examples; a task is learned from {wanted}")
    size = sum(len(given) + len(answer) for given, (_, answer) in found.items())
    if size > _ALL_CHARACTERS:
        raise BadDocument(f"{size:,} characters of examples; {_ALL_CHARACTERS:,} are the most")
    return [Example(given, answer) for given, (_, answer) in found.items()]


def _example(number: int, line: str) -> Example:
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        raise BadDocument(f"line {number} is no JSON") from None
    given, answer = (read.get("input"), read.get("output")) if isinstance(read, dict) else ("", "")
    if not (_is_text(given) and _is_text(answer)):
        raise BadDocument(f'line {number} is not of the form {{"input": "text", "output": "text"}}')
    if len(given) + len(answer) > _CHARACTERS:
        raise BadDocument(f"line {number} is longer than {_CHARACTERS:,} characters")
    return Example(given.strip(), answer.strip())


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())


def written(examples: Sequence[Example]) -> str:
    """As parse() reads it."""
    rows = [{"input": one.given, "output": one.answer} for one in examples]
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def read(text: str) -> list[Example]:
    """What written() wrote."""
    return [_example(number, line) for number, line in enumerate(text.split("\n"), 1)]
