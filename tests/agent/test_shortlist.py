from pathlib import Path

import pytest
import torch
from peft import PeftModel

from agent import models
from agent.losses import Example, pack, target_logits, teach
from agent.settings import TrainSettings
from agent.shortlist import Shortlist
from agent.train import adapted
from tests.helpers.losses import loss_of

EXAMPLES = [Example((5, 6, 7, 8), 2), Example((12, 13, 14, 15, 16, 17, 18), 5)]
CPU = torch.device("cpu")


@pytest.fixture
def network(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> PeftModel:
    monkeypatch.setattr("agent.shortlist._FREQUENT", 3)  # the tiny vocabulary is smaller than 4096
    return adapted(models.load(tiny_path), None, TrainSettings(rank=4))


def test_the_short_head_gives_the_whole_heads_logits(network: PeftModel) -> None:
    whole = target_logits(network, pack(EXAMPLES, CPU))
    listed = [0, 1, 2, 7, 8, 17, 18]  # the frequent ones and the targets
    with Shortlist(network, EXAMPLES).head():
        part = target_logits(network, pack(EXAMPLES, CPU))
    assert torch.allclose(part, whole[:, listed])


def test_labels_are_numbered_anew_and_inputs_are_not(network: PeftModel) -> None:
    [one, other] = Shortlist(network, EXAMPLES).renumber(EXAMPLES)
    assert one.labels == (3, 4) and other.labels == (5, 6)
    assert one.tokens == EXAMPLES[0].tokens


def test_what_the_base_holds_likely_is_listed(network: PeftModel) -> None:
    [teacher, _] = teach(network, pack(EXAMPLES, CPU), count=4)
    taught = [Example((5, 6, 7, 8), 2, teacher)]
    shortlist = Shortlist(network, taught)
    whole = target_logits(network, pack(taught, CPU)).gather(-1, teacher.tokens)
    [renumbered] = shortlist.renumber(taught)
    assert renumbered.teacher is not None
    with shortlist.head():
        part = target_logits(network, pack([renumbered], CPU))
    assert torch.allclose(part.gather(-1, renumbered.teacher.tokens), whole)


def test_all_of_a_vocabulary_changes_no_loss(tiny_path: Path) -> None:
    network = adapted(models.load(tiny_path), None, TrainSettings(rank=4))
    expected = loss_of(network, pack(EXAMPLES, CPU))
    shortlist = Shortlist(network, EXAMPLES)  # 4096 are more than the tiny model has
    with shortlist.head():
        found = loss_of(network, pack(shortlist.renumber(EXAMPLES), CPU))
    assert torch.allclose(found, expected)


def test_the_head_is_whole_again_afterwards_and_never_trained(network: PeftModel) -> None:
    whole = network.get_base_model().get_output_embeddings()  # type: ignore[operator]
    with Shortlist(network, EXAMPLES).head():
        part = network.get_base_model().get_output_embeddings()  # type: ignore[operator]
        assert part is not whole and not part.weight.requires_grad
    assert network.get_base_model().get_output_embeddings() is whole  # type: ignore[operator]
