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
from agent.prompts import Asked, Group
from agent.sampling import Choice
from agent.shelves import Row

TOKENS: Final = 16_384  # of prompts and answers on their way at most, unless one alone has more


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
        while waiting and _fits(waiting[0], underway, prompts, rows):
            underway += _admit(decoder, waiting.popleft(), prompts)
        logits = decoder.read([(one.row, one.unread) for one in underway])
        for one, token in zip(underway, choose(logits).tolist(), strict=True):
            one.unread, one.room = (token,), one.room - 1
            if token not in ends:
                written[one.number].append(token)
        done = [one for one in underway if one.room == 0 or one.unread[0] in ends]
        for one in done:
            decoder.drop(one.row)
            underway.remove(one)
        if done:
            on_done(len(done))
    return written


def _fits(group: Group, underway: Sequence[_Answer], prompts: Sequence[Asked], rows: int) -> bool:
    """Whether there is room for a group beside what is underway; there always is for one alone."""
    numbers = [*group.members, *(one.number for one in underway)]
    tokens = sum(len(prompts[i].tokens) + prompts[i].most for i in numbers)
    return not underway or (len(numbers) <= rows and tokens <= TOKENS)


def _admit(decoder: PlainDecoder, group: Group, prompts: Sequence[Asked]) -> Iterator[_Answer]:
    """Read what the group shares, once."""
    if len(group.members) > 1:
        lead = decoder.open(group.shared)
        decoder.read([(lead, group.shared[lead.seen :])])
        decoder.close(lead)
    for i in group.members:
        row = decoder.open(prompts[i].tokens)
        yield _Answer(i, row, prompts[i].tokens[row.seen :], prompts[i].most)
