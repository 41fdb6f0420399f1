import pytest

from policies.checks import Mismatch, mismatches, numbers, words

TEXT = (
    "Sessions end after 30 seconds. The Bittern was founded in 2011 by Maren Oduya-Stroud. "
    "Guests may not park in the yard. The tank holds 62,000 litres."
)


@pytest.mark.parametrize(
    ("question", "answer", "against"),
    [
        ("When do sessions end?", "after 30 seconds", set()),
        ("When do sessions end?", "after 31 seconds", {Mismatch.NUMBER}),
        ("After how many minutes do sessions end?", "30", {Mismatch.UNIT}),
        ("Who founded the Bittern?", "Maren Oduya-Stroud", set()),
        ("Who founded the Bittern?", "Catrin Boateng", {Mismatch.ENTITY}),
        ("Who founded the Bittern?", "2011", {Mismatch.SORT}),
        ("When was the Bittern founded?", "2011", set()),
        ("How much does the tank hold?", "62000 litres", set()),
        ("How much does the tank hold?", "the yard", {Mismatch.SORT}),
        ("Where may guests not park?", "in the yard", set()),
        ("Where were sessions not ended after 30 seconds?", "yard", {Mismatch.NEGATION}),
        ("", "", set()),
    ],
)
def test_what_a_text_does_not_bear_out(question: str, answer: str, against: set[Mismatch]) -> None:
    assert mismatches(TEXT, question, answer) == against


def test_numbers_are_compared_as_digits() -> None:
    assert numbers("twelve of 62,000, at 9:30 and 2.5") == {"12", "62000", "9:30", "2.5"}


def test_words_without_plurals_and_possessives() -> None:
    assert words("The hives of Maren's glass bus") == {"the", "hive", "of", "maren", "glass", "bus"}
