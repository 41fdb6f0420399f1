"""What is known of a prompt's beginning."""

import pytest
import torch

from agent.prefixes import WORTH, Prefixes, common
from agent.shelves import Row, Shape, Shelves

SHAPE = Shape(1, 1, 2, torch.float32, torch.device("cpu"))


def row_of(tokens: list[int]) -> Row:
    row = Row(tokens)
    Shelves(SHAPE).place(row, len(tokens))
    return row


@pytest.mark.parametrize(
    ("prompt", "known"),
    [
        (list(range(30)), 20),  # a chat that goes on
        (list(range(20)), 19),  # the last token gives the first logits
        ([*range(12), 99, 98], 12),
        ([*range(WORTH - 1), 99, 98], 0),  # not worth a copy
        ([99, *range(20)], 0),
        ([5], 0),
    ],
)
def test_the_longest_known_beginning_is_recalled(prompt: list[int], known: int) -> None:
    prefixes = Prefixes()
    prefixes.remember(row_of(list(range(20))))
    prefixes.remember(row_of([*range(9), 50, 51]))
    found, kept = prefixes.recall(prompt)
    assert found == known
    assert (kept is None) == (known == 0)


def test_a_chat_is_kept_once_and_the_oldest_is_dropped() -> None:
    prefixes = Prefixes(most=40)
    prefixes.remember(row_of(list(range(20))))
    prefixes.remember(row_of(list(range(25))))
    assert len(prefixes._kept) == 1
    prefixes.remember(row_of(list(range(100, 120))))
    assert prefixes.recall(list(range(30)))[0] == 0
    assert prefixes.recall(list(range(100, 130)))[0] == 20


def test_what_is_longer_than_the_bound_is_not_kept() -> None:
    prefixes = Prefixes(most=10)
    prefixes.remember(row_of(list(range(20))))
    assert not prefixes._kept


def test_common_beginnings() -> None:
    assert common([1, 2, 3], [1, 2, 4]) == 2
    assert common([1], [1, 2]) == 1
