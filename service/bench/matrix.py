"""What is known of each batch after each batch: the matrix of continual learning, and its figures.

Rows are moments, columns are batches, values are shares of right answers (Lopez-Paz & Ranzato,
NeurIPS 2017, for backward transfer; the layout is that of Zweiger et al. 2025, figure 6).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import typer


@dataclass(frozen=True, slots=True)
class Matrix:
    """One sequence of batches, or the mean of several."""

    base: tuple[float, ...]  # what the untouched model answers about each batch
    rows: tuple[tuple[float, ...], ...]  # row k: after k + 1 batches, about each of those

    @property
    def just_learned(self) -> float:
        """Mean of what is known of each batch right after it."""
        return fmean(row[-1] for row in self.rows)

    @property
    def final(self) -> float:
        """Mean of what is known of all batches in the end."""
        return fmean(self.rows[-1])

    @property
    def backward_transfer(self) -> float:
        """Mean change from just after learning to the end, of all batches but the last."""
        pairs = list(zip(self.rows, self.rows[-1], strict=True))[:-1]
        return fmean(end - row[-1] for row, end in pairs) if pairs else 0.0

    @property
    def by_age(self) -> tuple[float, ...]:
        """Mean of what is known of a batch when 0, 1, 2 ... others came after it."""
        ages = range(len(self.rows))
        return tuple(fmean(row[-1 - age] for row in self.rows[age:]) for age in ages)


def mean(matrices: Sequence[Matrix]) -> Matrix:
    """Of several sequences, cell by cell; the last of them may still be under way."""
    base = tuple(map(fmean, zip(*(one.base for one in matrices), strict=True)))
    longest = max(len(one.rows) for one in matrices)
    moments = ([one.rows[k] for one in matrices if k < len(one.rows)] for k in range(longest))
    rows = tuple(tuple(map(fmean, zip(*moment, strict=True))) for moment in moments)
    return Matrix(base, rows)


def show(method: str, matrix: Matrix) -> None:
    """Print a matrix as SEAL prints its own: in percent, one line a moment. Without borders, so
    that twenty batches fit a terminal."""
    numbers = range(1, len(matrix.base) + 1)
    typer.echo(f"{method}: percent right, after batch (rows) about batch (columns)")
    typer.echo(_line("", map(str, numbers)))
    for moment, row in [("base", matrix.base), *zip(map(str, numbers), matrix.rows, strict=False)]:
        typer.echo(_line(moment, (f"{100 * value:.0f}" for value in row)))


def _line(moment: str, cells: Iterable[str]) -> str:
    return f"{moment:>4} " + "".join(f"{cell:>4}" for cell in cells)


def draw(matrices: Mapping[str, Matrix], file: Path) -> None:
    """Write the matrices side by side as a heat map (PNG); the first row is the base."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(matrices), 4), layout="constrained")
    panels = figure.subplots(1, len(matrices), squeeze=False)[0]
    for panel, (method, matrix) in zip(panels, matrices.items(), strict=True):
        width = len(matrix.base)
        rows = [row + (float("nan"),) * (width - len(row)) for row in (matrix.base, *matrix.rows)]
        drawn = panel.imshow(rows, vmin=0, vmax=1, cmap="viridis")
        panel.set(title=method, xlabel="about batch", ylabel="after batch")
        step = 1 + width // 12  # or the numbers touch
        panel.set_xticks(range(0, width, step), range(1, width + 1, step))
        panel.set_yticks(range(width + 1), ["base", *range(1, width + 1)])
    figure.colorbar(drawn, ax=list(panels), label="share of right answers", shrink=0.8)
    figure.savefig(file, dpi=120)
