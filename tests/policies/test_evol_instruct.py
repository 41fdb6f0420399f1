from collections.abc import Callable
from math import log

import pytest

from memory.records import Chunk
from policies.base import Candidate
from policies.evol_instruct import IN_BREADTH, IN_DEPTH, OPERATORS, EvolInstruct, eliminated
from tests.helpers.tools import FakeTools

CHUNK = Chunk(3, 1, 0, "Servers", "The server Tarrick listens on port 9362. It has six lamps.")
PARENT = Candidate(
    CHUNK, "The server Tarrick listens on port 9362.", "qa", "Which port is it?", "9362", "al"
)


def model(children: dict[str, str], answer: str = "9362") -> FakeTools:
    """Makes the child of each operator; reads the answer out of the text."""

    def generate(prompt: str, temperature: float, seed: int) -> str:
        if "Answer from this text" in prompt:
            return answer
        return next(text for name, text in children.items() if OPERATORS[name] in prompt)

    return FakeTools(generate)


def born(policy: EvolInstruct, tools: FakeTools, seed: int = 0) -> list[Candidate]:
    return [one for one in policy.diversify([PARENT], tools, seed) if one is not PARENT]


def seed_of(operators: dict[str, str]) -> int:
    """A seed that draws one of these operators."""

    def drawn(seed: int) -> bool:
        tools = FakeTools()
        EvolInstruct().diversify([PARENT], tools, seed)
        return any(how in tools.prompts[0] for how in operators.values())

    return next(filter(drawn, range(99)))


CHILD = "On what number does Tarrick wait for clients?"


def test_in_depth_a_child_keeps_the_answer_of_its_parent() -> None:
    policy, seed = EvolInstruct(), seed_of(dict(IN_DEPTH))
    [child] = born(policy, model(dict.fromkeys(OPERATORS, CHILD)), seed)
    assert (child.question, child.answer, child.policy) == (CHILD, "9362", "evol_instruct")
    health = policy.diagnose([], {})
    assert health.coverage == 1.0 and health.figures["children"] == 1.0


def test_in_breadth_it_has_another_one_from_the_same_text() -> None:
    seed = seed_of(dict(IN_BREADTH))
    children = dict.fromkeys(OPERATORS, "How many lamps are there?")
    [child] = born(EvolInstruct(), model(children, "six lamps"), seed)
    assert (child.answer, child.evidence) == ("six lamps", "It has six lamps.")
    assert born(EvolInstruct(), model(children, "9362"), seed) == []


@pytest.mark.parametrize("answer", ["", "not stated", "seven lamps", "port 80"])
@pytest.mark.parametrize("operators", [IN_DEPTH, IN_BREADTH])
def test_what_the_chunk_does_not_answer_dies(operators: dict[str, str], answer: str) -> None:
    policy = EvolInstruct()
    children = dict.fromkeys(OPERATORS, CHILD)
    assert born(policy, model(children, answer), seed_of(operators)) == []
    assert policy.diagnose([], {}).figures["eliminated_not_answerable"] == 1.0


PLANTED: dict[str, Callable[[], str]] = {
    "empty": lambda: "Is it so?",
    "refusal": lambda: "I am sorry, but I cannot write that.",
    "leak": lambda: "What does the given prompt say about ports?",
    "gives_away": lambda: "Why does it listen on 9362?",
    "garbled": lambda: "Which which port does it have?",
    "nothing_new": lambda: "It is which port?",
}


@pytest.mark.parametrize("why", PLANTED)
def test_every_planted_failure_of_each_rule_is_eliminated(why: str) -> None:
    policy = EvolInstruct()
    assert born(policy, model(dict.fromkeys(OPERATORS, PLANTED[why]()))) == []
    health = policy.diagnose([], {})
    assert health.figures == {"children": 0.0, f"eliminated_{why}": 1.0}
    assert health.coverage == 0.0


@pytest.mark.parametrize(
    ("question", "likeness", "why"),
    [
        ("?! ...", 0.0, "empty"),
        ("", 0.0, "empty"),
        ("#Rewritten# Which number?", 0.0, "leak"),
        (IN_DEPTH["deepen"], 0.0, "leak"),
        ("On what number does it wait?", 0.99, "nothing_new"),
        ("On what number does it wait?", 0.9, None),
        ("Sorry " + "word number " * 45, 0.0, "garbled"),
    ],
)
def test_rules(question: str, likeness: float, why: str | None) -> None:
    assert eliminated(question, PARENT, likeness) == why


def test_two_children_alike_are_one() -> None:
    other = Candidate(CHUNK, "It has six lamps.", "qa", "How many?", "six lamps", "al")
    tools = model(dict.fromkeys(OPERATORS, CHILD))
    policy = EvolInstruct()
    policy.diversify([PARENT, other], tools, 0)
    assert sum("Answer from this text" in prompt for prompt in tools.prompts) == 1
    assert policy.diagnose([], {}).figures["eliminated_nothing_new"] == 1.0


def test_entropy_is_of_the_operators_that_lived() -> None:
    policy = EvolInstruct()
    policy._kept.update(deepen=2, rarer=2)
    assert policy.diagnose([], {}).entropy == pytest.approx(log(2))


def test_without_a_written_question_it_abstains() -> None:
    policy = EvolInstruct()
    assert policy.diversify([], FakeTools(), 0) == []
    assert "no written question" in (policy.diagnose([], {}).abstained or "")
