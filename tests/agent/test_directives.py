from collections import Counter
from dataclasses import replace

import pytest

from agent.directives import STEADY, STYLES, apply, choose, follow, kind
from agent.settings import TrainSettings
from memory.records import Batch, Chunk, SelfEdit, Stage, Verdict
from policies.base import NO_DIRECTIVES

NEW = Batch(99, Stage.NEW, (7,), None, 99, 0, "", None, None, None, "", "")


def judged(style: str, learned: float, lost: float = 0, stage: Stage = Stage.SERVING) -> Batch:
    """A batch of prose with ten new and ten old probes, about document 7."""
    figures = {"new_asked": 10, "new_after": learned, "old_asked": 10, "old_lost": lost}
    verdict = Verdict(stage == Stage.SERVING, (), figures)
    edit = SelfEdit("prose", style, {})
    return replace(NEW, id=1, stage=stage, verdict=verdict, self_edit=edit)


def picks(earlier: list[Batch], draws: int = 400) -> Counter[str]:
    return Counter(choose("prose", earlier, replace(NEW, seed=seed)) for seed in range(draws))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Wick glows. It is a lamp. It costs 119 crowns.", "prose"),
        ("Name: Wick; Port: 4711\nName: Reed; Port: 4712\nThat is all.", "lists"),
        ("", "prose"),
    ],
)
def test_the_kind_is_what_most_sentences_are(text: str, expected: str) -> None:
    assert kind([Chunk(1, 1, 0, "Lamps", text)]) == expected


def test_nothing_is_tried_out_on_the_first_batches_of_a_kind() -> None:
    assert set(picks([])) == {STEADY}
    lists = [replace(judged("thorough", 10), self_edit=SelfEdit("lists", "thorough", {}))] * 9
    assert set(picks(lists)) == {STEADY}


def test_documents_are_not_studied_again_in_the_style_that_was_rejected() -> None:
    rejected = [judged(STEADY, 1, stage=Stage.REJECTED)]
    assert set(picks(rejected)) == {"thorough"}
    rejected.append(judged("thorough", 1, stage=Stage.REJECTED))
    assert set(picks(rejected)) == {"gentle"}
    rejected.append(judged("gentle", 1, stage=Stage.REJECTED))
    assert set(picks(rejected)) == {STEADY}
    others = [replace(one, document_ids=(8,)) for one in rejected[:1]]
    assert set(picks(others)) == {STEADY}


def test_what_was_adopted_or_failed_says_nothing_of_a_style() -> None:
    adopted = replace(judged(STEADY, 0), verdict=Verdict(True, ("nothing is new",)))
    assert set(picks([adopted] * 20)) == {STEADY}
    assert set(picks([judged("gentle", 10, stage=Stage.FAILED)] * 20)) == {STEADY}
    good = [judged("gentle", 10)] * 20
    assert picks([*good, *[adopted] * 40]) == picks(good)


def test_what_worked_is_chosen_more_often() -> None:
    poor, good = [judged(STEADY, 2)] * 20, [judged("gentle", 10)] * 20
    assert picks(poor + good).most_common(1)[0][0] == "gentle"
    assert picks([judged(STEADY, 10)] * 20).most_common(1)[0][0] == STEADY


def test_what_was_lost_counts_against_what_was_learned() -> None:
    careless, careful = [judged("thorough", 9, lost=8)] * 20, [judged("thorough", 9)] * 20
    assert picks(careful)["thorough"] > picks(careless)["thorough"]


def test_a_style_is_relative_to_the_settings() -> None:
    settings = TrainSettings(tokens=1000)
    assert apply(None, settings) == settings
    assert apply(SelfEdit("prose", STEADY, {}), settings) == settings
    gentle = apply(SelfEdit("prose", "gentle", {}), settings)
    assert gentle.learning_rate == pytest.approx(0.7 * settings.learning_rate)
    assert gentle.tokens == 1300
    assert apply(SelfEdit("prose", STEADY, {}), TrainSettings()).tokens > 10_000
    assert gentle.onward_epochs == settings.onward_epochs  # what the parent learned is at stake
    assert all(style.worked > style.failed for style in STYLES.values())


def test_what_a_policy_directs_goes_before_the_style() -> None:
    settings = TrainSettings(tokens=1000)
    edit = replace(SelfEdit("prose", "gentle", {}), learning_rate=2e-3, epochs=3)
    directed = apply(edit, settings)
    assert (directed.learning_rate, directed.epochs) == (2e-3, 3)
    assert directed.tokens == apply(SelfEdit("prose", "gentle", {}), settings).tokens
    assert follow(NO_DIRECTIVES, settings) == settings
