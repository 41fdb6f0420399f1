import numpy as np
import pytest

from policies.reward import judged


def test_rewards_that_training_does_not_change_are_reliable() -> None:
    rewards = np.repeat(np.array([[-1.0, -2.0], [-3.0, -1.0]])[:, :, None], 2, axis=2)
    figures = judged(rewards)  # the better of each pair: 1 and .5 over its mean
    assert figures == {"reliability": 1.0, "reward": -1.75, "gain": 0.75}


def test_half_of_the_variance_may_be_chance() -> None:
    """Means 0 and 2, variance 2; within, variance 2 over two trainings leaves 1 to chance."""
    rewards = np.array([[[-1.0, 1.0]], [[1.0, 3.0]]])
    assert judged(rewards)["reliability"] == pytest.approx(0.5)


def test_rewards_of_chance_alone_are_worth_nothing() -> None:
    rewards = np.array([[[-1.0, 1.0]], [[1.0, -1.0]]])
    figures = judged(rewards)
    assert figures["reliability"] == 0.0
    assert figures["gain"] == pytest.approx(-1.0)  # the last training punishes the choice


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rewards_that_are_no_numbers_are_not_relied_on(value: float) -> None:
    rewards = np.array([[[-1.0, 1.0]], [[2.0, value]]])
    assert judged(rewards) == {"reliability": 0.0, "reward": 0.0, "gain": 0.0}
