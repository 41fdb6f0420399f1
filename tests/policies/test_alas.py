from dataclasses import replace
from math import exp, log, nan

import pytest

from memory.records import Chunk
from policies.alas import Alas, leaked, mastery, promotable, topics_of
from policies.base import Candidate, Model
from policies.selection import select, words
from tests.helpers.tools import FakeTools

PORTS = Chunk(1, 1, 0, "Ports", "The server port is 9362 on the server port list.")
OTHER = Chunk(2, 1, 1, "Ports", "The server port is 80 on the server port list.")
BEES = Chunk(3, 2, 0, "Bees", "Thirty hives stand behind our garden wall.")


def asked(chunk: Chunk, question: str, kind: str = "qa") -> Candidate:
    answer = chunk.text.split()[-2]
    return Candidate(chunk, chunk.text, kind, question, answer, "al")


QUESTIONS = [asked(PORTS, f"Which port {n}?") for n in "abcd"]
HIVES = [asked(BEES, f"How many hives {n}?") for n in "efgh"]
TRUSTED = dict.fromkeys([*QUESTIONS, *HIVES], 1.0)


def knowing(hives: float) -> FakeTools:
    """Without the text nothing of the ports is known, and so much of the hives."""

    def logprob(prompt: str, answer: str) -> float:
        opened = answer in prompt
        return -0.1 if opened else (log(hives) - 0.1 if "hives" in prompt else -3.1)

    return FakeTools(logprob=logprob)


def test_topics_are_clusters_of_chunks() -> None:
    assert topics_of([PORTS, BEES, OTHER], FakeTools()) == {1: 0, 3: 1, 2: 0}
    assert topics_of([BEES], FakeTools()) == {3: 0}  # a cluster with one member


def test_mastery_is_how_little_is_lost_without_the_text() -> None:
    found = mastery(TRUSTED, {1: 0, 3: 1}, knowing(0.5))
    assert found == pytest.approx({0: exp(-3), 1: 0.5})


def test_what_is_served_is_asked_without_the_text_and_the_reader_with_it() -> None:
    tools = knowing(0.5)
    mastery(TRUSTED, {1: 0, 3: 1}, tools)
    closed, opened = tools.asked[Model.SERVED], tools.asked[Model.PRACTISED]
    assert closed == [QUESTIONS[0].question, HIVES[0].question]
    assert opened == [f"{one.chunk.text}\n\n{one.question}" for one in (QUESTIONS[0], HIVES[0])]


def test_what_nobody_asked_about_or_is_no_number_is_not_known() -> None:
    nothing = FakeTools(logprob=lambda prompt, answer: nan)
    assert mastery(TRUSTED, {1: 0, 3: 1, 9: 2}, nothing) == {0: 0.0, 1: 0.0, 2: 0.0}


def test_what_is_mastered_is_only_revised_and_the_rest_comes_first() -> None:
    policy = Alas()
    kept = policy.select(dict.fromkeys([*HIVES, *QUESTIONS], 1.0), knowing(0.95), 0)
    assert list(kept) == [*QUESTIONS, *HIVES[:2]]
    health = policy.diagnose([], kept)
    assert health.figures["topics"] == 2.0 and health.figures["mastered"] == 1.0
    assert health.coverage == 0.5 and health.entropy == pytest.approx(log(2))
    assert health.notes == ("next to study: Ports (0.05 known)",)


def test_where_nothing_is_mastered_nothing_is_left_out() -> None:
    assert set(Alas().select(TRUSTED, knowing(0.89), 0)) == set(TRUSTED)


def test_its_control_draws_as_many_at_random() -> None:
    control = Alas().controlled()
    kept = control.select(TRUSTED, knowing(0.95), 1)
    assert len(kept) == 6 and set(kept) <= set(TRUSTED)
    assert kept == Alas(plans=False).select(TRUSTED, knowing(0.95), 1)
    assert kept != control.select(TRUSTED, knowing(0.95), 2)


def test_planted_leaks_are_found_and_never_trained() -> None:
    probe = asked(PORTS, "On which port does it wait?", "probe")
    same = asked(PORTS, "which PORT does it wait on")
    near = asked(PORTS, "Now on which port does it wait for us? On which port does it wait?")
    leaks = leaked([*TRUSTED, probe, same, near], FakeTools())
    assert same in leaks and probe not in leaks and not leaks & set(TRUSTED)
    policy = Alas()
    kept = policy.select({**TRUSTED, same: 1.0, probe: 1.0}, knowing(0.5), 0)
    assert policy.diagnose([], kept).figures["leaks"] == 1.0
    plan = select([PORTS, BEES], kept, 1, 0)
    assert probe.question in [one.question for one in plan.probes]
    taught = {words(item.prompt) for item in plan.items}
    assert not taught & {words(one.question) for one in plan.probes}


def test_near_in_meaning_is_a_leak_too() -> None:
    probe = asked(PORTS, "a b c d e f g h i j k l", "probe")
    near = replace(probe, kind="qa", question="a b c d e f g h i j k l m")
    far = replace(probe, kind="qa", question="a b c x y z")
    assert leaked([probe, near, far], FakeTools()) == {near}


def test_with_nothing_to_plan_it_abstains() -> None:
    policy = Alas()
    assert policy.select({}, FakeTools(), 0) == {}
    assert policy.diagnose([], {}).abstained


RIGHT = dict.fromkeys(range(20), True)
TOPICS = dict.fromkeys(range(10), "ports") | dict.fromkeys(range(10, 20), "bees")


@pytest.mark.parametrize(
    ("lost", "reasons"),
    [
        ((), []),
        ((1,), []),
        ((1, 11), []),  # one of each topic is chance
        ((1, 2), ["topic ports lost 2 of 10 probes, 10% are tolerated"]),
        ((11, 12, 13), ["topic bees lost 3 of 10 probes, 10% are tolerated"]),
    ],
)
def test_each_guarded_topic_must_keep_what_it_knew(
    lost: tuple[int, ...], reasons: list[str]
) -> None:
    assert promotable(RIGHT, RIGHT | dict.fromkeys(lost, False), TOPICS) == reasons


def test_a_topic_may_win_back_what_it_loses_and_others_are_not_guarded() -> None:
    before = {0: True, 1: True, 2: False, 3: True, 4: True}
    after = {0: False, 1: False, 2: True, 3: False, 4: False}
    assert promotable(before, after, dict.fromkeys(range(3), "a"), 0.5) == []
    assert promotable(before, after, {3: "b", 4: "b"}, 0.5)


def test_it_guards_in_the_gate_and_its_control_does_not() -> None:
    after = RIGHT | {1: False, 2: False}
    assert Alas().guard(RIGHT, after, TOPICS) == promotable(RIGHT, after, TOPICS) != []
    assert Alas().controlled().guard(RIGHT, after, TOPICS) == []
