"""Question forms made from a sentence by rule: grounded by construction, for any model.

They carry the study of a model that cannot write questions, and add coverage to one that can.
"""

from policies.spans import Kind, Span

_ASKING = {
    Kind.ADDRESS: "which address",
    Kind.CODE: "what",
    Kind.DATE: "what date",
    Kind.TIME: "what time",
    Kind.YEAR: "what year",
    Kind.NUMBER: "what number",
    Kind.DAY: "what day",
    Kind.PERSON: "who",
    Kind.NAME: "what",
    Kind.ENDING: "what",
}


def cloze(topic: str, sentence: str, span: Span) -> str:
    """The sentence with a gap."""
    gap = f"{sentence[: span.start]}____{sentence[span.end :]}"
    return f"{topic}. Fill the gap: {gap}"


def question(sentence: str, span: Span) -> str:
    """The sentence with a question word in place of the span: The tank holds how many litres?"""
    asked = sentence[: span.start] + _asking(span) + sentence[span.end :]
    asked = asked.rstrip(" .;:!") + "?"
    return asked[0].upper() + asked[1:]


def _asking(span: Span) -> str:
    if span.kind is Kind.COUNT:
        unit = span.text.replace("-", " ").split(" ", 1)[1]
        return f"how many {unit}"
    return _ASKING[span.kind]
