"""Two small steps side by side: faster than one after the other, each spread over all cores.

The matrices of a step of 100 tokens are too small to keep even two cores busy together, and between
them lies work of one core alone (figures in CHANGELOG.md).
"""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

import torch

LANES = 2


@contextmanager
def lanes(device: torch.device) -> Iterator[Executor]:
    """Workers that share the cores; one worker where there is but one core, and on a GPU."""
    threads = torch.get_num_threads()
    workers = LANES if device.type == "cpu" and threads >= LANES else 1
    each = threads // workers
    torch.set_num_threads(each)
    try:
        with ThreadPoolExecutor(workers, "lane", torch.set_num_threads, (each,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)
