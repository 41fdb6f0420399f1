"""A store without a disk, for tests of everything that needs one."""

from memory.connection import Clock, utc_now
from memory.store import Store


def memory_store(now: Clock = utc_now) -> Store:
    """An empty Store in memory: the same class, the same tables, nothing to clean up."""
    return Store.in_memory(now)
