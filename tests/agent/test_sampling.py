"""How the next token is chosen."""

import torch

from agent.sampling import Choice


def test_sampling_never_leaves_the_likeliest() -> None:
    logits = torch.arange(200.0).expand(400, -1)
    chosen = Choice(1000.0, torch.Generator().manual_seed(1))(logits)
    assert chosen.min() >= 150 and len(set(chosen.tolist())) > 10


def test_the_likeliest_at_temperature_0() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 1.0]])
    assert Choice(0.0, torch.Generator())(logits).tolist() == [1, 0]
