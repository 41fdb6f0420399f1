"""Texts with what people ask about them: to practise on, or to measure with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from memory.errors import BadInput

ASKED: Final = "question"
_COMPLETIONS: Final = {"mem": "memory", "gen": "paraphrase", "hard_gen": "compositional"}
_TITLE_WORDS = 6  # of a text that has no title: how it begins


@dataclass(frozen=True, slots=True)
class Question:
    """One question, or the beginning of a sentence that is to be finished."""

    text: str
    answer: str
    kind: str = ASKED  # or what a completion tests: memory, paraphrase, compositional


@dataclass(frozen=True, slots=True)
class Passage:
    """A text with what people asked about it."""

    title: str
    context: str
    questions: tuple[Question, ...]


def read_passages(path: Path) -> list[Passage]:
    """Passages of a JSON file, in one of two forms:

    [{title, context, questions: [{question, answer}]}], the answers being spans of the text, or
    [{train_context, mem_input, mem_target, gen_input, ...}]: completions (Chang et al. 2024).
    Raises BadInput if it is of neither.
    """
    try:
        rows = json.loads(path.read_text())
        return [_completed(row) if "train_context" in row else _asked(row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} holds no passages with questions: {error!r}") from error


def read_questions(path: Path) -> list[Question]:
    """Questions of a JSON file [{question, answer}]. Raises BadInput if it is not of that form."""
    try:
        return [Question(row["question"], row["answer"]) for row in json.loads(path.read_text())]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} holds no questions with answers: {error!r}") from error


def _asked(row: Mapping[str, Any]) -> Passage:
    questions = (Question(one["question"], one["answer"]) for one in row["questions"])
    return Passage(row["title"], row["context"], tuple(questions))


def _completed(row: Mapping[str, Any]) -> Passage:
    context = row["train_context"]
    questions = (
        Question(f"Finish this sentence: {begun} ...", target, kind)
        for prefix, kind in _COMPLETIONS.items()
        for begun, target in zip(row[f"{prefix}_input"], row[f"{prefix}_target"], strict=True)
    )
    return Passage(" ".join(context.split()[:_TITLE_WORDS]), context, tuple(questions))
