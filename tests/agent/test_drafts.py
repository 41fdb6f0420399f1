"""What an answer may go on with."""

from agent.drafts import Drafts

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
