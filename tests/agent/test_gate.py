import random
from collections.abc import Sequence

import pytest

from agent.gate import Sitting, judge, judge_rebuilt, sitting
from agent.settings import GateSettings
from memory.records import ProbeResult

SETTINGS = GateSettings(min_learned=0.5, false_rejects=0.1, base_lost=0.4)
NOTHING = Sitting({}, {})


def results(right: Sequence[bool], logprob: float = -1.0) -> list[ProbeResult]:
    return [ProbeResult(i, good, "", logprob) for i, good in enumerate(right)]


def group(before: Sequence[bool], after: Sequence[bool], logprob: float = -1.0) -> Sitting:
    return sitting(range(len(before)), results(before), results(after, logprob))


def test_learning_enough_is_accepted() -> None:
    verdict = judge(group([False] * 4, [True, True, False, False]), NOTHING, NOTHING, SETTINGS)
    assert verdict.accepted and not verdict.reasons
    assert verdict.figures["new_after"] == 2


def test_what_was_known_already_is_learned_enough() -> None:
    verdict = judge(group([True] * 4, [True] * 4), NOTHING, NOTHING, SETTINGS)
    assert verdict.accepted and verdict.figures["new_before"] == 4


def test_learning_too_little_is_rejected_with_the_numbers() -> None:
    verdict = judge(group([False] * 4, [True] + [False] * 3), NOTHING, NOTHING, SETTINGS)
    assert verdict.reasons == ("only 1 of 4 new probes are right, 2 are needed",)


@pytest.mark.parametrize("name", ["old", "general"])
def test_probes_that_flip_one_way_are_harm(name: str) -> None:
    harmed = group([True] * 20, [True] * 16 + [False] * 4)
    old, general = (harmed, NOTHING) if name == "old" else (NOTHING, harmed)
    verdict = judge(group([False], [True]), old, general, SETTINGS)
    assert verdict.reasons == (
        f"4 {name} probes were lost and 0 won; chance does so in 6.2% of cases",
    )
    assert verdict.harmed
    assert not judge(group([False], [False]), old, general, SETTINGS).harmed  # and learned nothing


def test_probes_that_flip_both_ways_are_noise() -> None:
    shaky = group([True] * 4 + [False] * 4, [False] * 4 + [True] * 3 + [False])
    assert judge(group([False], [True]), shaky, shaky, SETTINGS).accepted


def test_chance_alone_rejects_no_more_often_than_was_asked_for() -> None:
    """A model that flips a fifth of the general probes either way, two thousand times."""
    draw = random.Random(1)
    rejected = 0
    for _ in range(2000):
        before = [draw.random() < 0.5 for _ in range(24)]
        after = [right ^ (draw.random() < 0.2) for right in before]
        rejected += not judge(NOTHING, NOTHING, group(before, after), SETTINGS).accepted
    assert 0.01 < rejected / 2000 <= SETTINGS.false_rejects


GENERAL = group([True] * 7 + [False] * 4, [True] * 6 + [False] * 5)  # one lost to the parent


def test_small_steps_add_up_to_harm() -> None:
    far = group([True] * 11, [True] * 6 + [False] * 5)
    verdict = judge(NOTHING, NOTHING, GENERAL, SETTINGS, far)
    assert verdict.reasons == (
        "the base answers 11 general probes, these weights 6; 7 are needed (gate.base_lost)",
    )
    assert (verdict.far, verdict.harmed) == (True, True)
    assert (verdict.figures["base_before"], verdict.figures["base_lost"]) == (11, 5)


@pytest.mark.parametrize(
    ("general", "base"),
    [
        (GENERAL, group([True] * 11, [True] * 7 + [False] * 4)),  # as much as is allowed
        (GENERAL, group([True] * 3, [False] * 3)),  # too few to tell harm from chance
        (group([True] * 6, [True] * 6), group([True] * 11, [True] * 6 + [False] * 5)),  # inherited
    ],
)
def test_what_the_cap_lets_pass(general: Sitting, base: Sitting) -> None:
    verdict = judge(NOTHING, NOTHING, general, SETTINGS, base)
    assert verdict.accepted and not verdict.far


def test_how_much_less_likely_the_right_answers_became() -> None:
    base = group([True] * 4, [True] * 4, logprob=-1.5)
    assert judge(NOTHING, NOTHING, NOTHING, SETTINGS, base).figures["base_fall"] == 0.5


def test_an_unchanged_model_passes_however_long_the_chain() -> None:
    """Each of two thousand models flips a fifth of the base's answers either way, as its parent
    does: whatever was accepted before, harm is found in no more of them than was asked for."""
    draw = random.Random(2)
    strict = GateSettings(min_learned=0, false_rejects=0.1, base_lost=0)
    rejected = 0
    for _ in range(2000):
        base = [draw.random() < 0.5 for _ in range(24)]
        parent, child = ([right ^ (draw.random() < 0.2) for right in base] for _ in "12")
        rejected += judge(NOTHING, NOTHING, group(parent, child), strict, group(base, child)).far
    assert 0.01 < rejected / 2000 <= strict.false_rejects


@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_results_that_are_not_finite_are_rejected(bad: float) -> None:
    verdict = judge(group([False], [True], bad), NOTHING, NOTHING, SETTINGS)
    assert verdict.reasons == ("a log-probability is not finite",)


def test_a_batch_without_probes_passes_on_what_it_kept() -> None:
    assert judge(NOTHING, group([True], [True]), NOTHING, SETTINGS).accepted


def test_what_was_rebuilt_must_know_as_much_as_before() -> None:
    assert judge_rebuilt(group([True, False], [False, True]), NOTHING, SETTINGS).accepted
    worse = judge_rebuilt(group([True, True], [True, False]), NOTHING, SETTINGS)
    assert not worse.accepted and worse.reasons == ("only 1 old probes are right, 2 are needed",)
    same = group([True, False], [True, False])
    assert judge_rebuilt(same, NOTHING, SETTINGS).accepted
    assert not judge_rebuilt(same, NOTHING, SETTINGS, gain=1).accepted
    harmed = group([True] * 20, [True] * 16 + [False] * 4)
    assert not judge_rebuilt(group([True], [True]), harmed, SETTINGS).accepted


def test_what_a_policy_guards_is_harm_that_the_floor_would_let_pass() -> None:
    new, old = group([False], [True]), group([True] * 3, [True, True, False])
    assert judge(new, old, NOTHING, SETTINGS).accepted
    verdict = judge(new, old, NOTHING, SETTINGS, guarded=["topic a.md lost 1 of 3"])
    assert verdict.reasons == ("topic a.md lost 1 of 3",) and verdict.harmed
    again = group([True], [True])
    assert judge_rebuilt(again, NOTHING, SETTINGS).accepted
    assert not judge_rebuilt(again, NOTHING, SETTINGS, guarded=["topic a.md"]).accepted
