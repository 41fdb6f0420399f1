"""What goes through the network together."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from agent import continuous
from agent.models import LanguageModel, end_tokens
from agent.plain import PlainDecoder
from agent.prompts import Asked, groups
from agent.sampling import Choice
from tests.helpers.decoding import plain


class Noted(PlainDecoder):
    """Keeps how many tokens of how many rows each pass has read."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__(model)
        self.passes: list[list[int]] = []

    def read(self, parts: Sequence[Any], last: Sequence[int] | None = None) -> torch.Tensor:
        self.passes.append([len(tokens) for _, tokens in parts])
        return super().read(parts, last)


def write(
    model: LanguageModel, prompts: Sequence[Asked], rows: int
) -> tuple[Noted, dict[int, list[int]]]:
    decoder, done = Noted(model), list[int]()
    written = continuous.write(
        decoder,
        groups(prompts, rows),
        prompts,
        rows,
        Choice(0.0, torch.Generator()),
        end_tokens(model),
        done.append,
    )
    assert sum(done) == len(prompts)
    return decoder, written


def test_the_next_prompt_takes_the_place_of_what_ended(tiny: LanguageModel) -> None:
    prompts = [Asked((5, 6, n), most) for n, most in ((7, 1), (8, 4), (9, 2), (10, 1))]
    decoder, written = write(tiny, prompts, 2)
    assert [len(one) for one in decoder.passes] == [2, 2, 2, 2]
    said = tiny.tokenizer.batch_decode([written[i] for i in range(4)], skip_special_tokens=True)
    assert [one.strip() for one in said] == [plain(tiny, one) for one in prompts]


def test_what_prompts_share_is_read_once(tiny: LanguageModel) -> None:
    passage = tuple(range(5, 105))
    decoder, _ = write(tiny, [Asked((*passage, n, 7), 1) for n in range(110, 115)], 8)
    assert decoder.passes == [[len(passage)], [2] * 5]


def test_long_prompts_wait_for_each_other(
    tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(continuous, "TOKENS", 10)
    decoder, written = write(tiny, [Asked((5, 6, n), 2) for n in range(7, 10)], 8)
    assert max(map(len, decoder.passes)) == 2 and len(written) == 3
    decoder, _ = write(tiny, [Asked(tuple(range(5, 40)), 1)], 8)
    assert decoder.passes == [[35]]  # alone, however long


def test_who_may_say_nothing_ends_at_once(tiny: LanguageModel) -> None:
    decoder, _ = write(tiny, [Asked((5, 6, 7), 0)], 8)
    assert len(decoder.passes) == 1
