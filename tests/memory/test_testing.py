"""The in-memory store is the same store."""

from memory.store import Store
from memory.testing import memory_store
from tests.helpers.stores import add


def test_memory_stores_share_nothing() -> None:
    first, second = memory_store(), memory_store()
    add(first, "a.md")
    assert isinstance(first, Store)
    assert (len(first.documents()), len(second.documents())) == (1, 0)
