"""SEAL's second setting (Zweiger et al. 2025), few-shot adaptation: a task is learned by examples.

The self-edit chooses how: which augmentations of the examples to train on, on which tokens the loss
falls, the learning rate and the epochs. The model writes some self-edits, chance draws the rest; of
each a throw-away adapter is trained twice on a part of the examples and examined on another. Below
the floor of reliability the usual self-edit stays: its control, and untried the default, as trials
gained nothing over it (CHANGELOG.md). Augmentations are those of text in place of the paper's
rotations of grids. Held-out examples examine the adapter, and nothing else.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

import numpy as np

from memory.errors import TrainingDiverged
from memory.records import TASK, WHOLE, Chunk, Health, Probe, StudyItem
from policies.base import NO_DIRECTIVES, Ask, Directives, Model, StudyPlan, Tools
from policies.examples import Example, read
from policies.pipeline import RELIABLE
from policies.reward import judged
from policies.seal import BOUNDS, directed

NAME: Final = "few_shot"
AUGMENTATIONS: Final = ("wordings", "demonstrations", "noise", "reverse")
_HELD_OUT: Final = 5  # every fifth example, 4 at least, 40 at most
ARMS: Final = 4  # self-edits that are tried, the usual one among them
_TRAININGS: Final = 2  # of each
_SAMPLES: Final = 6  # self-edits that the model is asked for
_TRIED: Final = 48  # examples that trials take, two thirds of them to train on
_SHOWN: Final = 3  # examples in a prompt
_CHARACTERS: Final = 100_000  # of what is trained on, unless the examples alone are more
_NOTHING: Final = {"reliability": 0.0, "gain": 0.0}
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


# the best in trial on five of the six tasks of examples/tasks/ (CHANGELOG.md)
USUAL: Final = TaskEdit(("noise", "reverse"), directives=Directives(0.003))


def split(examples: Sequence[Example], seed: int) -> tuple[list[Example], list[Example]]:
    """Those to train on, and those held out for the examination."""
    shuffled = Random(seed).sample(examples, len(examples))
    held = min(40, max(4, len(examples) // _HELD_OUT))
    return shuffled[held:], shuffled[:held]


def plan(chunks: Sequence[Chunk], tools: Tools, seed: int, arms: int = ARMS) -> StudyPlan:
    """What to train on and what to ask, of the chunks of one file of examples. So many self-edits
    are tried; below two the usual one is taken untried. Whatever the seed, the same are held out of
    the same document."""
    chunk_of = {one: chunk.id for chunk in chunks for one in read(chunk.text)}
    training, held = split(list(chunk_of), chunks[0].document_id)
    edit, health = USUAL, Health()
    if arms > 1:
        edit, health = _chosen(training, chunk_of, tools, seed, arms)
    asked = {_noisy(one) for one in held}
    items = tuple(
        item
        for item in expand(training, edit, chunk_of, seed)
        if item.prompt not in asked  # a training example in lower case may be a held-out one
    )
    probes = tuple(Probe(chunk_of[one], TASK, one.given, one.answer, one.answer) for one in held)
    figures = {"examples": len(training), "held_out": len(held), "items": len(items)}
    health = replace(health, notes=(f"studied with {edit}", *health.notes))
    return StudyPlan(items, probes, figures, {NAME: health}, edit.directives)


def expand(
    examples: Sequence[Example], edit: TaskEdit, chunk_of: Mapping[Example, int], seed: int
) -> list[StudyItem]:
    """The examples as they are, and as the self-edit varies them, as far as there is room."""
    chance, kind = Random(seed), WHOLE if edit.whole else TASK
    items = [StudyItem(chunk_of[one], kind, one.given, one.answer, NAME) for one in examples]
    varied = [item for one in examples for item in _varied(one, examples, edit, chance)]
    room = _CHARACTERS - sum(map(_length, items))
    for one, prompt, answer in chance.sample(varied, len(varied)):
        item = StudyItem(chunk_of[one], kind, prompt, answer, NAME)
        room -= _length(item)
        if room >= 0 and prompt != one.given:
            items.append(item)
    return items


def _length(item: StudyItem) -> int:
    return len(item.prompt) + len(item.answer)


def _varied(
    one: Example, examples: Sequence[Example], edit: TaskEdit, chance: Random
) -> Iterator[tuple[Example, str, str]]:
    """The example, a prompt, and what is answered to it."""
    if "wordings" in edit.augmentations:
        yield one, framed(one), one.answer
    if "noise" in edit.augmentations:
        yield one, _noisy(one), one.answer
    if "demonstrations" in edit.augmentations:
        others = [other for other in chance.sample(examples, _SHOWN) if other != one]
        shown = [f"{framed(other)} {other.answer}" for other in others[: _SHOWN - 1]]
        yield one, "\n\n".join([*shown, framed(one)]), one.answer
    if "reverse" in edit.augmentations:
        yield one, f"Which input has the output: {one.answer}", one.given


def _noisy(one: Example) -> str:
    return one.given.rstrip(".!?").lower()


def framed(one: Example) -> str:
    """An example as it stands in a prompt, up to its answer."""
    return f"Input: {one.given}\nOutput:"


def _chosen(
    training: Sequence[Example],
    chunk_of: Mapping[Example, int],
    tools: Tools,
    seed: int,
    arms: int,
) -> tuple[TaskEdit, Health]:
    """The self-edit whose adapters held another part of the examples most likely."""
    given, bad = proposals(training, tools, seed)
    tried = training[:_TRIED]
    part = len(tried) // 3
    asked = [StudyItem(chunk_of[one], TASK, one.given, one.answer, NAME) for one in tried[:part]]
    rewards: dict[TaskEdit, list[float]] = {}
    for edit in _arms(given, seed, arms):
        trials = [expand(tried[part:], edit, chunk_of, n) for n in range(_TRAININGS)]
        rewards[edit] = [_reward(tools, each, asked, n, edit) for n, each in enumerate(trials)]
    usable = {edit: row for edit, row in rewards.items() if np.isfinite(row).all()}
    found = judged(np.array([[row] for row in usable.values()])) if len(usable) > 1 else _NOTHING
    trusted = found["reliability"] >= RELIABLE
    health = Health(
        reliability=found["reliability"],
        abstained=None if trusted else "chance in training decides: the usual self-edit stays",
        figures={"gain": found["gain"], "tried": len(rewards), "written": len(given), "bad": bad},
        notes=tuple(f"{np.mean(row):.2f}: {edit}" for edit, row in rewards.items()),
    )
    best = max(usable, key=lambda edit: float(np.mean(usable[edit])), default=USUAL)
    return best if trusted else USUAL, health


def _arms(given: Sequence[TaskEdit], seed: int, most: int) -> list[TaskEdit]:
    """The usual self-edit, those that the model wrote, and others by chance."""
    drawn = drawings(seed)
    arms = dict.fromkeys([USUAL, *given][:most])
    while len(arms) < most:
        arms[next(drawn)] = None
    return list(arms)


def _reward(
    tools: Tools,
    items: Sequence[StudyItem],
    asked: Sequence[StudyItem],
    seed: int,
    edit: TaskEdit,
) -> float:
    """Mean log-probability of what is asked; that a training diverges is an answer, too."""
    try:
        return float(np.mean(tools.trial(items, asked, seed, edit.directives)))
    except TrainingDiverged:
        return -np.inf


def proposals(examples: Sequence[Example], tools: Tools, seed: int) -> tuple[list[TaskEdit], int]:
    """Self-edits that the model wrote, each once, and how many of them were nothing of the kind."""
    shown = "\n\n".join(f"{framed(one)} {one.answer}" for one in examples[:_SHOWN])
    names = ", ".join(AUGMENTATIONS)
    prompt = _DIRECTING.format(examples=shown, count=len(examples), augmentations=names)
    said = tools.generate([Ask(prompt, 64, model=Model.PUBLISHED)] * _SAMPLES, 1.0, seed)
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
