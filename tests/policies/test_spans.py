from itertools import pairwise

import pytest

from policies.spans import Kind, repeats, spans


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        (
            "The tank holds 62,000 litres of water.",
            [(Kind.COUNT, "62,000 litres"), (Kind.ENDING, "water")],
        ),
        ("It listens on port 9362.", [(Kind.NUMBER, "9362")]),
        ("Core time runs from 10:15 to 14:45.", [(Kind.TIME, "10:15"), (Kind.TIME, "14:45")]),
        ("It was founded on 9 March 2011.", [(Kind.DATE, "9 March 2011")]),
        ("Write to sick@firm.example before noon.", [(Kind.ADDRESS, "sick@firm.example")]),
        ("The desk is led by Catrin Boateng-Ruiz.", [(Kind.PERSON, "Catrin Boateng-Ruiz")]),
        ("Type `otter revert` now.", [(Kind.CODE, "`otter revert`")]),
        ("Salaries are paid on the 24th.", [(Kind.DATE, "24th")]),
        ("The logbook page is due after three days.", [(Kind.COUNT, "three days")]),
        ("It is due after three working days.", [(Kind.COUNT, "three working days")]),
        ("Choose the red one; no one will blame you.", []),
        ("Devices go to bench 14 in spring.", [(Kind.NUMBER, "14")]),
        ("Sign before the order is placed.", []),
        (
            "Person: Ann Ode; Where to find them: Rome.",
            [(Kind.PERSON, "Ann Ode"), (Kind.NAME, "Rome")],
        ),
        ("People gather under the copper beech.", [(Kind.ENDING, "the copper beech")]),
        ("Nothing happens here", []),
    ],
)
def test_what_can_be_asked_for(sentence: str, expected: list[tuple[Kind, str]]) -> None:
    assert [(span.kind, span.text) for span in spans(sentence)] == expected


def test_spans_are_where_they_say_and_do_not_overlap() -> None:
    sentence = "On 30 June Bao Wexcombe paid 260 crowns for 12 lamps in Ostermere at 9:30."
    found = spans(sentence)
    assert len(found) == 6
    assert all(sentence[span.start : span.end] == span.text for span in found)
    assert all(one.end <= other.start for one, other in pairwise(found))


def test_the_first_word_of_a_sentence_is_no_name_because_of_its_capital() -> None:
    assert [span.text for span in spans("Visitors ring the bell.")] == []
    assert [span.text for span in spans("Pellworth builds software.")] == ["Pellworth"]


def test_a_stammer_is_noticed() -> None:
    assert repeats("what is the the port?") and not repeats("what is the port?")
