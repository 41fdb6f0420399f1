"""Two small pieces of work side by side: faster than one after the other, each over all cores.

The matrices of a step of 100 tokens or rows are too small to keep even two cores busy together, and
between them lies work of one core alone (figures in CHANGELOG.md).
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch

LANES = 2


def count(device: torch.device) -> int:
    """As many as the cores allow; one where there is but one core, and on a GPU."""
    return LANES if device.type == "cpu" and torch.get_num_threads() >= LANES else 1


@contextmanager
def lanes(device: torch.device, most: int = LANES) -> Iterator[Executor]:
    """Workers that share the cores; as many as count() says, but not more than `most`. One is this
    thread itself: see alone()."""
    threads, workers = torch.get_num_threads(), min(most, count(device))
    if workers == 1:
        yield _Here()
        return
    each = threads // workers
    torch.set_num_threads(each)
    try:
        with ThreadPoolExecutor(workers, "lane", torch.set_num_threads, (each,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


class _Here(Executor):
    """Works at once, in the thread that asks."""

    def submit(self, work: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        done = Future[Any]()
        done.set_result(work(*given, **named))
        return done


@contextmanager
def alone() -> Iterator[None]:
    """Inside, what this thread computes takes one core. Where two threads of a process work on
    several, OpenMP's workers no longer wait in a loop, and decoding takes twice as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
