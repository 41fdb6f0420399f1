"""Work that is done in steps, done."""

from collections.abc import Generator
from typing import Any


def finished(steps: Generator[None, None, Any]) -> tuple[Any, int]:
    """What comes of it, and after how many steps."""
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, count
        count += 1
