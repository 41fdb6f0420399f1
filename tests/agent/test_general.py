import json
from pathlib import Path

from agent import general
from agent.settings import TrainSettings


def test_what_is_asked_is_never_rehearsed() -> None:
    rehearsed = {prompt.lower() for prompt in general.prompts(1000, seed=0)}
    asked = {probe.question.lower() for probe in general.probes()}
    assert len(rehearsed) >= 100 and len(asked) >= 20
    assert not rehearsed & asked


def test_prompts_follow_the_seed_and_the_size() -> None:
    assert general.prompts(5, seed=1) == general.prompts(5, seed=1) != general.prompts(5, seed=2)
    assert len(general.prompts(5, seed=1)) == 5


def test_small_batches_get_the_least_and_failures_more() -> None:
    settings = TrainSettings(general_share=0.1, general_least=5)
    sizes = [len(general.beside(items, settings, seed=1)) for items in (1, 50, 200)]
    assert sizes == [5, 5, 20]
    assert len(general.beside(1, settings, seed=1, times=3)) == 15


def test_what_is_only_compared_with_is_there_once_and_not_what_the_tests_ask() -> None:
    common = [text.lower() for text in general.common()]
    everything = set(map(str.lower, general.everything()))
    assert everything < set(common)
    assert len(common) == len(set(common)) == 777  # as README.md says
    table = json.loads((Path(__file__).parents[1] / "data/general_questions.json").read_text())
    assert not {row["question"].lower() for row in table} & (set(common) - everything)
