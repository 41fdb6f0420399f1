"""Tests of agent.schedule."""

import threading

from agent.schedule import Schedule


def test_a_job_comes_again_and_again_until_the_end() -> None:
    ran = threading.Semaphore(0)
    with Schedule() as schedule:
        schedule.every(0.01, ran.release, "rescan")
        assert all(ran.acquire(timeout=10) for _ in range(3))
    while ran.acquire(blocking=False):
        pass
    assert not ran.acquire(timeout=0.05)


def test_a_slow_job_never_runs_twice_at_once() -> None:
    held, entered = threading.Event(), threading.Semaphore(0)

    def slow() -> None:
        entered.release()
        held.wait(10)

    with Schedule() as schedule:
        schedule.every(0.01, slow, "slow")
        assert entered.acquire(timeout=10)
        assert not entered.acquire(timeout=0.1)
        held.set()
