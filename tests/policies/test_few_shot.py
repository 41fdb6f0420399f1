"""A self-edit for a task: written or drawn, tried, chosen or not."""

from collections.abc import Sequence
from itertools import islice

import pytest

from memory.errors import TrainingDiverged
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
OWN = '{"augmentations": ["wordings"], "loss": "all", "learning_rate": 0.002, "epochs": 12}'


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
    items = expand(EXAMPLES[:5], every, chunk_of, 0)
    assert {item.kind for item in items} == {WHOLE}
    assert len(items) == len({item.prompt for item in items} | {item.answer for item in items}) + 1
    asked = {item.prompt: item.answer for item in items}
    assert asked["Is 0 even?"] == asked["Input: Is 0 even?\nOutput:"] == asked["is 0 even"] == "yes"
    [shown] = [one for one in asked if one.endswith("\n\nInput: Is 0 even?\nOutput:")]
    assert shown.count("Input: ") == 3 and asked[shown] == "yes"
    back = {item.answer for item in items if item.prompt == "Which input has the output: yes"}
    assert back == {"Is 0 even?", "Is 2 even?", "Is 4 even?"}
    none = expand(EXAMPLES, TaskEdit(()), chunk_of, 0)
    assert [(item.prompt, item.answer) for item in none] == [
        (one.given, one.answer) for one in EXAMPLES
    ]


def test_there_is_room_for_so_many_variations() -> None:
    long = [Example(f"{n} " + "word " * 150, "yes") for n in range(100)]
    items = expand(long, TaskEdit(AUGMENTATIONS), dict.fromkeys(long, 7), 0)
    assert items[:100] == expand(long, TaskEdit(()), dict.fromkeys(long, 7), 0)
    assert 100_000 - 4_000 < sum(len(one.prompt) + len(one.answer) for one in items) <= 100_000


def test_an_example_in_lower_case_gives_no_held_out_one_away() -> None:
    def teaching(
        items: Sequence[StudyItem], examined: Sequence[StudyItem], seed: int
    ) -> list[float]:
        own = all(item.kind == WHOLE and item.prompt[:4].lower() == "item" for item in items)
        return [-2.0 + own + 0.01 * seed] * len(examined)

    said = OWN.replace("wordings", "noise")
    tools = FakeTools({"Answer with JSON": said}, trial=teaching)
    twice = [Example(form, "odd") for n in range(12) for form in (f"Item {n}.", f"item {n}")]
    for number in range(8):
        chunk = Chunk(7, number, 0, "even", written(twice))
        found = plan([chunk], tools, 1)
        assert found.health[NAME].notes[0].startswith("studied with noise")
        asked = {probe.question for probe in found.probes}
        assert not asked & {item.prompt for item in found.items}


def test_a_plan_holds_nothing_that_examines_it() -> None:
    found = plan(CHUNKS, likes("Input: "), 0)
    asked = {probe.question for probe in found.probes}
    assert len(asked) == 6
    assert {probe.kind for probe in found.probes} == {TASK}
    assert not any(question in item.prompt for question in asked for item in found.items)
    assert {item.chunk_id for item in found.items} == {7, 8}
    assert found.figures["examples"] == 24


def test_the_self_edit_that_taught_most_is_chosen() -> None:
    """The usual has no "Input: Is 3 even?". Means -.995 and -1.995."""
    tools = likes("Input: ")
    found = plan(CHUNKS, tools, 1)
    health = found.health[NAME]
    assert health.notes[0].startswith("studied with wordings, loss on all tokens")
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
    found = plan(CHUNKS, likes("Input: ", by=0.0), 1)
    health = found.health[NAME]
    assert health.reliability == 0.0
    assert health.abstained is not None
    assert health.notes[0] == "studied with noise+reverse, learning rate 0.003"
    assert found.directives == USUAL.directives


def test_a_reward_that_is_no_number_chooses_nothing() -> None:
    found = plan(CHUNKS, likes("Input: ", by=float("nan")), 1)
    assert found.health[NAME].notes[0] == "studied with noise+reverse, learning rate 0.003"


def test_the_usual_self_edit_needs_no_trial() -> None:
    """The control."""
    tools = likes("Input: ")
    found = plan(CHUNKS, tools, 0, arms=1)
    assert (tools.trials, tools.prompts) == ([], [])
    assert len(found.items) == 72 and found.directives == USUAL.directives
    assert found.health[NAME].notes == ("studied with noise+reverse, learning rate 0.003",)


def test_a_self_edit_that_diverges_costs_itself_alone() -> None:
    def teaching(
        items: Sequence[StudyItem], examined: Sequence[StudyItem], seed: int
    ) -> list[float]:
        if any(item.kind == WHOLE for item in items):
            raise TrainingDiverged("not a number")
        return [-2.0 + 0.1 * len(items) + 0.01 * seed] * len(examined)

    found = plan(CHUNKS, FakeTools({"Answer with JSON": OWN}, trial=teaching), 1)
    health = found.health[NAME]
    assert health.abstained is None and "all tokens" not in health.notes[0]
    assert "-inf: wordings, loss on all tokens, learning rate 0.002, 12 epochs" in health.notes


def test_where_all_diverge_the_usual_self_edit_stays() -> None:
    def raising(*given: object) -> list[float]:
        raise TrainingDiverged("not a number")

    health = plan(CHUNKS, FakeTools(trial=raising), 1).health[NAME]
    assert health.notes[0] == "studied with noise+reverse, learning rate 0.003"
    assert health.abstained is not None


def test_of_many_examples_some_are_tried() -> None:
    many = [Example(f"Is {n} even?", "yes") for n in range(400)]
    tools = likes("Input: ")
    plan([Chunk(7, 1, 0, "even", written(many))], tools, 0)
    assert {len(trial[1]) for trial in tools.trials} == {16}


@pytest.mark.parametrize(
    ("said", "edit"),
    [
        (OWN, TaskEdit(("wordings",), True, Directives(0.002, 12))),
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
