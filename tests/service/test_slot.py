"""Tests of service.slot."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from memory.errors import BadInput, Busy, UnknownModel
from memory.records import Generation
from memory.store import Store
from memory.testing import memory_store
from service.slot import NotReady, Slot, rollback_target
from tests.helpers.serving import FakeEngine
from tests.helpers.stores import add, learn


class Scene:
    """A slot over a store in which generation n is the n-th."""

    def __init__(self, generations: int = 6) -> None:
        self.engine = FakeEngine()
        self.store: Store = memory_store()
        for number in range(1, generations):
            self.store.activate(0, f"number {number}")
        self.swaps: list[int] = []
        self.slot = Slot(self.engine, self.store, lambda generation: None, self.note)

    def note(self, generation: Generation, seconds: float) -> None:
        self.swaps.append(generation.number)

    def follow(self, number: int) -> None:
        self.slot.follow(self.store.generation(number))


async def borrowed(slot: Slot, name: str, then: Callable[[], None] = lambda: None) -> int:
    async with slot.borrow(name) as generation:
        then()
        return generation.number


def test_nothing_is_served_before_the_first_load() -> None:
    scene = Scene()
    with pytest.raises(NotReady):
        asyncio.run(borrowed(scene.slot, "learnd"))
    with pytest.raises(NotReady):
        scene.slot.resolve("learnd")
    assert scene.slot.head is None


def test_the_head_is_loaded_before_it_is_served_and_the_last_one_freed() -> None:
    scene = Scene()
    scene.follow(1)
    scene.follow(2)
    assert scene.engine.history == [("load", 1), ("load", 2), ("unload", 1)]
    assert asyncio.run(borrowed(scene.slot, "learnd")) == 2
    assert scene.slot.previous == scene.store.generation(1)
    assert scene.swaps == [1, 2]


def test_it_never_goes_back() -> None:
    scene = Scene()
    scene.follow(3)
    scene.follow(2)
    scene.follow(3)
    assert scene.engine.history == [("load", 3)]


def test_a_request_keeps_its_generation_while_the_head_moves_on() -> None:
    scene = Scene()
    scene.follow(1)

    def meanwhile() -> None:
        scene.follow(2)
        assert scene.engine.loaded == [1, 2]
        assert scene.slot.in_flight() == {1: 1, 2: 0}

    assert asyncio.run(borrowed(scene.slot, "learnd", meanwhile)) == 1
    assert scene.engine.loaded == [2]


def test_a_failed_load_leaves_the_head_as_it_is() -> None:
    scene = Scene()
    scene.follow(1)

    def fail(generation: int, path: Path | None) -> None:
        raise MemoryError

    scene.engine.load = fail  # type: ignore[method-assign]
    with pytest.raises(MemoryError):
        scene.follow(2)
    assert asyncio.run(borrowed(scene.slot, "learnd")) == 1


def test_pinned_generations_are_loaded_on_demand_and_two_are_kept() -> None:
    scene = Scene()
    scene.follow(5)
    names = ("learnd@g1", "base", "learnd@g1", "learnd@g3")
    assert [asyncio.run(borrowed(scene.slot, name)) for name in names] == [1, 0, 1, 3]
    assert scene.engine.loaded == [5, 1, 3]  # the base was asked for longest ago
    assert asyncio.run(borrowed(scene.slot, "learnd@g5")) == 5  # the head needs no load
    assert scene.engine.history.count(("load", 5)) == 1


def test_a_pinned_one_that_becomes_the_head_is_not_loaded_twice() -> None:
    scene = Scene()
    scene.follow(1)
    asyncio.run(borrowed(scene.slot, "learnd@g2"))
    scene.follow(2)
    assert scene.engine.history == [("load", 1), ("load", 2), ("unload", 1)]


def test_a_third_pinned_one_is_refused_while_two_are_answering() -> None:
    async def crowd(slot: Slot) -> None:
        async with slot.borrow("learnd@g1"), slot.borrow("learnd@g2"):
            with pytest.raises(Busy):
                await borrowed(slot, "learnd@g3")
        assert await borrowed(slot, "learnd@g3") == 3

    scene = Scene()
    scene.follow(5)
    asyncio.run(crowd(scene.slot))


def test_many_askers_load_a_pinned_one_once() -> None:
    async def crowd(slot: Slot) -> list[int]:
        return await asyncio.gather(*(borrowed(slot, "learnd@g1") for _ in range(8)))

    scene = Scene()
    scene.follow(5)
    assert asyncio.run(crowd(scene.slot)) == [1] * 8
    assert scene.engine.history.count(("load", 1)) == 1


def test_who_waits_for_a_load_keeps_no_thread_from_others() -> None:
    """A load of merged weights may take minutes; questions for the head need threads, too."""
    scene = Scene()
    scene.follow(5)

    async def main() -> None:
        with scene.slot._loading:  # something is being loaded
            asking = [asyncio.create_task(borrowed(scene.slot, "learnd@g1")) for _ in range(64)]
            await asyncio.to_thread(lambda: None)  # their names are resolved before
            assert await asyncio.wait_for(asyncio.to_thread(lambda: "routed"), 10) == "routed"
            assert not any(task.done() for task in asking)
        assert await asyncio.gather(*asking) == [1] * 64

    asyncio.run(main())
    assert scene.engine.history.count(("load", 1)) == 1


@pytest.mark.parametrize(
    "name", ["gpt-4", "learnd@g6", "learnd@g", "learnd@3", "learnd@g-1", "LEARND", "learnd@g٣", ""]
)
def test_unknown_names_are_told_the_known_ones(name: str) -> None:
    scene = Scene()
    scene.follow(5)
    with pytest.raises(UnknownModel, match=r"known: learnd, learnd@g5, .*, learnd@g0, base"):
        asyncio.run(borrowed(scene.slot, name))


def test_swaps_under_load_never_unload_what_is_borrowed() -> None:
    scene = Scene(60)
    scene.follow(1)
    seen: list[int] = []
    done = threading.Event()

    async def client() -> None:
        while not done.is_set():
            async with scene.slot.borrow("learnd") as generation:
                await asyncio.sleep(0)
                assert generation.number in scene.engine.loaded
                seen.append(generation.number)

    async def crowd() -> None:
        await asyncio.gather(*(client() for _ in range(8)))

    thread = threading.Thread(target=asyncio.run, args=(crowd(),))
    thread.start()
    for number in range(2, 60):
        scene.follow(number)
    done.set()
    thread.join()
    assert seen == sorted(seen)
    assert scene.engine.loaded == [59]
    assert scene.slot.in_flight() == {59: 0}


def generations(*models: str | None) -> list[Generation]:
    return [Generation(n, model, model, None, "", "") for n, model in enumerate(models)]


@pytest.mark.parametrize(
    ("models", "target"),
    [
        ((None, "a"), 0),
        ((None, "a", "b"), 1),
        ((None, "a", "b", "a"), 0),  # a second rollback goes back further
        ((None, "a", "b", "a", "c"), 3),  # c was learned on top of the rolled-back a
        ((None, "a", "b", "a", "c", "a"), 0),
    ],
)
def test_rollback_undoes_history(models: tuple[str | None, ...], target: int) -> None:
    assert rollback_target(generations(*models)) == target


def test_rollback_ends_at_the_base() -> None:
    with pytest.raises(BadInput, match="nothing to roll back to"):
        rollback_target(generations(None, "a", None))


def test_a_task_is_asked_by_its_name() -> None:
    scene = Scene(2)
    learn(scene.store, add(scene.store, "desk/triage.jsonl"))
    scene.follow(1)
    assert scene.slot.names() == [
        "learnd", "learnd:desk/triage", "learnd@g1", "learnd@g0", "base",
    ]  # fmt: skip
    assert asyncio.run(borrowed(scene.slot, "learnd:desk/triage")) == 2
    assert asyncio.run(borrowed(scene.slot, "learnd@g2")) == 2
    assert asyncio.run(borrowed(scene.slot, "learnd")) == 1
    with pytest.raises(UnknownModel, match=r"'learnd:triage'; known: learnd, learnd:desk/triage"):
        asyncio.run(borrowed(scene.slot, "learnd:triage"))


def test_who_asks_a_task_keeps_its_generation_while_a_new_one_comes() -> None:
    scene = Scene(2)
    learn(scene.store, add(scene.store, "triage.jsonl"))
    scene.follow(1)

    def meanwhile() -> None:
        learn(scene.store, add(scene.store, "triage.jsonl", "more"))
        assert asyncio.run(borrowed(scene.slot, "learnd:triage")) == 3
        assert scene.slot.in_flight() == {1: 0, 2: 1, 3: 0}

    thread = threading.Thread(target=meanwhile)

    def there() -> None:
        thread.start()
        thread.join()

    assert asyncio.run(borrowed(scene.slot, "learnd:triage", there)) == 2
