from memory.records import Chunk
from policies.base import Candidate
from policies.selection import select, words

CHUNK = Chunk(3, 1, 0, "Servers", "It listens on port 9362.")


def candidate(kind: str, question: str, answer: str = "9362") -> Candidate:
    return Candidate(CHUNK, CHUNK.text, kind, question, answer, "al")


PHRASINGS = [
    candidate("qa", "Which port?"),
    candidate("qa", "On what port does it listen?"),
    candidate("form", "It listens on port what number?"),
    candidate("keywords", "listens port, what number?"),
]


def test_one_phrasing_examines_and_the_others_teach() -> None:
    plan = select([CHUNK], PHRASINGS, 4, seed=1)
    assert [probe.question for probe in plan.probes] == ["On what port does it listen?"]
    taught = [item.prompt for item in plan.items if item.kind != "text"]
    assert taught == [
        "Which port?",
        "It listens on port what number?",
        "listens port, what number?",
    ]
    assert not {words(one) for one in taught} & {words(p.question) for p in plan.probes}


def test_a_fact_with_one_phrasing_is_taught_not_asked() -> None:
    plan = select([CHUNK], PHRASINGS[:1], 4, seed=1)
    assert not plan.probes and plan.items[0].prompt == "Which port?"


def test_a_fact_that_nobody_phrased_keeps_what_rules_make() -> None:
    plan = select([CHUNK], PHRASINGS[2:], 4, seed=1)
    assert [item.kind for item in plan.items] == ["form", "keywords", "text"]


def test_a_question_with_two_answers_is_dropped() -> None:
    doubtful = [candidate("qa", "Which port?"), candidate("qa", "which port", "9481")]
    plan = select([CHUNK], doubtful, 4, seed=1)
    assert [item.kind for item in plan.items] == ["text"]


def test_probes_are_limited_per_chunk() -> None:
    many = [
        candidate("qa", f"{how} number {n}?", str(n)) for n in range(9) for how in ("Which", "What")
    ]
    assert len(select([CHUNK], many, 2, seed=1).probes) == 2


def test_the_sentences_are_studied_too() -> None:
    plan = select([CHUNK], [], 4, seed=1)
    assert [(item.prompt, item.answer) for item in plan.items] == [
        ("", "Servers: It listens on port 9362.")
    ]
