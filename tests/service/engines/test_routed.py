import asyncio
from pathlib import Path

import pytest

from agent.endpoint import Endpoint
from service.engines.base import GenerateRequest, Message
from service.engines.routed import RoutedEngine
from tests.helpers.serving import FakeEngine

PLACE = Endpoint("http://vllm", None, "", "study", "base", 2)


class Ferries:
    """What mentions ferries was studied."""

    def __init__(self) -> None:
        self.opened = 0
        self.asked: list[list[str]] = []

    def open(self) -> "Ferries":
        self.opened += 1
        return self

    def __call__(self, questions: list[str]) -> bool:
        self.asked.append(questions)
        return any("ferry" in each for each in questions)


@pytest.fixture
def inner() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def ferries() -> Ferries:
    return Ferries()


@pytest.fixture
def engine(inner: FakeEngine, ferries: Ferries) -> RoutedEngine:
    return RoutedEngine(inner, ferries.open)


class FakeRemote(FakeEngine):
    """It runs elsewhere."""

    fault = "it is away"

    def endpoint(self) -> Endpoint:
        return PLACE


def test_what_runs_elsewhere_is_reached_through_it(inner: FakeEngine, ferries: Ferries) -> None:
    remote = RoutedEngine(FakeRemote(), ferries.open)
    assert (remote.fault, remote.endpoint()) == ("it is away", PLACE)
    here = RoutedEngine(inner, ferries.open)
    assert here.fault is None and here.endpoint() is None


def said(engine: RoutedEngine, generation: int, *turns: tuple[str, str]) -> str:
    chat = tuple(Message(role, text) for role, text in turns)
    return answer(engine, generation, GenerateRequest(chat))


def answer(engine: RoutedEngine, generation: int, request: GenerateRequest) -> str:
    async def read() -> str:
        return "".join([piece.text async for piece in engine.stream(generation, request)])

    return asyncio.run(read()).split()[0]


def test_without_anything_taught_nothing_is_asked(
    engine: RoutedEngine, inner: FakeEngine, ferries: Ferries
) -> None:
    engine.load(0, None)
    assert said(engine, 0, ("user", "Hello!")) == "g0"
    assert (inner.loaded, ferries.opened) == ([0], 0)


def test_far_questions_go_to_the_base(engine: RoutedEngine, inner: FakeEngine) -> None:
    engine.load(1, Path("g1"))
    assert said(engine, 1, ("user", "When does the ferry leave?")) == "g1"
    assert said(engine, 1, ("user", "Who wrote Hamlet?")) == "g-1"
    assert answer(engine, 1, GenerateRequest("The ferry leaves at")) == "g1"
    assert answer(engine, 1, GenerateRequest("Hamlet was written by")) == "g-1"
    assert inner.closed_streams == 4


def test_a_chat_stays_with_the_documents(engine: RoutedEngine) -> None:
    engine.load(1, Path("g1"))
    turns = (("user", "Which ferry?"), ("assistant", "Tarrick."), ("user", "And when?"))
    assert said(engine, 1, *turns) == "g1"
    assert said(engine, 1, ("system", "You sell ferry tickets."), ("user", "And when?")) == "g-1"


def test_who_asks_nothing_gets_the_head(engine: RoutedEngine, ferries: Ferries) -> None:
    engine.load(1, Path("g1"))
    assert said(engine, 1, ("user", " ")) == "g1"
    assert ferries.asked == []


def test_each_new_generation_is_looked_at_and_the_base_is_loaded_once(
    engine: RoutedEngine, inner: FakeEngine, ferries: Ferries
) -> None:
    engine.load(1, Path("g1"))
    engine.load(2, Path("g2"))
    engine.unload(1)
    assert (inner.loaded, ferries.opened) == ([-1, 2], 2)


def test_the_rest_is_passed_on(engine: RoutedEngine, inner: FakeEngine) -> None:
    inner.waiting = 3
    assert (engine.alive, engine.waiting) == (True, 3)
    engine.close()
    assert not engine.alive


def test_whoever_asks_a_task_means_the_task(inner: FakeEngine, ferries: Ferries) -> None:
    engine = RoutedEngine(inner, ferries.open, lambda generation: generation != 2)
    engine.load(1, Path("a"))
    engine.load(2, Path("b"))
    hello = ("user", "Hello!")
    assert (said(engine, 1, hello), said(engine, 2, hello)) == ("g-1", "g2")
    assert ferries.opened == 1
