from collections import Counter

import pytest

from agent.course import budget, course
from agent.losses import Example
from agent.settings import TrainSettings


@pytest.mark.parametrize(
    ("tokens", "epochs", "passes"),
    [(400, 2, 1.5), (640, 2, 1.6), (800, 2, 2.0), (1000, 3, 2.5), (100_000, 8, 8.0)],
)
def test_where_the_budget_ends_each_epoch_leaves_out_another_part(
    tokens: int, epochs: int, passes: float
) -> None:
    new, old, general = ([Example((n,) * 10, 1) for n in range(a, a + 40)] for a in (0, 40, 80))
    settings = TrainSettings(tokens=tokens, epochs=8, epochs_least=1.5)
    found = course(new, old, general, settings)
    sizes = [sum(one in new for one in epoch) for epoch in found]
    assert len(found) == epochs and max(sizes) - min(sizes) <= 1
    assert sum(sizes) == pytest.approx(40 * passes, abs=epochs)
    assert all(any(one in epoch for epoch in found) for one in new)
    assert all(one in epoch for epoch in found for one in general)
    assert sorted(one.tokens[0] for epoch in found for one in epoch if one in old) == [
        *range(40, 80)
    ]


def test_every_answer_is_said_as_often_as_the_average_one() -> None:
    often = [Example((question, 7, 8), 1) for question in range(6)]
    seldom = [Example((question, 3, 4), 1) for question in range(2)]
    settings = TrainSettings(tokens=1, epochs_least=1.0)
    [epoch] = course([*often, *seldom], [], [], settings)
    assert Counter(one.labels for one in epoch) == {(7, 8): 6, (3, 4): 4}
    assert set(epoch) == {*often, *seldom}


def test_a_budget_of_zero_is_what_the_processor_has_time_for() -> None:
    assert budget(TrainSettings(tokens=7)) == 7
    assert budget(TrainSettings(tokens=0)) > 60_000
