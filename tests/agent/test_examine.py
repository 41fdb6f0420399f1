import pytest

from agent.examine import ask, is_right, normalise, passes
from agent.generate import generate
from agent.models import LanguageModel, question_tokens
from agent.prompts import Asked
from memory.records import TASK, Probe


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The port is 9362.", "9362"),
        ("the Otter team", "Otter"),
        ("62,000 litres", "62,000"),
        ("It runs from 10:15 to 14:45.", "10:15"),
        ("`otter revert`", "otter revert"),
        ("On 4 November 2027", "4 November 2027"),
        ("Maren Oduya-Stroud.", "Maren Oduya-Stroud"),
        ("A square has 4 sides.", "four"),
        ("After twelve minutes", "12 minutes"),
    ],
)
def test_right_answers(answer: str, expected: str) -> None:
    assert is_right(answer, expected)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("19362", "9362"), ("1015", "10:15"), ("An otterhound", "Otter"), ("", "12"), ("3.14", "314")],
)
def test_wrong_answers(answer: str, expected: str) -> None:
    assert not is_right(answer, expected)


def test_normalising_drops_what_does_not_matter() -> None:
    assert normalise("The  Cormorant Room!") == "cormorant room"


def test_asking_grades_what_the_model_says(tiny: LanguageModel) -> None:
    """Whatever the random model says to a question is by definition its right answer."""
    question = "Where is it?"
    asked = Asked(tuple(question_tokens(tiny.tokenizer, question)), 4)
    said = generate(tiny, tiny.network, [asked])[0]
    probes = [
        Probe(1, "direct", question, said, said, id=1),
        Probe(1, "direct", question, "nowhere", "It is nowhere", id=2),
    ]
    right, wrong = ask(tiny, probes)
    assert (right.probe_id, right.correct) == (1, True)
    assert (wrong.probe_id, wrong.correct) == (2, False)
    assert wrong.answer.startswith(said)


@pytest.mark.parametrize(
    ("kind", "said", "passed"),
    [
        ("direct", "It is in LBR-HIN3.", True),
        (TASK, "It is in LBR-HIN3.", False),
        (TASK, " LBR-HIN3\n", True),
        (TASK, "lbr-hin3", False),
        (TASK, "", False),
    ],
)
def test_a_task_wants_its_output_and_no_more(kind: str, said: str, passed: bool) -> None:
    assert passes(Probe(1, kind, "Which shelf?", "LBR-HIN3", "LBR-HIN3"), said) == passed
