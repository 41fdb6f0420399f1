"""Which probes are never asked, by what a reader makes of them."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.proofreading import faults
from memory.records import Chunk, Probe
from policies.base import Ask

CHUNK = Chunk(7, 1, 0, "Servers", "The server Tarrick has port 9362. It was built in Lowgate.")
PORT = Probe(
    7, "paraphrase", "Which port has Tarrick?", "9362", "The server Tarrick has port 9362."
)
PLACE = Probe(7, "paraphrase", "Who built it?", "Lowgate", "It was built in Lowgate.")


class Reader:
    """Answers by a rule, and keeps what it was asked."""

    def __init__(self, answer: Callable[[str], str]) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def generate(self, asks: Sequence[Ask], temperature: float, seed: int) -> list[str]:
        self.asked += [ask.prompt for ask in asks]
        return [self.answer(ask.prompt) for ask in asks]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise NotImplementedError


def test_a_probe_that_no_reading_answers_is_faulty() -> None:
    reader = Reader(lambda prompt: "not stated" if "Who" in prompt else "port 9362")
    assert faults([PORT, PLACE], [CHUNK], reader) == {
        PLACE: "with the text before it the model says: not stated"
    }
    first, second, third = reader.asked  # what one reading answers is not read again
    assert PORT.statement in first and CHUNK.text not in first
    assert PLACE.statement in second and CHUNK.text in third


def test_one_reading_that_answers_is_enough() -> None:
    reader = Reader(lambda prompt: "Lowgate" if CHUNK.text in prompt else "9362")
    assert faults([PORT, PLACE], [CHUNK], reader) == {}


def test_a_part_of_the_answer_is_an_answer() -> None:
    probe = Probe(7, "paraphrase", "How many?", "143 people", "It employs 143 people.")
    assert faults(
        [probe, PORT], [CHUNK], Reader(lambda prompt: "143" if "many" in prompt else "")
    ) == {PORT: "with the text before it the model says: "}


def test_a_reader_that_answers_less_than_half_is_not_believed() -> None:
    assert faults([PORT, PLACE], [CHUNK], Reader(lambda prompt: "the tank hall")) == {}
    assert faults([], [CHUNK], Reader(str)) == {}
