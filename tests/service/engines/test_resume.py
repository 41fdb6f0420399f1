"""Tests of service.engines.resume."""

import pytest

from service.engines.base import GenerateRequest, Piece
from service.engines.resume import Diverged, Told, repeatable


def told(told: Told, *texts: str, end: bool = False) -> str:
    """Feed one attempt; what the client got of it."""
    told.restart()
    last = len(texts) - 1
    pieces = [
        Piece(text, 1, 5, "stop" if end and n == last else None) for n, text in enumerate(texts)
    ]
    return "".join(fresh.text for piece in pieces if (fresh := told.fresh(piece)))


def test_a_second_attempt_goes_on_where_the_first_ended() -> None:
    answer = Told()
    assert told(answer, "The ", "port ") == "The port "
    assert told(answer, "The po", "rt is", " 8", end=True) == "is 8"


def test_tokens_are_counted_once() -> None:
    answer = Told()
    told(answer, "a", "b")
    answer.restart()
    pieces = [answer.fresh(Piece("ab", 2, 5)), answer.fresh(Piece("c", 1, 5, "stop"))]
    assert pieces == [None, Piece("c", 1, 5, "stop")]


def test_an_end_without_new_text_is_passed_on() -> None:
    answer = Told()
    told(answer, "a")
    answer.restart()
    assert answer.fresh(Piece("a", 1, 5, "length")) == Piece("", 0, 5, "length")


@pytest.mark.parametrize("again", [("The sea ",), ("The",)])
def test_another_answer_is_an_error_and_never_a_mixture(again: tuple[str, ...]) -> None:
    answer = Told()
    told(answer, "The ", "port ")
    with pytest.raises(Diverged):
        told(answer, *again, end=True)


def test_what_is_drawn_by_chance_gets_a_seed() -> None:
    assert repeatable(GenerateRequest("x")).seed is None
    assert repeatable(GenerateRequest("x", temperature=1.0)).seed is not None
    assert repeatable(GenerateRequest("x", temperature=1.0, seed=4)).seed == 4
