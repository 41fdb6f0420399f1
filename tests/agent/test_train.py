from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from agent.losses import Packed
from agent.models import LanguageModel
from agent.settings import TrainSettings
from agent.train import TrainRequest, encode, encoded, train
from memory.errors import TrainingDiverged
from memory.records import WHOLE, Progress, StudyItem

SETTINGS = TrainSettings(
    rank=8, alpha=16, learning_rate=1e-2, epochs=60, batch_tokens=64, lead_weight=1.0
)
ITEMS = tuple(
    StudyItem(1, "qa", f"port of {name}?", port, "al")
    for name, port in (("quick", "47"), ("lazy", "9"), ("fox", "13"))
)


def quiet(progress: Progress) -> None:
    pass


def request_for(tiny_path: Path, output: Path, **changes: object) -> TrainRequest:
    output.mkdir(parents=True, exist_ok=True)
    request = TrainRequest(tiny_path, None, output, ITEMS, SETTINGS, seed=1)
    return replace(request, **changes)  # type: ignore[arg-type]


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(directory / "adapter_model.safetensors"))


def test_training_teaches_the_items(tiny_path: Path, tmp_path: Path) -> None:
    trained = train(request_for(tiny_path, tmp_path / "new"), quiet)
    assert trained.figures["loss"] < 1.5  # a random head of 32 dimensions cannot do much better
    assert (tmp_path / "new" / "adapter_config.json").is_file()


def test_training_again_with_the_same_seed_gives_the_same_adapter(
    tiny_path: Path, tmp_path: Path
) -> None:
    short = replace(SETTINGS, epochs=2)
    for name in ("one", "two"):
        train(request_for(tiny_path, tmp_path / name, settings=short), quiet)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_child_adapter_goes_on_from_its_parent(tiny_path: Path, tmp_path: Path) -> None:
    train(request_for(tiny_path, tmp_path / "parent"), quiet)
    still = replace(SETTINGS, learning_rate=0.0, epochs=1)
    request = request_for(tiny_path, tmp_path / "child", parent=tmp_path / "parent", settings=still)
    train(request, quiet)
    parent, child = weights(tmp_path / "parent"), weights(tmp_path / "child")
    assert all(torch.equal(parent[name], child[name]) for name in parent)


def test_going_on_trains_b_alone(tiny_path: Path, tmp_path: Path) -> None:
    train(request_for(tiny_path, tmp_path / "parent"), quiet)
    request = request_for(tiny_path, tmp_path / "child", parent=tmp_path / "parent")
    train(replace(request, settings=replace(SETTINGS, epochs=2)), quiet)
    parent, child = weights(tmp_path / "parent"), weights(tmp_path / "child")
    same = {name for name in parent if torch.equal(parent[name], child[name])}
    assert same == {name for name in parent if "lora_A" in name}


def test_beside_general_questions_a_first_adapter_is_aimed(tiny_path: Path, tmp_path: Path) -> None:
    still = replace(SETTINGS, learning_rate=0.0, epochs=1)
    free = request_for(tiny_path, tmp_path / "free", settings=still)
    train(free, quiet)
    aimed = request_for(
        tiny_path, tmp_path / "aimed", settings=still, general=("Who signs?", "Where?")
    )
    train(aimed, quiet)
    one, other = weights(tmp_path / "free"), weights(tmp_path / "aimed")
    moved = {name for name in one if not torch.equal(one[name], other[name])}
    assert moved == {name for name in one if "lora_A" in name}


def test_going_on_is_gentler(tiny_path: Path, tmp_path: Path) -> None:
    train(request_for(tiny_path, tmp_path / "parent"), quiet)
    gentle = replace(SETTINGS, epochs=5, onward_epochs=2, onward_rate=0.0)
    request = request_for(
        tiny_path, tmp_path / "child", parent=tmp_path / "parent", settings=gentle
    )
    assert train(request, quiet).figures["epochs"] == 2
    parent, child = weights(tmp_path / "parent"), weights(tmp_path / "child")
    assert all(torch.equal(parent[name], child[name]) for name in parent)


def test_what_is_rehearsed_is_trained_once_in_all_epochs(tiny_path: Path, tmp_path: Path) -> None:
    two = replace(SETTINGS, epochs=2)
    alone = train(request_for(tiny_path, tmp_path / "alone", settings=two), quiet)
    beside = train(
        request_for(tiny_path, tmp_path / "beside", settings=two, rehearsed=ITEMS), quiet
    )
    assert beside.figures["epochs"] == alone.figures["epochs"] == 2
    assert beside.figures["tokens"] == alone.figures["tokens"] * 1.5


class CutOff(Exception):
    pass


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_training_that_was_cut_off_goes_on_as_if_nothing_had_been(
    tiny_path: Path, tmp_path: Path, epochs: int
) -> None:
    settings = replace(SETTINGS, epochs=4, batch_tokens=8)
    whole = request_for(tiny_path, tmp_path / "whole", settings=settings, general=("Who?",))
    figures = train(whole, quiet).figures
    steps = int(figures["steps"])
    file = tmp_path / "training.safetensors"
    cut = replace(whole, output=tmp_path / "cut", checkpoint=file)
    seen: list[int] = []

    def report(progress: Progress) -> None:
        seen.append(progress.done)
        if progress.done > epochs * steps / 4:
            raise CutOff

    with pytest.raises(CutOff):
        train(cut, report)
    (tmp_path / "cut").mkdir()
    again: list[int] = []
    found = train(cut, lambda progress: again.append(progress.done)).figures
    assert min(again[1:]) > epochs * steps / 4  # the first says that it is loading
    assert {**found, "seconds": 0} == {**figures, "seconds": 0}
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not file.exists()


def test_what_another_training_left_is_overlooked(tiny_path: Path, tmp_path: Path) -> None:
    short = replace(SETTINGS, epochs=2)
    file = tmp_path / "training.safetensors"
    request = request_for(tiny_path, tmp_path / "one", settings=short, checkpoint=file)

    def report(progress: Progress) -> None:
        if file.exists():
            raise CutOff

    with pytest.raises(CutOff):
        train(request, report)
    assert file.exists()
    train(replace(request, output=tmp_path / "one", seed=2), quiet)
    fresh = request_for(tiny_path, tmp_path / "two", settings=short, seed=2)
    train(fresh, quiet)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_divergence_publishes_nothing(tiny_path: Path, tmp_path: Path) -> None:
    wild = replace(SETTINGS, learning_rate=float("inf"))
    with pytest.raises(TrainingDiverged):
        train(request_for(tiny_path, tmp_path / "new", settings=wild), quiet)
    assert not list((tmp_path / "new").iterdir())


def test_a_loss_that_is_not_a_number_is_noticed_at_once(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(logits: torch.Tensor, batch: Packed, lead: float, general: float) -> torch.Tensor:
        return (logits * float("nan")).sum()

    monkeypatch.setattr("agent.gradients.study_loss", poisoned)
    with pytest.raises(TrainingDiverged, match="step 0"):
        train(request_for(tiny_path, tmp_path / "new"), quiet)


def test_the_loss_falls_on_the_answer_only(tiny: LanguageModel) -> None:
    example = encode(tiny, "Where?", "here")
    answer = tiny.tokenizer("here").input_ids
    assert list(example.tokens[example.start :]) == [*answer, tiny.tokenizer.eos_token_id]


def test_the_loss_falls_on_all_of_an_item_where_it_is_to(tiny: LanguageModel) -> None:
    item = StudyItem(1, "qa", "Where?", "here", "al")
    usual, whole = encoded(tiny, item), encoded(tiny, replace(item, kind=WHOLE))
    assert usual == encode(tiny, "Where?", "here")
    assert (whole.tokens, whole.start) == (usual.tokens, 1)


def test_a_text_bears_the_loss_everywhere(tiny: LanguageModel) -> None:
    assert encode(tiny, "", "The quick brown fox").start == 1


def test_an_example_never_exceeds_the_context(tiny: LanguageModel) -> None:
    example = encode(tiny, "", "fox " * 10_000)
    assert len(example) == tiny.context


def test_what_was_kept_of_earlier_trainings_changes_nothing(
    tiny_path: Path, tmp_path: Path
) -> None:
    short = replace(SETTINGS, epochs=2, frozen_share=0.5)
    plain = request_for(tiny_path, tmp_path / "plain", settings=short, general=("Who signs?",))
    keeping = replace(plain, activations=tmp_path / "kept")
    train(plain, quiet)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        train(replace(keeping, output=tmp_path / name), quiet)
    one = weights(tmp_path / "plain")
    for name in ("first", "second"):
        other = weights(tmp_path / name)
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert len(list((tmp_path / "kept").iterdir())) == 2  # items and general questions, once each
