from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from memory.records import Chunk
from policies.al import AutonomousLearning, facts, statements
from tests.helpers.tools import FakeTools

CHUNK = Chunk(3, 1, 0, "Systems > Servers", "There is one server. It listens on port 9362.")


@pytest.mark.parametrize(
    ("text", "passage"),
    [
        ("One server. Tarrick listens on port 9362.", "Tarrick listens on port 9362."),
        ("Tarrick hums. It listens on port 9362.", "Tarrick hums. It listens on port 9362."),
        ("It hums. It listens on port 9362.", "Servers: It listens on port 9362."),
    ],
)
def test_a_fact_carries_what_is_needed_to_understand_it(text: str, passage: str) -> None:
    (fact,) = (one for one in facts(replace(CHUNK, text=text)) if one.span.text == "9362")
    assert fact.passage == passage


def test_a_chunk_states_what_its_facts_are_recited_with() -> None:
    text = "Tarrick hums loudly. It listens on port 9362. Oh no."
    assert statements(replace(CHUNK, text=text)) == {
        "Tarrick hums loudly.",
        "Tarrick hums loudly. It listens on port 9362.",
    }
    assert statements(replace(CHUNK, text="Oh no.")) == set()


def test_written_questions_come_beside_hasty_ones() -> None:
    asked = "It listens on port what\nOn which port It listens, server\nIt listens on port what"
    tools = FakeTools({"Write 10 questions": asked})
    candidates = AutonomousLearning().propose([CHUNK], tools, seed=0)
    kinds = Counter(one.kind for one in candidates if "9362" in one.evidence)
    assert kinds == {"qa": 2, "keywords": 6}  # the same question twice counts once; eight in all
    assert all(one.answer in one.evidence for one in candidates)


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "port",
        "Port 9362 is what the server uses, is it?",
        "Which which port is the server?",
        "What do the the bees like?",
        "Why?",
        "\n \n",
    ],
)
def test_garbage_is_no_question(garbage: str) -> None:
    candidates = AutonomousLearning().propose([CHUNK], FakeTools({"Write": garbage}), seed=0)
    about_port = [one for one in candidates if one.answer == "9362"]
    assert "qa" not in {one.kind for one in about_port}


HIVES = replace(
    CHUNK, text="The server listens on port 9362. The hive garden number 3 has 30 bees."
)


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("The server listens on which port", {"9362"}),
        ("The hive garden number of bees", {"3", "30 bees"}),
        ("zebra crossing", set()),
    ],
)
def test_a_question_must_lead_to_its_own_passage(question: str, found: set[str]) -> None:
    candidates = AutonomousLearning().propose([HIVES], FakeTools({"Write": question}), seed=0)
    written = [one for one in candidates if one.kind == "qa"]
    assert {one.answer for one in written} == found


@pytest.mark.parametrize(
    ("question", "kept"),
    [
        ("The server listens on which port", True),
        (
            "The server listens on a hive or garden that bees of long walks like",
            False,
        ),
    ],
)
def test_a_question_that_is_about_other_things_too_is_left_out(question: str, kept: bool) -> None:
    candidates = AutonomousLearning().propose([HIVES], FakeTools({"Write": question}), seed=0)
    assert ("qa" in {one.kind for one in candidates}) is kept


def test_a_question_without_a_word_is_no_division_by_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    tools = FakeTools({"Write": "?? !!"})
    monkeypatch.setattr(tools, "embed", lambda texts: np.ones((len(texts), 1), dtype=np.float32))
    candidates = AutonomousLearning().propose([CHUNK], tools, seed=0)
    assert "qa" not in {one.kind for one in candidates}


def test_of_many_questions_the_most_evident_sixteen_are_kept() -> None:
    words = ("which", "what", "today", "then", "exactly", "now", "please", "again", "here")
    asked = [f"server listens on {one} port {other}" for one in words for other in words]
    tools = FakeTools({"Write": "\n".join(["The server listens on port", *asked])})
    candidates = AutonomousLearning().propose([HIVES], tools, seed=0)
    written = [one.question for one in candidates if (one.kind, one.answer) == ("qa", "9362")]
    assert len(written) == 16 and written[0] == "The server listens on port"


def test_what_nobody_asked_about_is_filled_up_by_rule() -> None:
    """Each sentence gets eight; a fact without a written question at least two, one to examine."""
    candidates = AutonomousLearning().propose(
        [HIVES], FakeTools({"Write": "zebra crossing"}), seed=0
    )
    assert Counter(one.evidence.split()[1] for one in candidates) == {"server": 8, "hive": 8}
    assert min(Counter(one.answer for one in candidates).values()) >= 2


def test_a_sentence_that_was_asked_about_enough_gets_one_a_fact() -> None:
    ends = ("on port", "port", "on", "The port")
    asked = "\n".join(f"{begin} {end}" for begin in ("server", "listens") for end in ends)
    candidates = AutonomousLearning().propose([HIVES], FakeTools({"Write": asked}), seed=0)
    server = [one.kind for one in candidates if one.answer == "9362"]
    assert Counter(server) == {"qa": 8, "keywords": 1}


def test_a_question_is_as_clear_as_it_leads_before_the_next_passage() -> None:
    policy, tools = AutonomousLearning(), FakeTools()
    hasty = policy.propose([HIVES], tools, seed=0)
    question = "The server listens on port, hive garden number has bees"
    asked = [replace(one, kind="qa", question=question) for one in hasty]
    scores = policy.score([*asked, *hasty], tools, seed=0)
    server, hive = scores[0], scores[len(asked) - 1]
    assert 0 < server < 0.5 < hive < 1
    assert server + hive == pytest.approx(1)  # one's lead is the other's lag
    assert set(scores[len(asked) :]) == {1.0}
    far = [replace(asked[0], question="zebra crossing")]
    assert policy.score([*far, *hasty], tools, seed=0)[0] == 0


def test_a_sentence_of_many_facts_needs_fewer_questions_a_fact() -> None:
    text = "The server has 31 ports. It has 12 ports, 40 disks, 55 fans and 71 lamps."
    tools = FakeTools()
    AutonomousLearning().propose([replace(CHUNK, text=text)], tools, seed=0)
    counts = [prompt.split("Write ")[1].split()[0] for prompt in tools.prompts]
    assert counts == ["10", "10", *["4"] * 8]  # each is asked about twice


def test_boilerplate_is_asked_about_once() -> None:
    text = "Ask the desk of Tolvanen."
    chunks = [Chunk(n, 1, n, "Notices", text) for n in range(9)]
    tools = FakeTools({"Write": "whom of the desk of do I Ask"})
    candidates = AutonomousLearning().propose(chunks, tools, seed=0)
    assert len(set(tools.prompts)) == 1
    assert {one.chunk.id for one in candidates} == {0}
