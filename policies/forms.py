"""What people type in haste, made from a sentence by rule: grounded by construction, for any model.

It carries the study of a model that cannot write questions, and adds coverage to one that can.
"""

import random
import re

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


def keywords(topic: str, passage: str, span: Span, chance: random.Random) -> str:
    """A few words of the passage and a question word, as people type in haste: "battery Bittern
    lasts, how many years?" Each draw is another one, so no single phrasing is learned by heart."""
    words = re.findall(r"[\w'’-]+", passage.replace(span.text, " "))  # noqa: RUF001
    telling = [word for word in words if word.lower() not in _EMPTY and not word.isspace()]
    drawn = chance.sample(telling, min(len(telling), chance.choice((3, 4, 5))))
    if not any(word[0].isupper() for word in drawn):
        drawn.insert(0, topic)
    asking = _asking(span)
    if chance.random() < 0.5:
        return f"{asking[0].upper()}{asking[1:]}: {' '.join(drawn)}?"
    return f"{' '.join(drawn)}, {asking}?"


def _asking(span: Span) -> str:
    if span.kind is Kind.COUNT:
        unit = span.text.replace("-", " ").split(" ", 1)[1]
        return f"how many {unit}"
    return _ASKING[span.kind]


# fmt: off
_EMPTY = frozenset({
    "a", "all", "an", "and", "any", "are", "as", "at", "be", "by", "down", "each", "every", "for",
    "from", "has", "have", "how", "in", "is", "it", "its", "many", "may", "more", "most", "must",
    "no", "not", "of", "on", "or", "our", "than", "that", "the", "their", "then", "they", "this",
    "those", "to", "up", "was", "we", "were", "what", "which", "who", "whom", "with", "you", "your",
})
# fmt: on
