"""Rows keep what is theirs while others come, grow and go."""

import torch

from agent.shelves import LEAST, Row, Shape, Shelves

SHAPE = Shape(2, 1, 4, torch.float32, torch.device("cpu"))


def filled(shelves: Shelves, tokens: int, value: float) -> Row:
    row = Row(list(range(tokens)))
    shelves.place(row, tokens)
    row.kept().fill_(value)
    return row


def holds(row: Row, value: float) -> bool:
    return bool((row.kept() == value).all())


def test_rows_move_and_leave_without_touching_others() -> None:
    shelves = Shelves(SHAPE)
    rows = [filled(shelves, 5 + number, float(number)) for number in range(5)]
    shelves.place(rows[1], 288)
    assert rows[1].shelf is not None and rows[1].shelf.capacity == 320
    shelves.drop(rows[0])
    assert all(holds(row, float(number)) for number, row in enumerate(rows) if number)
    assert rows[2].shelf is not None
    assert [row.slot for row in rows[2].shelf.rows] == [0, 1, 2]


def test_shelves_are_tight() -> None:
    shelves, sizes = Shelves(SHAPE), []
    for tokens in (1, LEAST, LEAST + 1, 130, 257, 1000, 1025):
        row = Row()
        shelves.place(row, tokens)
        assert row.shelf is not None
        sizes.append(row.shelf.capacity)
    assert sizes == [LEAST, LEAST, 128, 160, 320, 1024, 1280]


def test_a_row_with_room_stays() -> None:
    shelves = Shelves(SHAPE)
    row = filled(shelves, 5, 1.0)
    before = row.shelf
    shelves.place(row, LEAST)
    assert row.shelf is before


def test_what_was_never_written_is_finite() -> None:
    shelves = Shelves(SHAPE)
    row = filled(shelves, 5, 1.0)
    filled(shelves, 5, 2.0)
    assert row.shelf is not None
    assert bool(torch.isfinite(row.shelf.kept).all())


def test_empty_shelves_give_their_memory_back() -> None:
    shelves = Shelves(SHAPE)
    row = filled(shelves, 5, 1.0)
    shelves.drop(row)
    assert not shelves._shelves and row.shelf is None
