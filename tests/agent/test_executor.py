import errno
import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing import active_children

import pytest

from agent.executor import InlineExecutor, LocalExecutor, Report
from memory.errors import ChildFailed, DiskFull, TrainingDiverged
from memory.records import Progress


def add_one(number: int, report: Report) -> int:
    report(Progress("adding", number, number))
    return number + 1


def diverge(step: int, report: Report) -> int:
    raise TrainingDiverged(f"step {step}")


def divide(number: int, report: Report) -> float:
    return 1 / number


def fill_disk(number: int, report: Report) -> int:
    raise OSError(errno.ENOSPC, "no space left on device")


def die(number: int, report: Report) -> int:
    os.kill(os.getpid(), number)
    return 0


def imported(name: str, report: Report) -> bool:
    return name in sys.modules


def niceness(number: int, report: Report) -> int:
    return os.nice(0)


@pytest.fixture(scope="module")
def local() -> Iterator[LocalExecutor]:
    with LocalExecutor(threads=1) as executor:
        yield executor


def quiet(progress: Progress) -> None:
    pass


def test_a_job_returns_its_result_and_its_progress(local: LocalExecutor) -> None:
    seen: list[Progress] = []
    assert local.run(add_one, 4, seen.append) == 5
    assert seen == [Progress("adding", 4, 4)]


def test_errors_of_ours_keep_their_class(local: LocalExecutor) -> None:
    with pytest.raises(TrainingDiverged, match="step 3"):
        local.run(diverge, 3, quiet)


def test_other_errors_bring_their_trace(local: LocalExecutor) -> None:
    with pytest.raises(ChildFailed, match="ZeroDivisionError"):
        local.run(divide, 0, quiet)


def test_a_full_disk_is_named_so_that_it_counts_as_no_failure(local: LocalExecutor) -> None:
    with pytest.raises(DiskFull):
        local.run(fill_disk, 0, quiet)


def test_a_killed_child_is_named_and_replaced(local: LocalExecutor) -> None:
    with pytest.raises(ChildFailed, match="signal 9"):
        local.run(die, signal.SIGKILL, quiet)
    assert local.run(add_one, 1, quiet) == 2


def test_the_child_gives_way_to_others(local: LocalExecutor) -> None:
    assert local.run(niceness, 0, quiet) == min(19, os.nice(0) + 10)


def test_a_listener_that_gives_up_ends_the_child(local: LocalExecutor) -> None:
    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        local.run(add_one, 1, stop)
    assert local.run(add_one, 7, quiet) == 8  # not the stale result of the job before


def test_a_child_started_ahead_has_its_modules_at_the_first_job(local: LocalExecutor) -> None:
    with LocalExecutor(threads=1, modules=("colorsys",)) as executor:
        before = len(active_children())
        executor.start()
        assert len(active_children()) == before + 1
        assert executor.run(imported, "colorsys", quiet)
        assert not local.run(imported, "colorsys", quiet)
        assert len(active_children()) == before + 1


def test_a_child_that_was_never_needed_is_not_waited_for() -> None:
    before = active_children()
    with LocalExecutor(threads=1, modules=("sentence_transformers",)) as executor:
        executor.start()
    assert active_children() == before


def process(number: int, report: Report) -> int:
    return os.getpid()


def test_what_was_used_is_freed_and_what_waits_is_kept() -> None:
    with LocalExecutor(threads=1) as executor:
        executor.start()
        waiting = [child.pid for child in active_children()]
        executor.free()
        used = executor.run(process, 0, quiet)
        assert used in waiting
        executor.free()
        assert used not in [child.pid for child in active_children()]
        executor.start()
        executor.free()
        assert executor.run(process, 0, quiet) != used


def test_a_child_that_died_while_it_waited_is_replaced(local: LocalExecutor) -> None:
    waiting = local.run(process, 0, quiet)
    os.kill(waiting, signal.SIGKILL)
    [dead] = [child for child in active_children() if child.pid == waiting]
    dead.join()
    assert local.run(add_one, 1, quiet) == 2


def test_inline_runs_here() -> None:
    assert InlineExecutor().run(add_one, 1, quiet) == 2
