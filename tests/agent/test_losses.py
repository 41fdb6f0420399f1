from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from agent.losses import (
    Example,
    Teacher,
    batches,
    pack,
    target_logits,
    target_scores,
    teach,
)
from agent.models import LanguageModel
from tests.helpers.losses import loss_of

EXAMPLES = [
    Example((5, 6, 7, 8), 2),
    Example((9, 10, 11), 1),
    Example((12, 13, 14, 15, 16, 17, 18), 5),
]
CPU = torch.device("cpu")


def alone(model: LanguageModel, example: Example) -> torch.Tensor:
    """The plain way: one example, all logits, then those of the targets."""
    logits = model.network(input_ids=torch.tensor([example.tokens])).logits[0]
    wanted: torch.Tensor = logits[example.start - 1 : -1].float()
    return wanted


def test_packed_examples_do_not_see_each_other(tiny: LanguageModel) -> None:
    packed = target_logits(tiny.network, pack(EXAMPLES, CPU))
    plain = torch.cat([alone(tiny, example) for example in EXAMPLES])
    assert torch.allclose(packed, plain, atol=1e-5)


def test_the_loss_and_its_gradient_equal_the_plain_ones(tiny: LanguageModel) -> None:
    torch.nn.Module.float(tiny.network)  # in bfloat16 the order of a sum shows
    weight = next(tiny.network.parameters())
    packed = loss_of(tiny.network, pack(EXAMPLES, CPU))
    (packed_gradient,) = torch.autograd.grad(packed, weight)
    logits = torch.cat([alone(tiny, example) for example in EXAMPLES])
    targets = torch.tensor([t for example in EXAMPLES for t in example.tokens[example.start :]])
    plain = functional.cross_entropy(logits, targets)
    (plain_gradient,) = torch.autograd.grad(plain, weight)
    assert packed.item() == pytest.approx(plain.item(), abs=1e-5)
    assert torch.allclose(packed_gradient, plain_gradient, atol=1e-5)


def test_a_teacher_takes_the_place_of_the_bare_targets(tiny: LanguageModel) -> None:
    taught, plain = EXAMPLES[0], EXAMPLES[1]
    chances = torch.tensor([[0.75, 0.25], [0.5, 0.5]])
    teacher = Teacher(torch.tensor([[3, 4], [7, 9]]), chances)
    loss = loss_of(tiny.network, pack([replace(taught, teacher=teacher), plain], CPU))
    first = alone(tiny, taught).log_softmax(-1).gather(-1, teacher.tokens)
    targets = torch.tensor(plain.tokens[plain.start :])
    second = functional.cross_entropy(alone(tiny, plain), targets, reduction="sum")
    assert loss.item() == pytest.approx(((second - (chances * first).sum()) / 4).item(), abs=1e-5)


def test_what_a_teacher_says_can_weigh_more(tiny: LanguageModel) -> None:
    teacher = Teacher(torch.tensor([[3, 4], [7, 9]]), torch.tensor([[0.75, 0.25], [0.5, 0.5]]))
    both = pack([replace(EXAMPLES[0], teacher=teacher), EXAMPLES[1]], CPU)
    never, once, thrice = (loss_of(tiny.network, both, general=n).item() for n in (0, 1, 3))
    assert thrice - never == pytest.approx(3 * (once - never), rel=1e-4)


def test_the_first_three_targets_weigh_more(tiny: LanguageModel) -> None:
    long = Example(tuple(range(20, 28)), 2)
    each = functional.cross_entropy(
        alone(tiny, long), torch.tensor(long.tokens[2:]), reduction="none"
    )
    loss = loss_of(tiny.network, pack([long], CPU), lead=4.0)
    assert loss.item() == pytest.approx((4 * each[:3].sum() + each[3:].sum()).item() / 6, abs=1e-5)


def test_a_network_is_its_own_best_pupil(tiny: LanguageModel) -> None:
    """Where the whole vocabulary is taught, the loss is the entropy and its gradient is nothing."""
    (teacher,) = teach(tiny.network, pack(EXAMPLES[:1], CPU), count=1000)
    example = replace(EXAMPLES[0], teacher=teacher)
    (gradient,) = torch.autograd.grad(
        loss_of(tiny.network, pack([example], CPU)), [tiny.network.lm_head.weight]
    )
    assert gradient.abs().max() < 1e-5
    assert torch.allclose(teacher.chances.sum(-1), torch.ones(2))


def test_scores_say_what_greedy_decoding_would(tiny: LanguageModel) -> None:
    prompt = (5, 6, 7)
    with torch.no_grad():
        best = int(tiny.network(input_ids=torch.tensor([prompt])).logits[0, -1].argmax())
    other = (best + 1) % 300
    batch = pack([Example((*prompt, best), 3), Example((*prompt, other), 3)], CPU)
    (sure, exact), (unsure, wrong) = target_scores(tiny.network, batch)
    assert exact and not wrong
    assert sure > unsure


def test_batches_keep_the_order_and_the_limit() -> None:
    cut = batches(EXAMPLES, tokens=8)
    assert [example for batch in cut for example in batch] == EXAMPLES
    assert [sum(map(len, batch)) for batch in cut] == [7, 7]


def test_an_example_longer_than_a_batch_stands_alone() -> None:
    assert [len(batch) for batch in batches(EXAMPLES, tokens=5)] == [1, 1, 1]
