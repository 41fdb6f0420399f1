"""Tests of service.engines.canary."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from memory.records import Probe
from memory.testing import memory_store
from service.engines import canary
from service.engines.base import GenerateRequest, Piece
from service.engines.canary import Canary, Unfit, ask
from service.engines.wire import Gone
from tests.helpers.stores import add, learn, start


def exactly(probe: Probe, said: str) -> bool:
    return said == probe.answer


@pytest.mark.parametrize("knows", [True, False])
def test_what_was_right_in_the_examination_is_asked_again(knows: bool) -> None:
    store = memory_store()
    generation = learn(store, add(store, "a.md"), add(store, "b.md"))
    expected = {probe.question: probe.answer for probe in store.probes(generation.batch_id)}

    def ask(questions: Sequence[str]) -> list[str]:
        assert set(questions) == set(expected)
        return [expected[question] if knows else "the sea" for question in questions]

    canary = Canary(store, exactly)
    if knows:
        canary(generation.number, ask)
    else:
        with pytest.raises(Unfit, match=f"g1 answers 0 of {len(expected)} questions"):
            canary(generation.number, ask)


def test_weights_that_serve_on_are_asked_what_made_them() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    adopted = store.adopt(start(store, add(store, "b.md")), "nothing is new")
    with pytest.raises(Unfit, match="g2 answers 0 of 2 questions"):
        Canary(store, exactly)(adopted.number, lambda questions: ["the sea"] * len(questions))


def test_where_nothing_was_right_or_learned_nothing_is_asked() -> None:
    def ask(questions: Sequence[str]) -> list[str]:
        raise AssertionError

    store = memory_store()
    unlearned = learn(store, add(store, "a.md"), correct=False)
    rolled_back = store.activate(0, "rollback")
    for generation in (unlearned, rolled_back):
        Canary(store, exactly)(generation.number, ask)


def test_questions_are_asked_closed_book_and_answered_in_their_order() -> None:
    async def stream(request: GenerateRequest) -> AsyncGenerator[Piece, None]:
        assert not isinstance(request.prompt, str)
        (turn,) = request.prompt
        assert turn.role == "user"
        yield Piece(f"{turn.content} ", 1, 1)
        yield Piece("Yes.", 1, 1, "stop")

    assert ask(stream, ["One?", "Two?"]) == ["One? Yes.", "Two? Yes."]
    assert ask(stream, []) == []


def test_a_server_that_says_nothing_more_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(request: GenerateRequest) -> AsyncGenerator[Piece, None]:
        await asyncio.Event().wait()
        yield Piece("never", 1, 1)

    monkeypatch.setattr(canary, "SECONDS", 0.01)
    with pytest.raises(Gone, match="probes were not answered"):
        ask(silent, ["Where?"])
