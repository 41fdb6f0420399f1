"""Tests of service.metrics."""

import re

from memory.errors import GaveWay
from memory.records import Batch, Generation, Progress, Stage
from service.engines.base import Piece
from service.metrics import Metrics, StageClock


def page(metrics: Metrics) -> str:
    return metrics.page().decode()


def test_names_follow_the_rules_of_prometheus() -> None:
    names = re.findall(r"(?m)^# TYPE (\S+)", page(Metrics("1")))
    assert names
    assert all(name.startswith("learnd_") for name in names)


def test_pieces_count_tokens_once() -> None:
    metrics = Metrics("1")
    metrics.piece(Piece("a", 1, 7), 0.25)
    metrics.piece(Piece("b", 2, 7, "stop"), None)
    assert 'learnd_tokens_total{kind="completion"} 3.0' in page(metrics)
    assert 'learnd_tokens_total{kind="prompt"} 7.0' in page(metrics)
    assert "learnd_first_token_seconds_count 1.0" in page(metrics)


def test_only_the_generation_that_serves_is_shown() -> None:
    metrics = Metrics("1")
    for number in (1, 2):
        metrics.swapped(Generation(number, None, None, None, "", ""), 0.5)
    assert re.findall(r"learnd_generation_info\{.*", page(metrics)) == [
        'learnd_generation_info{id="2"} 1.0'
    ]
    assert "learnd_swap_duration_seconds_count 2.0" in page(metrics)


def test_a_consolidation_that_gave_way_did_not_fail() -> None:
    metrics = Metrics("1")
    for documents, error in (((), str(GaveWay())), ((), "no room"), ((1,), "")):
        stage = Stage.FAILED if error else Stage.SERVING
        metrics.batch(
            Batch(
                1,
                stage,
                documents,
                None,
                1,
                1,
                error,
                None,
                None,
                None,
                created_at="",
                updated_at="",
            )
        )
    outcomes = dict(re.findall(r'learnd_cycles_total\{outcome="(\w+)"\} (\S+)', page(metrics)))
    assert outcomes == {"gave_way": "1.0", "failed": "1.0", "serving": "1.0"}


def test_a_registry_of_its_own() -> None:
    one, other = Metrics("1"), Metrics("1")  # with the global one the second would fail
    one.swapped(Generation(7, None, None, None, "", ""), 0.5)
    assert 'id="7"' in page(one) and 'id="7"' not in page(other)


def test_stages_are_timed_from_progress() -> None:
    seen: list[str] = []
    clock = StageClock(lambda stage, seconds: seen.append(stage))
    for stage, done in (("study", 0), ("study", 1), ("train", 0)):
        clock(Progress(stage, done, 1))
    assert seen == ["study"]
    clock.stop()
    clock.stop()
    assert seen == ["study", "train"]
