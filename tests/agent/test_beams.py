"""The likeliest beginning against the likeliest first word."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from agent import beams
from agent.beams import Beams
from agent.models import LanguageModel, end_tokens
from agent.plain import PlainDecoder
from agent.prompts import Asked
from agent.shelves import Row
from tests.helpers.decoding import searched

END, COMMON, RARE, TRUE, LOOSE = range(5)  # a vocabulary


class Rows:
    """Counts the rows that are there."""

    def __init__(self) -> None:
        self.there = 1

    def fork(self, row: Row) -> Row:
        self.there += 1
        return Row(tokens=list(row.tokens))

    def drop(self, row: Row) -> None:
        self.there -= 1


def logits(**chances: float) -> list[float]:
    """Of the named tokens; the others share the rest."""
    rest = (1 - sum(chances.values())) / (5 - len(chances))
    names = ("END", "COMMON", "RARE", "TRUE", "LOOSE")
    return [math.log(chances.get(name, rest)) for name in names]


AFTER = {
    (): logits(COMMON=0.5, RARE=0.4),
    (COMMON,): logits(LOOSE=0.3, END=0.1),
    (RARE,): logits(TRUE=0.97),
}


def told(rows: Any, most: int = 12) -> tuple[int, ...]:
    """By AFTER; what it does not know ends."""
    search = Beams(rows, Row(), {END}, most)
    heard: list[tuple[int, ...]] = [()]
    while search.take(torch.tensor([AFTER.get(one, logits(END=0.98)) for one in heard])):
        heard = [one.said for one in search._found if not one.ended]
        assert [tokens for _, tokens in search.parts] == [one[-1:] for one in heard]
        assert rows.there == len(search._found)
    return search.settle().said


def test_a_likely_whole_goes_before_a_likely_first_word() -> None:
    assert told(Rows()) == (RARE, TRUE, END)


def test_one_row_is_left() -> None:
    rows = Rows()
    told(rows)
    assert rows.there == 1


def test_it_says_no_more_than_it_may() -> None:
    assert told(Rows(), 1) == (COMMON,)
    assert told(Rows(), 2) == (RARE, TRUE)


def test_what_is_far_less_likely_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beams, "_LEAST", math.log(0.9))  # RARE has four fifths of COMMON
    assert told(Rows())[0] == COMMON


@pytest.fixture
def unbounded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As transformers searches, which never gives up."""
    monkeypatch.setattr(beams, "_LEAST", -math.inf)
    yield


@pytest.mark.usefixtures("unbounded")
@pytest.mark.parametrize("prompt", [(5, 6, 7), (9, 2, 30, 31), (40, 41)])
def test_it_finds_what_transformers_finds(tiny: LanguageModel, prompt: tuple[int, ...]) -> None:
    decoder = PlainDecoder(tiny)
    row = decoder.open(prompt)
    search = Beams(decoder, row, end_tokens(tiny))
    found = decoder.read([(row, prompt)])
    while search.take(found):
        found = decoder.read(search.parts)
    best = search.settle()
    said = str(tiny.tokenizer.decode(list(best.said), skip_special_tokens=True))
    assert said.strip() == searched(tiny, Asked(prompt, beams.LENGTH))
    assert best.row.tokens == [*prompt, *best.said[:-1]]
    decoder.drop(best.row)
    assert not decoder._shelves._shelves, "no row is left behind"
