"""Prompts, and which of them begin alike: what they share is read once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.prefixes import common

_WORTH: Final = 24  # tokens that prompts must share to be a group


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as tokens, and how long its answer may get."""

    tokens: tuple[int, ...]
    most: int  # new tokens


@dataclass(frozen=True, slots=True)
class Group:
    """Prompts that begin with the same tokens, by their place in the order given."""

    shared: tuple[int, ...]
    members: tuple[int, ...]


def groups(prompts: Sequence[Asked], most: int) -> list[Group]:
    """Of so many members at most; neighbours in alphabetical order share the most."""
    order = sorted(range(len(prompts)), key=lambda i: prompts[i].tokens)
    found: list[Group] = []
    for i in order:
        mine = prompts[i].tokens[:-1]  # the last token is never shared: it gives the first logits
        alike = common(found[-1].shared, mine) if found else 0
        if found and len(found[-1].members) < most and _pays(alike, found[-1]):
            found[-1] = Group(mine[:alike], (*found[-1].members, i))
        else:
            found.append(Group(mine, (i,)))
    return found


def _pays(alike: int, group: Group) -> bool:
    """Whether one more member is worth the tokens that the group would no longer share."""
    return alike >= max(_WORTH, len(group.shared) // 2)
