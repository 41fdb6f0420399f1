"""Chunks follow headings and whole sentences; sentences survive abbreviations and numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.chunking import TITLE_CHARACTERS, count_words, sentences, split

TEXT = """\
# Handbook

The opening.

## Hours

Core time is ten to three.

### At home

Two days a week.

## Empty

## Leave

Thirty days."""


def test_chunks_follow_the_headings() -> None:
    assert split("Handbook", TEXT, 50) == [
        ("Handbook", "The opening."),
        ("Handbook > Hours", "Core time is ten to three."),
        ("Handbook > Hours > At home", "Two days a week."),
        ("Handbook > Leave", "Thirty days."),
    ]


def test_an_untitled_text_has_the_headings_as_its_title() -> None:
    assert split("", "## Hours\n\nTen to three.\n\nFive.", 50) == [
        ("Hours", "Ten to three.\n\nFive.")
    ]
    assert split("", "Ten to three.", 50) == [("", "Ten to three.")]


def test_a_text_of_headings_alone_is_still_learned() -> None:
    assert split("Menu", "# Menu\n\n## Soup\n\n## Stew", 50) == [("Menu", "Menu\n\nSoup\n\nStew")]


def test_an_empty_text_has_no_chunks() -> None:
    assert split("Title", "", 50) == split("Title", " \n\n ", 50) == []


def test_a_long_section_is_cut_at_sentences_into_similar_lengths() -> None:
    said = [f"Sentence number {number} has exactly seven words." for number in range(11)]
    chunks = split("T", " ".join(said[:6]) + "\n\n" + " ".join(said[6:]), 35)
    assert [text for _, text in chunks] == [
        " ".join(said[0:4]),
        " ".join(said[4:6]) + "\n\n" + " ".join(said[6:8]),
        " ".join(said[8:11]),
    ]


def test_a_list_stays_with_its_lead_in_even_when_it_is_cut() -> None:
    items = [f"- item {number} of this list" for number in range(4)]
    text = "First of all a sentence stands here. Some rules apply:\n\n" + "\n".join(items)
    assert [chunk for _, chunk in split("T", text, 16)] == [
        "First of all a sentence stands here. Some rules apply:\n\n- item 0 of this list",
        "Some rules apply:\n\n- item 1 of this list\n- item 2 of this list",
        "Some rules apply:\n\n- item 3 of this list",
    ]
    assert [chunk for _, chunk in split("T", text, 50)] == [text]


def test_code_keeps_its_lines_and_is_no_heading() -> None:
    text = "Type this:\n\n    # a comment\n    run --all\n\nThen wait."
    assert split("T", text, 50) == [("T", text)]


def test_one_endless_sentence_is_cut() -> None:
    assert [count_words(text) for _, text in split("T", "word " * 100, 30)] == [25, 25, 25, 25]
    assert all(len(text) <= 300 for _, text in split("T", "x" * 10_000, 30))


def test_a_chunk_title_has_an_end() -> None:
    text = "# " + "long " * 100 + "\n\nText."
    assert len(split("Title", text, 50)[0][0]) == TITLE_CHARACTERS


@given(text=st.text("ab.!? \n-1|語", max_size=300), limit=st.integers(1, 20))
def test_nothing_is_lost_and_nothing_comes_twice(text: str, limit: int) -> None:
    def letters(of: str) -> str:
        return "".join(character for character in of if character in "ab語")

    assert letters("".join(chunk for _, chunk in split("T", text, limit))) == letters(text)


@given(text=st.text("ab.: \n#-1語", max_size=300), limit=st.integers(1, 20))
def test_no_chunk_is_empty_or_much_too_long(text: str, limit: int) -> None:
    for _, chunk in split("T", text, limit):
        assert chunk.strip()
        assert count_words(chunk) <= 3 * limit  # half of it may be a lead-in; glue counts a little


@pytest.mark.parametrize(
    "said",
    [
        ["Dr. Okonjo pays 3.5 crowns. ", "The rest is free."],
        ["Mail J. R. Stroud or A. Fennick. ", "They answer."],
        ["Use version 2.4.1. ", "Older ones fail. ", "See https://quillfen.example/a.b first."],
        ["It opens at 9 a.m. Monday. ", "Bring tea, cake, etc. ", "The rest is there."],
        ["Room no. 14 is locked. ", "The answer is no. ", "Ask Bao."],
        ["Really?! ", "Yes! ", "He said “Go.” ", "(Then he left.) ", "Done… ", "Or not?"],
        ['"Stop." he said. ', "Wait... and then go."],
        ["The U.S. office is shut. ", "Acme Inc. Berlin is open."],
        ["Turn to Fig. 3 first. ", "I ate a fig. ", "It was ripe."],
        ["He paid 5. ", "3 of them left."],
        ["他来了。", "我走。"],
        ["No stop at all"],
    ],
)
def test_sentences(said: list[str]) -> None:
    assert sentences("".join(said)) == [sentence.strip() for sentence in said]


def test_lines_are_sentences_and_headings_and_code_are_not() -> None:
    text = (
        "# Head\n\nSome rules apply:\n\n- Wear a vest\n  2. Wait. Then go.\n\n"
        "    code. Here.\n\nA: 1; B: 2\n***"
    )
    assert sentences(text) == [
        "Some rules apply:",
        "Wear a vest",
        "Wait.",
        "Then go.",
        "A: 1; B: 2",
    ]


def test_numbers_at_the_start_of_a_line_stay() -> None:
    assert sentences("1987 was wet.\n3.5 crowns are due.") == [
        "1987 was wet.",
        "3.5 crowns are due.",
    ]
