"""How far a text rests on another one, by words alone: cheap, and the same for any model.

A filter for what a small writer makes up, not a proof: a negation passes.
"""

import re

from policies.sentences import sentences

_WORD = re.compile(r"\w+(?:[.,:]\d+)*")
_STEM = 5  # letters that two forms of a word share


def overlap(text: str, source: str) -> float:
    """Share of the telling words of a text that stand in the source; 0 if one of its numbers does
    not, or if it has no telling word."""
    own, known = _telling(text), _telling(source)
    if not own or any(word[0].isdigit() and word not in known for word in own):
        return 0.0
    return len(own & known) / len(own)


def nearest(text: str, source: str) -> str:
    """The sentence of the source with most words of the text; the source if it has none."""
    return max(sentences(source), key=lambda one: _shared(text, one), default=source)


def _shared(text: str, sentence: str) -> float:
    own, known = _telling(text), _telling(sentence)
    return len(own & known) / max(1, len(own | known))


def _telling(text: str) -> frozenset[str]:
    """Numbers, and the beginnings of the longer words."""
    words = _WORD.findall(text.lower())
    return frozenset(one if one[0].isdigit() else one[:_STEM] for one in words if _tells(one))


def _tells(word: str) -> bool:
    return word[0].isdigit() or len(word) > 3
