"""Decoding without pauses: where an answer ends, the next prompt takes its place.

For the networks that are written out (plain.py). All prompts and answers on their way go through
the network in one pass, whatever their length, and nothing is copied from token to token.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from agent.plain import PlainDecoder
from agent.prefixes import TOKENS as REMEMBERED
from agent.prompts import Asked, Group
from agent.sampling import Choice
from agent.shelves import Row

TOKENS: Final = 32_768  # of prompts and answers on their way at most, unless one alone has more


@dataclass(eq=False, slots=True)
class _Answer:
    """On its way."""

    number: int  # of its prompt
    row: Row
    unread: tuple[int, ...]
    room: int  # tokens that it may still get


@torch.inference_mode()
def write(
    decoder: PlainDecoder,
    groups: Sequence[Group],
    prompts: Sequence[Asked],
    rows: int,
    choose: Choice,
    ends: frozenset[int],
    on_done: Callable[[int], None],
) -> dict[int, list[int]]:
    """New tokens of each member of the groups, at most so many rows at a time."""
    written: dict[int, list[int]] = {i: [] for group in groups for i in group.members}
    waiting, underway = deque(groups), list[_Answer]()
    while waiting or underway:
        while admitted := _fitting(waiting, underway, prompts, rows):
            underway += _admit(decoder, admitted, prompts)
        logits = decoder.read([(one.row, one.unread) for one in underway])
        for one, token in zip(underway, choose(logits).tolist(), strict=True):
            one.unread, one.room = (token,), one.room - 1
            if token not in ends:
                written[one.number].append(token)
        done = [one for one in underway if one.room <= 0 or one.unread[0] in ends]
        for one in done:
            decoder.drop(one.row)
            underway.remove(one)
        if done:
            on_done(len(done))
    return written


def _fitting(
    waiting: deque[Group], underway: Sequence[_Answer], prompts: Sequence[Asked], rows: int
) -> list[Group]:
    """Takes the groups for which there is room beside what is underway; there always is for one
    alone. What they share is all remembered until it is used."""
    numbers, shared, found = [one.number for one in underway], 0, list[Group]()
    while waiting:
        group = waiting[0]
        tokens = sum(len(prompts[i].tokens) + prompts[i].most for i in (*numbers, *group.members))
        if numbers and (len(numbers) + len(group.members) > rows or tokens > TOKENS):
            break
        if found and shared + len(group.shared) > REMEMBERED:
            break
        shared += len(group.shared)
        numbers += group.members
        found.append(waiting.popleft())
    return found


def _admit(
    decoder: PlainDecoder, groups: Sequence[Group], prompts: Sequence[Asked]
) -> Iterator[_Answer]:
    """Read what each group shares, once, and all of it together."""
    shared = [group.shared for group in groups if len(group.members) > 1]
    leads = [(decoder.open(one), one) for one in shared]
    if leads:
        decoder.read([(row, one[row.seen :]) for row, one in leads])
    for row, _ in leads:
        decoder.close(row)
    for i in (i for group in groups for i in group.members):
        row = decoder.open(prompts[i].tokens)
        yield _Answer(i, row, prompts[i].tokens[row.seen :], prompts[i].most)
