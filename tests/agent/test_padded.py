"""What is read, and in how many rows."""

from collections.abc import Sequence

import pytest
import torch

from agent import padded
from agent.models import LanguageModel
from agent.prompts import Asked, groups
from agent.sampling import Choice


@pytest.fixture
def read(tiny: LanguageModel, request: pytest.FixtureRequest) -> list[torch.Size]:
    """The shapes of what the network was given."""
    shapes: list[torch.Size] = []

    def note(module: object, inputs: object, keywords: dict[str, torch.Tensor]) -> None:
        shapes.append(keywords["input_ids"].shape)

    hook = tiny.network.register_forward_pre_hook(note, with_kwargs=True)
    request.addfinalizer(hook.remove)
    return shapes


def write(model: LanguageModel, prompts: Sequence[Asked]) -> dict[int, list[int]]:
    found = groups(prompts, len(prompts))
    return padded.write(model, model.network, found, prompts, Choice(0.0, torch.Generator()))


def test_what_prompts_share_is_read_once(tiny: LanguageModel, read: list[torch.Size]) -> None:
    passage = tuple(range(5, 105))
    write(tiny, [Asked((*passage, n, 7), 2) for n in range(110, 120)])
    assert read[0].numel() == len(passage)
    assert sum(shape.numel() for shape in read) < 2 * len(passage)


def test_rows_that_are_done_leave_the_batch(tiny: LanguageModel, read: list[torch.Size]) -> None:
    write(tiny, [Asked((5, 6, n), 1 if n < 17 else 4) for n in range(7, 20)])
    assert [shape[0] for shape in read] == [13, 13, 3, 3, 3]


def test_batches_hold_groups_of_like_length_and_no_more_rows_than_wanted() -> None:
    prompts = [Asked((n, 7), most) for n, most in enumerate((9, 2, 9, 2, 9))]
    cut = list(padded.batches(groups(prompts, 2), prompts, 2))
    limits = [[prompts[i].most for group in batch for i in group.members] for batch in cut]
    assert limits == [[2, 2], [9, 9], [9]]
