"""A self-edit for a task: written or drawn, tried, chosen or not."""

from collections.abc import Sequence
from itertools import islice

import pytest

from memory.records import TASK, WHOLE, Chunk, StudyItem
from policies.base import Directives
from policies.examples import Example, written
from policies.few_shot import (
    AUGMENTATIONS,
    NAME,
    USUAL,
    TaskEdit,
    drawings,
    expand,
    plan,
    proposals,
    split,
)
from policies.seal import BOUNDS
from tests.helpers.tools import FakeTools

EXAMPLES = [Example(f"Is {n} even?", "yes" if n % 2 == 0 else "no") for n in range(30)]
CHUNKS = [
    Chunk(7, 1, 0, "even", written(EXAMPLES[:16])),
    Chunk(8, 1, 1, "even", written(EXAMPLES[16:])),
]
OWN = '{"augmentations": ["noise"], "loss": "all", "learning_rate": 0.002, "epochs": 12}'


def likes(word: str, by: float = 1.0) -> FakeTools:
    """Trials in which one edit's items teach more; chance moves each by a hundredth."""

    def teaching(
        items: Sequence[StudyItem], examined: Sequence[StudyItem], seed: int
    ) -> list[float]:
        likes_it = any(word in item.prompt for item in items)
        return [-2.0 + by * likes_it + 0.01 * seed] * len(examined)

    return FakeTools({"Answer with JSON": OWN}, trial=teaching)


def test_every_fifth_example_is_held_out_and_none_is_both() -> None:
    training, held = split(EXAMPLES, 3)
    assert (len(training), len(held)) == (24, 6)
    assert sorted(training + held, key=EXAMPLES.index) == EXAMPLES
    assert split(EXAMPLES, 3) == (training, held)
    assert split(EXAMPLES, 4) != (training, held)
    assert len(split(EXAMPLES[:12], 0)[1]) == 4
    assert len(split([Example(str(n), "x") for n in range(900)], 0)[1]) == 40


def test_items_are_the_augmentations_of_each_example() -> None:
    chunk_of = dict.fromkeys(EXAMPLES, 7)
    every = TaskEdit(AUGMENTATIONS, whole=True)
    items = list(expand(EXAMPLES[:5], every, chunk_of, 0))
    assert {item.kind for item in items} == {WHOLE}
    first = [item for item in items if item.answer == "yes" or "yes" in item.prompt][:5]
    plain, framed, noisy, shown, reverse = first
    assert plain.prompt == "Is 0 even?"
    assert framed.prompt == "Input: Is 0 even?\nOutput:"
    assert noisy.prompt == "is 0 even"
    assert shown.prompt.endswith("\n\nInput: Is 0 even?\nOutput:")
    assert shown.prompt.count("Input: ") == 3
    assert (reverse.prompt, reverse.answer) == ("Which input has the output: yes", "Is 0 even?")
    none = list(expand(EXAMPLES, TaskEdit(()), chunk_of, 0))
    assert [(item.prompt, item.answer) for item in none] == [
        (one.given, one.answer) for one in EXAMPLES
    ]


def test_a_plan_holds_nothing_that_examines_it() -> None:
    found = plan(CHUNKS, likes("is "), 0)
    asked = {probe.question for probe in found.probes}
    assert len(asked) == 6
    assert {probe.kind for probe in found.probes} == {TASK}
    assert not any(question in item.prompt for question in asked for item in found.items)
    assert {item.chunk_id for item in found.items} == {7, 8}
    assert found.figures["examples"] == 24


def test_the_self_edit_that_taught_most_is_chosen() -> None:
    """Only its own has noise: "is 3 even" without a capital. Means -.995 and -1.995."""
    tools = likes("is ")
    found = plan(CHUNKS, tools, 1)
    health = found.health[NAME]
    assert health.notes[0].startswith("studied with noise, loss on all tokens")
    assert found.directives == Directives(0.002, 12)
    assert {item.kind for item in found.items} == {WHOLE}
    assert health.reliability is not None and health.reliability > 0.9
    assert health.abstained is None
    assert (health.figures["tried"], health.figures["written"]) == (4, 1)
    assert {trial[2] for trial in tools.trials} == {0, 1}
    examined = {item.prompt for trial in tools.trials for item in trial[1]}
    trained = {item.prompt for trial in tools.trials for item in trial[0]}
    held = {probe.question for probe in found.probes}
    assert not examined & trained
    assert not held & (examined | trained)


def test_where_chance_decides_the_usual_self_edit_stays() -> None:
    found = plan(CHUNKS, likes("is ", by=0.0), 1)
    health = found.health[NAME]
    assert health.reliability == 0.0
    assert health.abstained is not None
    assert health.notes[0] == "studied with no augmentation"
    assert found.directives == USUAL.directives


def test_a_reward_that_is_no_number_chooses_nothing() -> None:
    found = plan(CHUNKS, likes("is ", by=float("nan")), 1)
    assert found.health[NAME].notes[0] == "studied with no augmentation"


def test_the_control_tries_nothing() -> None:
    tools = likes("is ")
    found = plan(CHUNKS, tools, 0, choose=False)
    assert tools.trials == tools.prompts == []
    assert found.directives == USUAL.directives
    assert len(found.items) == 24


@pytest.mark.parametrize(
    ("said", "edit"),
    [
        (OWN, TaskEdit(("noise",), True, Directives(0.002, 12))),
        (
            'Sure: {"augmentations": ["reverse", "wordings", "magic"], "learning_rate": 10,'
            ' "epochs": 10000} Done.',
            TaskEdit(("wordings", "reverse"), False, Directives(BOUNDS["learning_rate"][1], 16)),
        ),
        ('{"augmentations": 5}', None),
        ('{"augmentations": null}', None),
        ('{"loss": "all"}', None),
        ('{"augmentations": ["noise"', None),
        ("[1, 2]", None),
        ("", None),
        ("I would choose noise.", None),
    ],
)
def test_what_the_model_says(said: str, edit: TaskEdit | None) -> None:
    found, bad = proposals(EXAMPLES, FakeTools({"Answer with JSON": said}), 0)
    assert found == ([edit] if edit else [])
    assert bad == (0 if edit else 6)


def test_drawings_differ_and_stay_within_bounds() -> None:
    drawn = list(islice(drawings(0), 50))
    assert drawn == list(islice(drawings(0), 50))
    assert len(set(drawn)) > 40
    for one in drawn:
        assert one.directives.learning_rate and one.directives.epochs
        assert BOUNDS["learning_rate"][0] <= one.directives.learning_rate <= 1e-2
        assert one.directives.epochs in (4, 8, 16)
