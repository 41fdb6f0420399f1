"""What an answer may go on with."""

from agent.drafts import Drafts, Echo

STATEMENTS = [(1, 2, 3, 4, 5), (9, 2, 3, 7, 8)]


def test_after_two_tokens_of_a_statement_the_rest_is_guessed() -> None:
    drafts = Drafts(STATEMENTS)
    assert drafts.after([1, 2], 8) == (3, 4, 5)
    assert drafts.after([0, 1, 2], 2) == (3, 4)


def test_three_tokens_tell_more_than_two() -> None:
    drafts = Drafts(STATEMENTS)
    assert drafts.after([1, 2, 3], 8) == (4, 5)
    assert drafts.after([9, 2, 3], 8) == (7, 8)


def test_nothing_is_guessed_where_nothing_is_known() -> None:
    drafts = Drafts(STATEMENTS)
    assert drafts.after([], 8) == drafts.after([1], 8) == drafts.after([6, 6], 8) == ()
    assert drafts.after([4, 5], 8) == ()  # the statement has ended
    assert Drafts().after([1, 2], 8) == ()


def test_a_chat_repeats_itself() -> None:
    echo = Echo([1, 2, 3, 4, 9])
    assert echo.after(8) == ()
    for token in (2, 3):
        echo.add(token)
    assert echo.after(8) == (4, 9, 2, 3)
    assert echo.after(2) == (4, 9)
    echo.add(7)
    assert echo.after(8) == ()


def test_what_was_said_last_counts() -> None:
    assert Echo([1, 2, 3, 1, 2, 4, 1, 2]).after(1) == (4,)


def test_too_little_repeats_nothing() -> None:
    assert Echo([]).after(8) == Echo([1]).after(8) == Echo([1, 1]).after(8) == ()
