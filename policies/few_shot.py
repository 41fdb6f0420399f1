"""SEAL's second setting (Zweiger et al. 2025), few-shot adaptation: a task is learned by examples.

The self-edit chooses how: which augmentations of the examples to train on, on which tokens the loss
falls, the learning rate and the epochs. The model writes some self-edits, chance draws the rest; of
each a throw-away adapter is trained twice on a part of the examples and examined on another. Below
the floor of reliability the usual self-edit stays: its control. Augmentations are those of text in
place of the paper's rotations of grids. Held-out examples examine the adapter, and nothing else.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

import numpy as np

from memory.records import TASK, WHOLE, Chunk, Health, Probe, StudyItem
from policies.base import NO_DIRECTIVES, Ask, Directives, StudyPlan, Tools
from policies.examples import Example, read
from policies.pipeline import RELIABLE
from policies.reward import judged
from policies.seal import BOUNDS, directed

NAME: Final = "few_shot"
AUGMENTATIONS: Final = ("wordings", "demonstrations", "noise", "reverse")
_HELD_OUT: Final = 5  # every fifth example, 4 at least, 40 at most
_ARMS: Final = 4  # self-edits that are tried, the usual one among them
_TRAININGS: Final = 2  # of each
_SAMPLES: Final = 6  # self-edits that the model is asked for
_SHOWN: Final = 3  # examples in a prompt
_DIRECTING: Final = (
    "{examples}\n\nThis task is to be learned by fine-tuning on {count} examples. Choose some of "
    "the augmentations {augmentations}, the tokens that bear the loss (output or all), the "
    "learning rate and the epochs. Answer with JSON alone, as in "
    '{{"augmentations": ["wordings"], "loss": "output", "learning_rate": 0.0046, "epochs": 8}}:'
)


@dataclass(frozen=True, slots=True)
class TaskEdit:
    """How to study a task."""

    augmentations: tuple[str, ...]
    whole: bool = False  # whether the loss falls on the input, too
    directives: Directives = NO_DIRECTIVES

    def __str__(self) -> str:
        """As in "wordings+noise, loss on all tokens, learning rate 0.005, 8 epochs"."""
        parts = ["+".join(self.augmentations) or "no augmentation"]
        if self.whole:
            parts.append("loss on all tokens")
        if self.directives.learning_rate:
            parts.append(f"learning rate {self.directives.learning_rate:.2g}")
        if self.directives.epochs:
            parts.append(f"{self.directives.epochs} epochs")
        return ", ".join(parts)


USUAL: Final = TaskEdit(())


def split(examples: Sequence[Example], seed: int) -> tuple[list[Example], list[Example]]:
    """Those to train on, and those held out for the examination."""
    shuffled = Random(seed).sample(examples, len(examples))
    held = min(40, max(4, len(examples) // _HELD_OUT))
    return shuffled[held:], shuffled[:held]


def plan(chunks: Sequence[Chunk], tools: Tools, seed: int, choose: bool = True) -> StudyPlan:
    """What to train on and what to ask, of the chunks of one file of examples; without `choose` by
    the usual self-edit."""
    chunk_of = {one: chunk.id for chunk in chunks for one in read(chunk.text)}
    training, held = split(list(chunk_of), seed)
    edit, health = _chosen(training, chunk_of, tools, seed) if choose else (USUAL, Health())
    items = tuple(expand(training, edit, chunk_of, seed))
    probes = tuple(Probe(chunk_of[one], TASK, one.given, one.answer, one.answer) for one in held)
    figures = {"examples": len(training), "held_out": len(held), "items": len(items)}
    health = replace(health, notes=(f"studied with {edit}", *health.notes))
    return StudyPlan(items, probes, figures, {NAME: health}, edit.directives)


def expand(
    examples: Sequence[Example], edit: TaskEdit, chunk_of: Mapping[Example, int], seed: int
) -> Iterator[StudyItem]:
    """The examples as they are, and as the self-edit varies them."""
    chance, kind = Random(seed), WHOLE if edit.whole else TASK
    for one in examples:
        for prompt in dict.fromkeys(_prompts(one, examples, edit, chance)):
            yield StudyItem(chunk_of[one], kind, prompt, one.answer, NAME)
        if "reverse" in edit.augmentations:
            prompt = f"Which input has the output: {one.answer}"
            yield StudyItem(chunk_of[one], kind, prompt, one.given, NAME)


def _prompts(
    one: Example, examples: Sequence[Example], edit: TaskEdit, chance: Random
) -> Iterator[str]:
    yield one.given
    if "wordings" in edit.augmentations:
        yield framed(one)
    if "noise" in edit.augmentations:
        yield one.given.rstrip(".!?").lower()
    if "demonstrations" in edit.augmentations:
        others = [other for other in examples if other != one]
        shown = chance.sample(others, min(_SHOWN - 1, len(others)))
        yield "\n\n".join([*(f"{framed(other)} {other.answer}" for other in shown), framed(one)])


def framed(one: Example) -> str:
    """An example as it stands in a prompt, up to its answer."""
    return f"Input: {one.given}\nOutput:"


def _chosen(
    training: Sequence[Example], chunk_of: Mapping[Example, int], tools: Tools, seed: int
) -> tuple[TaskEdit, Health]:
    """The self-edit whose adapters held another part of the examples most likely."""
    given, bad = proposals(training, tools, seed)
    drawn = drawings(seed)
    arms = [USUAL, *given][:_ARMS]
    while len(arms) < _ARMS:
        arms = list(dict.fromkeys([*arms, next(drawn)]))
    part = len(training) // 3
    asked = [StudyItem(chunk_of[one], TASK, one.given, one.answer, NAME) for one in training[:part]]
    rewards = np.array(
        [
            [[_mean(tools, training[part:], asked, arm, chunk_of, n) for n in range(_TRAININGS)]]
            for arm in arms
        ]
    )
    found = judged(rewards)
    best = int(rewards.mean(axis=(1, 2)).argmax())
    trusted = found["reliability"] >= RELIABLE
    health = Health(
        reliability=found["reliability"],
        abstained=None if trusted else "chance in training decides: the usual self-edit stays",
        figures={"gain": found["gain"], "tried": len(arms), "written": len(given), "bad": bad},
        notes=tuple(f"{row.mean():.2f}: {arm}" for arm, row in zip(arms, rewards, strict=True)),
    )
    return arms[best] if trusted else USUAL, health


def _mean(
    tools: Tools,
    examples: Sequence[Example],
    asked: Sequence[StudyItem],
    edit: TaskEdit,
    chunk_of: Mapping[Example, int],
    seed: int,
) -> float:
    items = list(expand(examples, edit, chunk_of, seed))
    return float(np.mean(tools.trial(items, asked, seed, edit.directives)))


def proposals(examples: Sequence[Example], tools: Tools, seed: int) -> tuple[list[TaskEdit], int]:
    """Self-edits that the model wrote, each once, and how many of them were nothing of the kind."""
    shown = "\n\n".join(f"{framed(one)} {one.answer}" for one in examples[:_SHOWN])
    names = ", ".join(AUGMENTATIONS)
    prompt = _DIRECTING.format(examples=shown, count=len(examples), augmentations=names)
    said = tools.generate([Ask(prompt, 64, practised=False)] * _SAMPLES, 1.0, seed)
    found = [_edit(one) for one in said]
    good = [one for one in found if one is not None]
    return [one for one in dict.fromkeys(good) if one != USUAL], len(found) - len(good)


def _edit(said: str) -> TaskEdit | None:
    """A self-edit out of what a model said, within BOUNDS; None if it is none."""
    found = re.search(r"\{[^{}]*\}", said)
    try:
        read = json.loads(found[0] if found else "")
        named = read["augmentations"]
        kept = tuple(one for one in AUGMENTATIONS if one in named)
    except (ValueError, KeyError, TypeError):
        return None
    return TaskEdit(kept, read.get("loss") == "all", directed(said)[0])


def drawings(seed: int) -> Iterator[TaskEdit]:
    """Self-edits by chance: what a model that writes none is tried with."""
    chance = Random(seed)
    least, most = BOUNDS["learning_rate"]
    while True:
        kept = tuple(one for one in AUGMENTATIONS if chance.random() < 0.5)
        rate = least * (most / least) ** chance.random()
        epochs = chance.choice((4, 8, 16))
        yield TaskEdit(kept, chance.random() < 0.25, Directives(round(rate, 5), epochs))
