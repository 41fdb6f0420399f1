"""What everybody knows: said again by the base beside every batch, and asked to see that it stays.

The questions lie in general.json; those rehearsed and those asked are different ones. More are only
compared with, see routing.py: what people ask of no document.
"""

import json
import random
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from agent.settings import TrainSettings
from memory.records import Probe


def prompts(size: int, seed: int) -> tuple[str, ...]:
    """Questions to rehearse in random order, at most as many as there are. No answers: those are
    the base's own, see rehearsal.py."""
    known: Sequence[str] = _read("prompts")
    return tuple(random.Random(seed).sample(known, min(size, len(known))))


def everything() -> list[str]:
    """All general questions, rehearsed or asked."""
    return [*_read("prompts"), *(question for question, _ in _read("probes"))]


def common() -> list[str]:
    """What a question is compared with: all of these, and what else people say to an assistant."""
    return [*everything(), *_read("common")]


def beside(items: int, settings: TrainSettings, seed: int, times: int = 1) -> tuple[str, ...]:
    """The questions to rehearse beside so many new study items; `times` as many after failures."""
    size = max(settings.general_least, round(settings.general_share * items))
    return prompts(size * times, seed)


def probes() -> list[Probe]:
    """The fixed general examination."""
    return [
        Probe(None, "general", question, answer, statement=answer)
        for question, answer in _read("probes")
    ]


def _read(part: str) -> list[Any]:
    table: dict[str, list[Any]] = json.loads(files("agent").joinpath("general.json").read_text())
    return table[part]
