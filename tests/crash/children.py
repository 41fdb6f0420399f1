"""Real child processes in milliseconds: a clean server that has imported everything forks them."""

import multiprocessing
from collections.abc import Callable
from typing import Any

CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["tests.crash.store_life", "tests.crash.cycle_life"])


def exit_code(target: Callable[..., None], *arguments: Any) -> int | None:
    """How a child that runs the target ends; -9 if a failpoint killed it."""
    child = CHILDREN.Process(target=target, args=arguments)
    child.start()
    child.join(60)
    return child.exitcode
