"""Keys and values of many sequences of different lengths, so that one forward pass serves them all.

A shelf holds sequences of about one length side by side, padded to its capacity; a sequence that
outgrows its shelf moves to the next, a quarter or less above. So a long one neither makes the
attention of the short ones slower nor pads their memory, and a shelf is so tight that all of it can
be multiplied at once.
"""

from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

LEAST: Final = 96  # tokens of the smallest shelf
_STEP: Final = 32  # tokens that shelves differ by, at least


@dataclass(frozen=True, slots=True)
class Shape:
    """What the keys and values of one token are."""

    layers: int
    heads: int  # of keys and values
    width: int  # of a head
    dtype: torch.dtype
    device: torch.device

    def zeros(self, rows: int, tokens: int) -> Tensor:
        """[layers, 2, rows, heads, tokens, width], keys and values; what a mask hides must be
        finite, too."""
        size = (self.layers, 2, rows, self.heads, tokens, self.width)
        return torch.zeros(size, dtype=self.dtype, device=self.device)


@dataclass(eq=False, slots=True)
class Row:
    """One sequence: the tokens whose keys and values are there, and where."""

    tokens: list[int] = field(default_factory=list)
    shelf: "Shelf | None" = None
    slot: int = 0

    @property
    def seen(self) -> int:
        """Tokens that were read."""
        return len(self.tokens)

    def kept(self) -> Tensor:
        """Its keys and values [layers, 2, heads, tokens, width], as a view."""
        assert self.shelf is not None, "it was placed"
        return self.shelf.kept[:, :, self.slot, :, : len(self.tokens)]


class Shelf:
    """Rows side by side, without gaps."""

    def __init__(self, shape: Shape, capacity: int) -> None:
        self.capacity = capacity
        self.rows: list[Row] = []
        self._shape = shape
        self.kept = shape.zeros(1, capacity)

    def add(self, row: Row) -> None:
        """Bring a row with what it keeps."""
        if len(self.rows) == self.kept.shape[2]:
            self._widen()
        if row.shelf is not None:
            self._copy(row, len(self.rows))
            row.shelf.remove(row)
        row.shelf, row.slot = self, len(self.rows)
        self.rows.append(row)

    def remove(self, row: Row) -> None:
        """The last row takes its place."""
        last = self.rows.pop()
        if last is not row:
            self._copy(last, row.slot)
            last.slot = row.slot
            self.rows[row.slot] = last
        row.shelf = None

    def _copy(self, row: Row, slot: int) -> None:
        kept = row.kept()
        self.kept[:, :, slot, :, : kept.shape[3]] = kept

    def _widen(self) -> None:
        """Room for twice as many."""
        slots = len(self.rows)
        wide = self._shape.zeros(2 * slots, self.capacity)
        wide[:, :, :slots] = self.kept
        self.kept = wide


class Shelves:
    """All rows of one model."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._shelves: dict[int, Shelf] = {}  # by capacity

    def place(self, row: Row, tokens: int) -> None:
        """Give a row room for so many tokens; what it keeps comes along."""
        if row.shelf is not None and row.shelf.capacity >= tokens:
            return
        capacity = max(LEAST, _rounded(tokens))
        if capacity not in self._shelves:
            self._shelves[capacity] = Shelf(self.shape, capacity)
        self._shelves[capacity].add(row)
        self._tidy()

    def drop(self, row: Row) -> None:
        """A row ends."""
        if row.shelf is not None:
            row.shelf.remove(row)
            self._tidy()

    def _tidy(self) -> None:
        """An empty shelf gives its memory back."""
        self._shelves = {size: shelf for size, shelf in self._shelves.items() if shelf.rows}


def _rounded(tokens: int) -> int:
    """Up to a quarter more: 160, 192, 224, 256, 320, 384 ..."""
    step = max(_STEP, (1 << (tokens - 1).bit_length()) // 8)
    return -(-tokens // step) * step
