"""What everybody knows: rehearsed beside every batch, and asked to see that it stays.

The questions lie in general.json; those rehearsed and those asked are different ones.
"""

import json
import random
from importlib.resources import files

from memory.records import Probe, StudyItem


def items(size: int, seed: int) -> list[StudyItem]:
    """Study items in random order, at most as many as there are."""
    known = [StudyItem(None, "general", q, a, "general") for q, a in _read("study")]
    return random.Random(seed).sample(known, min(size, len(known)))


def probes() -> list[Probe]:
    """The fixed general examination."""
    return [Probe(None, "general", question, answer) for question, answer in _read("probes")]


def _read(part: str) -> list[tuple[str, str]]:
    table = json.loads(files("agent").joinpath("general.json").read_text())
    return [(question, answer) for question, answer in table[part]]
