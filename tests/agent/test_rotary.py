"""Turning by position, and back."""

import torch
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from agent.rotary import turn, turned, turned_back

TOKENS, HEADS, WIDTH = 5, 3, 8


def test_it_turns_as_transformers_does_and_gradients_back() -> None:
    torch.manual_seed(0)
    x = torch.randn(TOKENS, HEADS, WIDTH, requires_grad=True)
    angle = torch.randn(TOKENS, WIDTH // 2).repeat(1, 2)
    cos, sin = angle.cos(), angle.sin()
    theirs = apply_rotary_pos_emb(
        x[None].transpose(1, 2), x[None].transpose(1, 2), cos[None], sin[None]
    )[0]
    places = turn(cos, sin)
    found = turned(x, places)
    assert torch.allclose(found, theirs[0].transpose(0, 1), atol=1e-6)
    d = torch.randn_like(x)
    (expected,) = torch.autograd.grad(found, x, d)
    assert torch.allclose(turned_back(d, places), expected, atol=1e-6)
