import pytest

from policies.conflicts import conflict, read


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ("The Wick costs 129 crowns.", "A Wick costs 119 crowns.", ("129 crowns", "119 crowns")),
        ("Core time runs from 9:15 to 14:45.", "Core time runs from 10:15 to 14:45.",
         ("9:15", "10:15")),
        ("The engineering department is led by Ada Holt.",
         "The engineering department is led by Bao Wexcombe.", ("Ada Holt", "Bao Wexcombe")),
        ("The company was founded on 9 March 2012.", "The company was founded on 9 March 2011.",
         ("9 March 2012", "9 March 2011")),
        ("The support desk is led by Catrin Ruiz. It is open from 8:00 on weekdays.",
         "The support desk is led by Catrin Ruiz. It is open from 7:00 on weekdays.",
         ("8:00", "7:00")),
        ("Station: Lowgate; Pumps: 3", "Station: Lowgate; Pumps: 2", ("3", "2")),
    ],
)  # fmt: skip
def test_same_words_another_value(new: str, old: str, expected: tuple[str, str]) -> None:
    assert conflict(read(new), read(old)) == expected


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ("The Wick costs 119 crowns.", "The Wick costs 119 crowns."),
        ("The Wick costs 119 crowns.", "The Reed costs 79 crowns."),  # another thing
        ("The Wick costs 119 crowns.", "The Reed costs 119 crowns."),
        ("Station: Lowgate; Pumps: 3", "Station: Vennmark; Pumps: 3"),
        ("The Wick costs 119 crowns.", "The Wick weighs 119 grams."),
        ("It costs 119 crowns.", "It costs 129 crowns."),  # of what?
        ("The desk is led by Ada Holt.", "The desk is led by 12 people."),
        ("Maren Oduya leads the board.", "Maren Oduya leads the board since 9 March 2011."),
        ("Nothing here.", ""),
    ],
)
def test_what_is_no_contradiction(new: str, old: str) -> None:
    assert conflict(read(new), read(old)) is None
