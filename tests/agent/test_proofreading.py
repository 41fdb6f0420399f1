"""Which probes are never asked, by what a reader makes of them."""

from collections.abc import Callable

from agent.proofreading import faults
from memory.records import Chunk, Probe
from tests.helpers.tools import FakeTools

CHUNK = Chunk(7, 1, 0, "Servers", "The server Tarrick has port 9362. It was built in Lowgate.")
PORT = Probe(
    7, "paraphrase", "Which port has Tarrick?", "9362", "The server Tarrick has port 9362."
)
PLACE = Probe(7, "paraphrase", "Who built it?", "Lowgate", "It was built in Lowgate.")


def reader(answer: Callable[[str], str]) -> FakeTools:
    """Answers by a rule."""
    return FakeTools(lambda prompt, temperature, seed: answer(prompt))


def test_a_probe_that_no_reading_answers_is_faulty() -> None:
    tools = reader(lambda prompt: "not stated" if "Who" in prompt else "port 9362")
    assert faults([PORT, PLACE], [CHUNK], tools) == {
        PLACE: "with the text before it the model says: not stated"
    }
    first, second, third = tools.prompts  # what one reading answers is not read again
    assert PORT.statement in first and CHUNK.text not in first
    assert PLACE.statement in second and CHUNK.text in third


def test_one_reading_that_answers_is_enough() -> None:
    tools = reader(lambda prompt: "Lowgate" if CHUNK.text in prompt else "9362")
    assert faults([PORT, PLACE], [CHUNK], tools) == {}


def test_a_part_of_the_answer_is_an_answer() -> None:
    probe = Probe(7, "paraphrase", "How many?", "143 people", "It employs 143 people.")
    assert faults(
        [probe, PORT], [CHUNK], reader(lambda prompt: "143" if "many" in prompt else "")
    ) == {PORT: "with the text before it the model says: "}


def test_a_reader_that_answers_less_than_half_is_not_believed() -> None:
    assert faults([PORT, PLACE], [CHUNK], reader(lambda prompt: "the tank hall")) == {}
    assert faults([], [CHUNK], reader(str)) == {}
