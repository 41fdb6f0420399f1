"""Tests of service.engines.merged, over HTTP with fakes of vLLM."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from memory.errors import BadConfig, LearndError, Unavailable
from service.engines.base import Engine, GenerateRequest, Remote
from service.engines.canary import Ask, Unfit
from service.engines.fleet import Fleet, Model
from service.engines.merged import MergedEngine
from service.engines.roster import Member
from service.engines.vllm import Server
from tests.helpers.fake_vllm import FakeVllm, fake_vllm

ASK = GenerateRequest("Where?", 8)


class Scene:
    """Each directory of weights has a fake, which answers with the directory's name."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self.directory = directory
        self.stack = stack
        self.opened: list[Fleet] = []
        self.halves: list[int] = []
        self.fakes: list[FakeVllm] = []
        self.examined: list[tuple[int, list[str]]] = []
        self.unfit = False
        self.engine = stack.enter_context(closing(MergedEngine(self.open_fleet, self.canary)))

    def weights(self, name: str) -> Path:
        (self.directory / name).mkdir(exist_ok=True)
        return self.directory / name

    def open_fleet(self, weights: Path | None, half: int) -> Fleet:
        self.halves.append(half)
        path = weights or self.weights("base")
        url, fake = self.stack.enter_context(fake_vllm(path))
        fake.word = path.name
        fake.no_vllm = path.name == "broken"
        fleet = Fleet([Member(Server(url))], Model(path, path.name, ""), 2, 5, beat=0.01)
        self.opened.append(fleet)
        self.fakes.append(fake)
        return fleet

    def canary(self, generation: int, ask: Ask) -> None:
        self.examined.append((generation, list(ask(["Where is it?"]))))
        if self.unfit:
            raise Unfit("it knows nothing")

    def ask(self, generation: int) -> str:
        async def read() -> str:
            return "".join([piece.text async for piece in self.engine.stream(generation, ASK)])

        return asyncio.run(read())


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(stack, tmp_path)


def test_each_generation_has_servers_of_its_own(scene: Scene) -> None:
    engine: Engine = scene.engine
    engine.load(0, None)
    engine.load(1, scene.weights("one"))
    engine.load(2, scene.weights("two"))
    answers = [scene.ask(number) for number in (0, 1, 2)]
    assert answers == ["base base base ", "one one one ", "two two two "]
    assert engine.alive and not engine.waiting
    assert isinstance(engine, Remote)
    assert engine.fault is None and engine.endpoint() is None


def test_equal_weights_share_servers_until_the_last_generation_goes(scene: Scene) -> None:
    for number in (1, 3):
        scene.engine.load(number, scene.weights("one"))
    (fleet,) = scene.opened
    scene.engine.unload(1)
    assert scene.ask(3) == "one one one "
    scene.engine.unload(3)
    fleet._thread.join(10)
    assert not fleet.alive
    assert scene.engine.alive  # it holds nothing that is dead


def test_a_generation_is_examined_before_it_is_there(scene: Scene) -> None:
    scene.engine.load(0, None)
    scene.engine.load(1, scene.weights("one"))
    scene.engine.load(2, scene.weights("one"))  # the same weights
    assert scene.examined == [(1, ["one one one "])]
    scene.unfit = True
    with pytest.raises(Unfit):
        scene.engine.load(3, scene.weights("two"))
    assert not scene.opened[-1].alive
    assert scene.ask(1) == "one one one "


def test_the_next_servers_start_where_fewest_answer(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("zero", "one", "two")):
        scene.engine.load(number, scene.weights(name))
        if number:
            scene.engine.unload(number - 1)
    assert scene.halves == [0, 1, 0]
    scene.engine.load(3, scene.weights("three"))
    busy = {scene.opened[-1]}
    monkeypatch.setattr(Fleet, "requests", property(lambda fleet: int(fleet in busy)))
    scene.engine.load(4, scene.weights("four"))
    assert scene.halves[3:] == [1, 0]  # beside the one that nobody asks


@pytest.mark.parametrize(("first", "error"), [(True, BadConfig), (False, Unavailable)])
def test_what_does_not_start_leaves_the_others(
    scene: Scene, first: bool, error: type[LearndError]
) -> None:
    if not first:
        scene.engine.load(1, scene.weights("one"))
    with pytest.raises(error, match="not as vLLM does"):
        scene.engine.load(2, scene.weights("broken"))
    assert not scene.opened[-1].alive
    if not first:
        assert scene.ask(1) == "one one one "


def test_a_server_that_is_lost_is_a_fault(scene: Scene) -> None:
    scene.engine.load(1, scene.weights("one"))
    (fleet,), (fake,) = scene.opened, scene.fakes
    fake.healthy = False
    with fleet._roster.change:
        assert fleet._roster.change.wait_for(lambda: scene.engine.fault is not None, 10)
    assert "is not healthy" in (scene.engine.fault or "")


def test_what_is_closed_may_still_be_unloaded(scene: Scene) -> None:
    """The last request ends after the engine."""
    scene.engine.load(1, scene.weights("one"))
    scene.engine.close()
    assert not scene.opened[0].alive
    scene.engine.unload(1)
