"""The daemon's pipeline with one part off, through settings that everybody has: what was it worth?

`no_kl` keeps the base's answers in the material, because the adapter's inputs are aimed by them,
but learns nothing from them. `no_reviews` asks no old probe, neither beside a batch nor in idle
time, so that nothing is known of what slips, and nothing is repaired.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from service.config import Config

_OFF: Final[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {  # part: section: key: value
    "replay": {"train": {"replay_most": 0}},
    "kl": {"train": {"general_weight": 0.0}},
    "gate": {"gate": {"min_learned": 0.0, "false_rejects": 0.0, "base_lost": 1.0}},
    "reviews": {"gate": {"neighbours": 0, "due": 0, "due_share": 0.0}},
    "consolidation": {"consolidate": {"after": 0}},
}
PARTS: Final = tuple(_OFF)
METHODS: Final = tuple(f"no_{part}" for part in PARTS)


def ablated(config: Config, method: str) -> Config:
    """The configuration of a method; `learnd` has all of its parts."""
    off = _OFF.get(method.removeprefix("no_"), {})
    changes = {section: replace(getattr(config, section), **keys) for section, keys in off.items()}
    return config.model_copy(update=changes)


def reviews(method: str) -> bool:
    """Whether it looks at what is served when nothing else is to be done."""
    return method != "no_reviews"
