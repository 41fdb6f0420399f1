"""Probes that are wrong themselves, found before they count.

A small writer often asks something else than it was told to. So the practised base reads what it
asked: first with the sentence that should answer before it, then with the whole chunk. A probe that
it can answer from neither is not asked. It reads badly itself: either reading alone drops
6 to 17 of 46 good probes, both together 1, and finds 14 of 34 wrong ones (CHANGELOG.md).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from agent.examine import is_right
from memory.records import Chunk, Probe
from policies import skills
from policies.base import Ask, Tools

_ANSWER_TOKENS: Final = 40
_MOST: Final = 0.5  # share of the probes: a reader that doubts more cannot read this text


def faults(probes: Sequence[Probe], chunks: Sequence[Chunk], tools: Tools) -> dict[Probe, str]:
    """The probes that the text does not answer, to this reader, with what it said instead."""
    where: dict[int | None, Chunk] = {chunk.id: chunk for chunk in chunks}
    failed = _misread(probes, where, lambda probe, chunk: probe.statement, tools)
    found = _misread(list(failed), where, lambda probe, chunk: chunk.text, tools)
    if len(found) > _MOST * len(probes):
        return {}
    return {
        probe: f"with the text before it the model says: {said}" for probe, said in found.items()
    }


def _misread(
    probes: Sequence[Probe],
    where: Mapping[int | None, Chunk],
    text: Callable[[Probe, Chunk], str],
    tools: Tools,
) -> dict[Probe, str]:
    """What was said where it is not the answer, nor a part of it ("143" of "143 people")."""
    asks = [_asking(probe, where[probe.chunk_id], text) for probe in probes]
    said = zip(probes, tools.generate(asks, 0.0, 0), strict=True)
    return {
        probe: answer
        for probe, answer in said
        if not (is_right(answer, probe.answer) or is_right(probe.answer, answer))
    }


def _asking(probe: Probe, chunk: Chunk, text: Callable[[Probe, Chunk], str]) -> Ask:
    prompt = skills.reader(chunk.title, text(probe, chunk), probe.question)
    return Ask(prompt, _ANSWER_TOKENS)
