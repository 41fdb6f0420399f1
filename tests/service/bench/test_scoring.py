import pytest

from service.bench import scoring


@pytest.mark.parametrize(
    ("answer", "gold", "exact", "f1", "recall"),
    [
        ("The Denver Broncos!", "Denver Broncos", 1.0, 1.0, 1.0),
        ("Denver", "Denver Broncos", 0.0, 2 / 3, 0.0),
        ("It was Denver Broncos", "denver broncos", 0.0, 2 / 3, 1.0),
        ("Carolina", "Denver Broncos", 0.0, 0.0, 0.0),
        ("", "Denver Broncos", 0.0, 0.0, 0.0),
        ("at 1015", "10:15", 0.0, 0.0, 0.0),
        ("the", "a", 1.0, 1.0, 1.0),
        ("no no no", "no", 0.0, 0.5, 1.0),
    ],
)
def test_grades(answer: str, gold: str, exact: float, f1: float, recall: float) -> None:
    assert scoring.exact(answer, gold) == exact
    assert scoring.f1(answer, gold) == pytest.approx(f1)
    assert scoring.recall(answer, gold) == recall


def test_the_mean_is_over_all_questions() -> None:
    assert scoring.mean([[1.0, 1.0, 1.0], [0.0]]) == 0.75


def test_the_interval_holds_the_mean_and_follows_the_seed() -> None:
    groups = [[number / 37, number**2 / 999] for number in range(30)]
    low, high = scoring.interval(groups, seed=1)
    assert 0 < low < scoring.mean(groups) < high < 1
    assert scoring.interval(groups, seed=1) == (low, high)
    assert scoring.interval(groups, seed=2) != (low, high)


def test_the_interval_is_wider_where_passages_are_learned_as_a_whole() -> None:
    whole, mixed = [[1.0, 1.0], [0.0, 0.0]] * 20, [[1.0, 0.0]] * 40
    low, high = scoring.interval(whole, seed=1)
    assert high - low > 0.2
    assert scoring.interval(mixed, seed=1) == (0.5, 0.5)
