"""What the served weights were taught, as texts that a question can be compared with."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_EACH: Final = 4  # questions of a statement that are kept; with two as many are told apart


@dataclass(frozen=True, slots=True)
class Taught:
    """Texts by what they are."""

    statements: tuple[str, ...] = ()  # under the titles that they stand under
    sentences: tuple[str, ...] = ()  # the same without their titles
    questions: tuple[str, ...] = ()  # that they answer

    def __add__(self, other: "Taught") -> "Taught":
        return Taught(
            self.statements + other.statements,
            self.sentences + other.sentences,
            self.questions + other.questions,
        )


def taught(items: Iterable[tuple[str, str, str, str]]) -> Taught:
    """Of study items about documents, as (title, kind, prompt, answer)."""
    statements, asked = dict[str, str](), defaultdict[str, dict[str, None]](dict)
    for title, kind, prompt, answer in items:
        statement = answer if kind == "text" else f"{title}: {answer}"
        statements[statement] = answer.removeprefix(f"{title}: ")
        if kind == "qa" and len(asked[statement]) < _EACH:
            asked[statement][prompt] = None
    questions = dict.fromkeys(one for group in asked.values() for one in group)
    sentences = dict.fromkeys(statements.values())
    return Taught(tuple(statements), tuple(sentences), tuple(questions))
