"""The figures of continual learning, by hand."""

from pathlib import Path

import pytest

from service.bench import matrix
from service.bench.matrix import Matrix

FADING = Matrix((0.1, 0.0, 0.2), ((0.8,), (0.6, 0.9), (0.5, 0.7, 0.4)))
STEADY = Matrix((0.0, 0.0, 0.0), ((0.4,), (0.4, 0.5), (0.5, 0.5, 0.6)))


def test_figures() -> None:
    assert FADING.just_learned == pytest.approx((0.8 + 0.9 + 0.4) / 3)
    assert FADING.final == pytest.approx((0.5 + 0.7 + 0.4) / 3)
    assert FADING.backward_transfer == pytest.approx(((0.5 - 0.8) + (0.7 - 0.9)) / 2)
    assert FADING.by_age == pytest.approx(((0.8 + 0.9 + 0.4) / 3, (0.6 + 0.7) / 2, 0.5))


def test_one_batch_transfers_nothing_backward() -> None:
    assert Matrix((0.1,), ((0.8,),)).backward_transfer == 0.0


def test_the_mean_is_taken_cell_by_cell() -> None:
    found = matrix.mean([FADING, STEADY])
    assert found.base == pytest.approx((0.05, 0.0, 0.1))
    assert [list(row) for row in found.rows] == [
        pytest.approx([0.6]),
        pytest.approx([0.5, 0.7]),
        pytest.approx([0.5, 0.6, 0.5]),
    ]


def test_a_sequence_under_way_counts_as_far_as_it_came() -> None:
    begun = Matrix(STEADY.base, STEADY.rows[:1])
    assert matrix.mean([FADING, begun]).rows == (pytest.approx((0.6,)), *FADING.rows[1:])


def test_sequences_of_other_batches_have_no_mean() -> None:
    with pytest.raises(ValueError, match="shorter"):
        matrix.mean([FADING, Matrix((0.1,), ((0.8,),))])


def test_it_is_shown_in_percent_with_the_base_first(capsys: pytest.CaptureFixture[str]) -> None:
    matrix.show("seal", FADING)
    out = capsys.readouterr().out
    rows = [[word for word in line.split() if word.isalnum()] for line in out.splitlines()]
    assert ["base", "10", "0", "20"] in rows
    assert ["2", "60", "90"] in rows
    assert ["3", "50", "70", "40"] in rows


def test_the_heat_map_is_a_picture(tmp_path: Path) -> None:
    file = tmp_path / "retain.png"
    matrix.draw({"seal": FADING, "learnd": STEADY}, file)
    data = file.read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) > 5_000
