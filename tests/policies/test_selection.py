from collections.abc import Sequence
from dataclasses import replace

from memory.records import Chunk, StudyItem
from policies.base import Candidate
from policies.selection import coverage, select, words

CHUNK = Chunk(3, 1, 0, "Servers", "It listens on port 9362.")


def candidate(kind: str, question: str, answer: str = "9362") -> Candidate:
    return Candidate(CHUNK, CHUNK.text, kind, question, answer, "al")


PHRASINGS = [
    candidate("qa", "Which port?"),
    candidate("qa", "On what port does it listen?"),
    candidate("keywords", "listens port, what number?"),
    candidate("keywords", "what number: port listens?"),
]


def sure(candidates: Sequence[Candidate]) -> dict[Candidate, float]:
    return dict.fromkeys(candidates, 1.0)


def test_one_phrasing_examines_and_the_others_teach() -> None:
    clarity = sure(PHRASINGS) | {PHRASINGS[0]: 0.5}
    plan = select([CHUNK], clarity, 4, seed=1)
    assert [probe.question for probe in plan.probes] == ["On what port does it listen?"]
    taught = [item.prompt for item in plan.items]
    assert taught == ["Which port?", "listens port, what number?"]  # the same words count once
    assert not {words(one) for one in taught} & {words(p.question) for p in plan.probes}


def test_a_fact_with_one_phrasing_is_taught_not_asked() -> None:
    plan = select([CHUNK], sure(PHRASINGS[:1]), 4, seed=1)
    assert not plan.probes and plan.items[0].prompt == "Which port?"


def test_a_fact_that_nobody_phrased_is_taught_and_asked_by_what_rules_make() -> None:
    others = [*PHRASINGS[2:], candidate("keywords", "listens: what number?")]
    plan = select([CHUNK], sure(others), 4, seed=1)
    assert [item.kind for item in plan.items] == ["keywords"] and len(plan.probes) == 1
    written = [replace(one, answer="It", kind="qa") for one in PHRASINGS]
    plan = select([CHUNK], sure(others) | dict.fromkeys(written, 0.1), 1, seed=1)
    assert [probe.answer for probe in plan.probes] == ["It"]  # however clear the others are


def test_an_item_answers_with_the_sentence_and_a_probe_looks_for_the_fact() -> None:
    plan = select([CHUNK], sure(PHRASINGS), 4, seed=1)
    assert {item.answer for item in plan.items} == {CHUNK.text}
    assert [(probe.answer, probe.statement) for probe in plan.probes] == [("9362", CHUNK.text)]


def test_what_is_known_is_neither_taught_nor_asked_anew() -> None:
    new = "Its name is Otter."
    named = [
        replace(one, evidence=new, answer="Otter")
        for one in (candidate("qa", "What is it called?"), candidate("qa", "Which name has it?"))
    ]
    both = replace(CHUNK, text=f"{CHUNK.text} {new} Hello.")
    doubtful = replace(PHRASINGS[0], evidence=new)  # the known sentence still says the same
    given = sure([*PHRASINGS, *named, doubtful])
    plan = select([both], given, 4, seed=1, known={(CHUNK.id, CHUNK.text)})
    assert {item.answer for item in plan.items} == {new, "Servers: Hello."}
    assert doubtful.question not in {item.prompt for item in plan.items}
    assert [probe.statement for probe in plan.probes] == [new]
    elsewhere = select([both], given, 4, seed=1, known={(CHUNK.id + 1, CHUNK.text)})
    assert CHUNK.text in {item.answer for item in elsewhere.items}


def test_what_another_document_says_too_is_asked_last() -> None:
    new = "Its name is Otter."
    named = [
        replace(one, evidence=new, answer="Otter")
        for one in (candidate("qa", "What is it called?"), candidate("qa", "Which name has it?"))
    ]
    clarity = sure(PHRASINGS) | dict.fromkeys(named, 0.5)
    for familiar, asked in (([], CHUNK.text), ([CHUNK.text], new)):
        plan = select([CHUNK], clarity, 1, 1, familiar=familiar)
        assert [probe.statement for probe in plan.probes] == [asked]
    assert {item.answer for item in plan.items} == {CHUNK.text, new}  # taught all the same


def test_a_question_that_leads_to_two_sentences_is_dropped() -> None:
    other = replace(candidate("qa", "which port"), evidence="Another listens on port 9481.")
    doubtful = [candidate("qa", "Which port?"), other]
    plan = select([CHUNK], sure(doubtful), 4, seed=1)
    assert [item.kind for item in plan.items] == ["text"]


def test_probes_are_limited_per_chunk() -> None:
    many = [
        candidate("qa", f"{how} number {n}?", str(n)) for n in range(9) for how in ("Which", "What")
    ]
    assert len(select([CHUNK], sure(many), 2, seed=1).probes) == 2


def test_clear_facts_are_asked_before_others() -> None:
    doubtful = [candidate("qa", f"{how} is it near?", "It") for how in ("What", "Who")]
    clarity = sure(PHRASINGS) | dict.fromkeys(doubtful, 0.5)
    for seed in range(9):
        assert [probe.answer for probe in select([CHUNK], clarity, 1, seed).probes] == ["9362"]


def test_a_sentence_that_no_question_leads_to_is_studied_as_it_stands() -> None:
    text = f"{CHUNK.text} Nobody knows why."
    chunk = replace(CHUNK, text=text)
    plan = select([chunk], sure([replace(PHRASINGS[0], chunk=chunk)]), 4, seed=1)
    assert [(item.prompt, item.answer) for item in plan.items] == [
        ("Which port?", CHUNK.text),
        ("", "Servers: Nobody knows why."),
    ]


def test_coverage_is_of_sentences_that_state_something_and_of_written_questions() -> None:
    chunk = Chunk(
        3, 1, 0, "Servers", "It listens on port 9362. So be it! The host is b.example.org."
    )
    asked = StudyItem(3, "qa", "Which port?", "It listens on port 9362.", "al")
    by_rule = StudyItem(3, "keywords", "host, what?", "The host is b.example.org.", "al")
    elsewhere = StudyItem(4, "qa", "Which host?", "The host is b.example.org.", "al")
    assert coverage([chunk], [asked, by_rule, elsewhere]) == 0.5
    assert coverage([Chunk(3, 1, 0, "Poem", "so be it")], [asked]) is None


def test_a_text_that_stands_in_many_chunks_is_studied_once() -> None:
    chunks = [Chunk(n, 1, n, "Notices", "So be it.") for n in range(9)]
    assert [item.chunk_id for item in select(chunks, {}, 1, seed=1).items] == [0]


def test_a_written_text_is_trained_once_under_its_title_and_examines_nothing() -> None:
    written = replace(candidate("text", "", ""), policy="seal", said="Port 9362 is used.")
    again = replace(written, said="port 9362 is used")
    plan = select([CHUNK], {written: 1.0, again: 1.0}, 1, seed=0)
    texts = [item.answer for item in plan.items if item.policy == "seal"]
    assert len(texts) == 1 and not plan.probes
    assert texts[0].startswith("Servers: ")


def test_what_was_written_to_examine_is_never_trained() -> None:
    probe = replace(candidate("probe", "Where does it listen?"), policy="r_zero")
    plan = select([CHUNK], sure([*PHRASINGS, probe]), 1, seed=1)
    assert [one.question for one in plan.probes] == ["Where does it listen?"]
    assert {item.prompt for item in plan.items} >= {"Which port?", "On what port does it listen?"}
    alone = select([CHUNK], sure([probe]), 1, seed=1)
    assert not alone.probes and [item.kind for item in alone.items] == ["text"]
