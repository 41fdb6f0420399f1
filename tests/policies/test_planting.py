import random
from dataclasses import replace

import pytest

from memory.records import Chunk
from policies.base import Candidate
from policies.planting import KINDS, auc, claim, planted

TEXT = (
    "Sessions of the Bittern end after 30 seconds. The Plover was built by Maren Oduya-Stroud in "
    "2011. Guests may park in the yard until 2014."
)
CHUNK = Chunk(1, 1, 0, "Handbook", TEXT)
OTHER = Chunk(2, 1, 1, "Handbook", "The board meets in the Cormorant Room.")
BOARD = Candidate(OTHER, OTHER.text, "qa", "Where does the board meet?", "Cormorant Room", "x")


@pytest.mark.parametrize(
    ("kind", "question", "answer", "wrong"),
    [
        ("number", "When was it built?", "2011", "When was it built? 2014"),
        ("number", "What was built in 2011?", "it", "What was built in 2014? it"),
        ("unit", "When do they end?", "after 30 minutes", None),
        ("negation", "When may they park?", "2014", "When may not they park? 2014"),
        ("negation", "When may they not park?", "2014", "When may they park? 2014"),
        ("elsewhere", "Who?", "me", "Where does the board meet? Cormorant Room"),
    ],
)
def test_each_kind_by_hand(kind: str, question: str, answer: str, wrong: str | None) -> None:
    true = Candidate(CHUNK, TEXT, "qa", question, answer, "x")
    made = KINDS[kind](true, [true, BOARD], random.Random(0))
    assert made is not None and made.chunk is CHUNK
    if wrong is None:
        assert made.question == question and made.answer not in (answer, "")
        assert made.answer.startswith("after 30 ")
    else:
        assert claim(made) == wrong


def test_another_name_of_the_text_is_put_in() -> None:
    true = Candidate(CHUNK, TEXT, "qa", "Who built the Plover?", "Maren Oduya-Stroud", "x")
    made = {KINDS["entity"](true, [], random.Random(seed)) for seed in range(9)}
    assert made == {replace(true, answer="Bittern")}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "negation"])
def test_where_there_is_nothing_to_make_wrong_nothing_is_made(kind: str) -> None:
    plain = Candidate(replace(CHUNK, text="so be it"), "so be it", "qa", "is it so?", "it", "x")
    assert KINDS[kind](plain, [plain], random.Random(0)) is None


def test_planted_pairs_are_true_by_construction_and_their_twins_differ() -> None:
    found = planted([CHUNK, OTHER, CHUNK], 6, seed=1)
    assert len(found) == 6 and len({kind for kind, _, _ in found}) >= 3
    for _, true, wrong in found:
        assert claim(true) in true.chunk.text and wrong.chunk == true.chunk
        assert claim(wrong) != claim(true)
    assert planted([CHUNK, OTHER, CHUNK], 6, seed=1) == found
    assert planted([], 6, seed=1) == []


def test_auc_by_hand() -> None:
    assert auc([3, 1], [2, 1]) == (1 + 1 + 0 + 0.5) / 4
    assert auc([], [1.0]) == 0.5
