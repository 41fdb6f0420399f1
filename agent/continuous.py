"""Decoding without pauses: where an answer ends, the next prompt takes its place.

For the networks that are written out (plain.py). All prompts and answers on their way go through
the network in one pass, whatever their length, and nothing is copied from token to token. What an
answer is expected to be can be read with its prompt: a guess as in speculative decoding (Leviathan
et al. 2023), of which one pass says how likely it is and how far the model would say the same.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from agent.plain import PlainDecoder
from agent.prefixes import TOKENS as REMEMBERED
from agent.prompts import Asked, Group
from agent.sampling import Choice
from agent.shelves import Row

ALIKE: Final = 16  # prompts that are admitted together, as they begin alike
_GUESSED: Final = 32  # answers that are read with their prompts at a time: logits are wide
TOKENS: Final = 32_768  # of prompts and answers on their way at most, unless one alone has more


@dataclass(eq=False, slots=True)
class _Answer:
    """On its way."""

    number: int  # of its prompt
    row: Row
    unread: tuple[int, ...]
    room: int  # tokens that it may still get
    said: list[int] = field(default_factory=list)  # without end tokens


@dataclass(frozen=True, slots=True)
class Guess:
    """What became of an expected answer."""

    logprob: float  # mean of the expected tokens, in nats
    exact: bool  # greedy decoding says the expected tokens, and ends with them
    said: list[int]  # without end tokens


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
    written: dict[int, list[int]] = {}
    waiting, underway = deque(groups), list[_Answer]()
    while waiting or underway:
        while admitted := _fitting(waiting, underway, prompts, rows):
            underway += _admit(decoder, admitted, prompts)
        if done := _step(decoder, underway, choose, ends):
            written |= {one.number: one.said for one in done}
            on_done(len(done))
    return written


@torch.inference_mode()
def recite(
    decoder: PlainDecoder,
    groups: Sequence[Group],
    prompts: Sequence[Asked],
    expected: Sequence[Sequence[int]],
    rows: int,
    ends: frozenset[int],
) -> list[Guess]:
    """What is said to each prompt, greedily, and how likely the expected tokens were."""
    graded: dict[int, tuple[float, bool]] = {}
    waiting, underway, ended = deque(groups), list[_Answer](), list[_Answer]()
    while waiting or underway:
        while admitted := _fitting(waiting, underway, prompts, rows):
            answers = list(_admit(decoder, admitted, prompts))
            for start in range(0, len(answers), _GUESSED):
                graded |= _guess(decoder, answers[start : start + _GUESSED], expected, ends)
            underway += answers
            ended += _leave(decoder, underway, ends)
        if underway:
            ended += _step(decoder, underway, lambda logits: logits.argmax(-1), ends)
    said = {one.number: one.said for one in ended}
    return [Guess(*graded[i], said[i]) for i in range(len(prompts))]


def _step(
    decoder: PlainDecoder,
    underway: list[_Answer],
    choose: Callable[[Tensor], Tensor],
    ends: frozenset[int],
) -> list[_Answer]:
    """One more token of each; returns those that have ended."""
    logits = decoder.read([(one.row, one.unread) for one in underway])
    for one, token in zip(underway, choose(logits).tolist(), strict=True):
        _say(one, (token,), ends)
    return _leave(decoder, underway, ends)


def _guess(
    decoder: PlainDecoder,
    answers: Sequence[_Answer],
    expected: Sequence[Sequence[int]],
    ends: frozenset[int],
) -> Iterator[tuple[int, tuple[float, bool]]]:
    """Read prompts with their expected answers; each goes on where it says something else. How
    likely each was, and whether greedy decoding says it, by number."""
    wanted = [expected[one.number] for one in answers]
    lengths = [len(tokens) for tokens in wanted]
    guesses = zip(answers, wanted, strict=True)
    logits = decoder.read([(one.row, (*one.unread, *it[:-1])) for one, it in guesses], lengths)
    for one, tokens, own in zip(answers, wanted, torch.split(logits, lengths), strict=True):
        targets = torch.tensor(tokens, device=own.device)
        chances = own.float().log_softmax(-1).gather(-1, targets[:, None])
        best = own.argmax(-1)
        same = int((best == targets).cumprod(0).sum())
        _say(one, best[: same + 1].tolist(), ends)
        decoder.rewind(one.row, max(0, len(tokens) - 1 - same))
        yield one.number, (float(chances.mean()), same == len(tokens))


def _say(one: _Answer, tokens: Sequence[int], ends: frozenset[int]) -> None:
    """Take what was chosen, the last of which is still to be read."""
    one.unread, one.room = tuple(tokens[-1:]), one.room - len(tokens)
    one.said += [token for token in tokens if token not in ends]


def _leave(decoder: PlainDecoder, underway: list[_Answer], ends: frozenset[int]) -> list[_Answer]:
    """Who has ended makes room."""
    done = [one for one in underway if one.room <= 0 or one.unread[0] in ends]
    for one in done:
        decoder.drop(one.row)
        underway.remove(one)
    return done


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
