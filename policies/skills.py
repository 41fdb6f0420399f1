"""The skills to study, as prompts: the same words when they are taught and when they are used.

writer   text, answer   -> questions that the text answers so, a line each
reader   text, question -> the answer, or NOT_STATED
"""

from typing import Final

NOT_STATED: Final = "not stated"


def writer(title: str, text: str, answer: str, count: int) -> str:
    """Prompt for questions, a line each, whose answer is a given span of the text."""
    wanted = "a question" if count == 1 else f"{count} questions in different words"
    return f"{title}: {text}\n\nWrite {wanted} whose answer is: {answer}"


def reader(title: str, text: str, question: str) -> str:
    """Prompt for a short answer out of the text."""
    return (
        f"{title}: {text}\n\nAnswer from this text in a few words, or say {NOT_STATED}: {question}"
    )
