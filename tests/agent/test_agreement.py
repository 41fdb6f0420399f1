"""When two ways to the same logits agree."""

import pytest
import torch

from agent.agreement import agree


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_is_forgiven_and_nothing_else(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 300).to(dtype) * 3
    assert agree(logits + torch.finfo(dtype).eps * logits, logits)
    assert not agree(-logits, logits)
    other = logits.clone()
    other[3] = logits[3].roll(1)
    assert not agree(other, logits)
