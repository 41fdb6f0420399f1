import random

import pytest

from policies.claims import Claim, Conflict, conflicts, contradiction


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("Sessions end after 30 s.", "Sessions end after 60 s.", "30 s or 60 s"),
        ("Sessions end after 30 seconds.", "Sessions end after 1 minute.", "30 s or 60 s"),
        ("Sessions end after 60 seconds.", "Sessions end after one minute.", ""),
        ("The desk opens at 9:00 daily.", "The desk opens at 10:30 daily.", "9:00 or 10:30"),
        ("It was founded in 2011 by monks.", "It was founded in 2014 by monks.", "2011 or 2014"),
        ("Guests may park here.", "Guests may not park here.", "one denies the other"),
        ("Guests may park here.", "Guests can't sleep here.", ""),
        ("Room 3 has 30 seats.", "Room 4 has 20 seats.", ""),  # two things, not two values
        ("Hallow holds 30 litres of oil.", "Oster holds 40 litres of oil.", ""),
        ("The tank holds 30 litres.", "The tank was built by 12 masons.", ""),
        ("It is 30.", "It is 40.", ""),  # too little is said
        ("", "Sessions end after 30 s.", ""),
    ],
)
def test_what_cannot_both_hold(one: str, other: str, why: str) -> None:
    assert contradiction(Claim(one), Claim(other)) == why
    assert bool(contradiction(Claim(other), Claim(one))) == bool(why)


def test_the_later_document_supersedes() -> None:
    claims = [
        Claim("Sessions end after 60 s.", order=2),
        Claim("The bell rings at noon.", order=1),
        Claim("Sessions end after 30 s.", order=1),
    ]
    assert conflicts(claims) == [Conflict(2, 0, "30 s or 60 s")]


def test_the_filter_loses_no_pair() -> None:
    chance = random.Random(1)
    nouns, verbs = ["tank", "hive", "desk", "lamp", "boat"], ["holds", "keeps", "takes", "needs"]
    claims = [
        Claim(f"The old {chance.choice(nouns)} {chance.choice(verbs)} {n % 7} pots in winter.")
        for n in range(60)
    ]
    pairs = {(a, b) for b in range(60) for a in range(b) if contradiction(claims[a], claims[b])}
    assert pairs and {(one.earlier, one.later) for one in conflicts(claims)} == pairs


@pytest.mark.parametrize("claims", [[], ["Sessions end after 30 s."] * 50])
def test_nothing_and_the_same_fifty_times(claims: list[str]) -> None:
    assert conflicts([Claim(text) for text in claims]) == []
