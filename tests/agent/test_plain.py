"""The decoder that is written out says what the network says, whoever comes and goes beside it."""

import random
from collections.abc import Sequence

import pytest
import torch

from agent import models
from agent.decoding import NetworkDecoder
from agent.plain import PlainDecoder, is_plain
from tests.helpers.tiny_model import save_tiny_model

EXACT = 1e-4  # of logits about 3 apart, in float32


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> models.LanguageModel:
    return models.load(save_tiny_model(tmp_path_factory.mktemp("tiny"), 1), torch.float32)


class Pair:
    """The same sequence with both decoders."""

    def __init__(self, plain: PlainDecoder, network: NetworkDecoder, prompt: Sequence[int]) -> None:
        self.row, self.line = plain.open(prompt), network.open(prompt)
        self.left = list(prompt)
        if self.row.seen:
            network.read([(self.line, self.left[: self.row.seen])])
            self.left = self.left[self.row.seen :]

    def next(self, chance: random.Random) -> list[int]:
        part, self.left = self.left[:50], self.left[50:]
        return part or [chance.randrange(3, 300)]


def test_logits_after_several_of_the_last_tokens(model: models.LanguageModel) -> None:
    plain, network = PlainDecoder(model), NetworkDecoder(model)
    prompts, last = [range(3, 20), range(5, 9), range(40, 60)], [3, 0, 1]
    found = plain.read([(plain.open(list(one)), list(one)) for one in prompts], last)
    expected = network.read([(network.open(list(one)), list(one)) for one in prompts], last)
    assert found.shape[0] == sum(last)
    assert torch.allclose(found, expected, atol=EXACT)
    nothing = plain.read([(plain.open([3, 4]), [3, 4])], [0])
    assert nothing.shape == (0, found.shape[1])


def test_ragged_rows_come_and_go(model: models.LanguageModel) -> None:
    plain, network, chance = PlainDecoder(model), NetworkDecoder(model), random.Random(0)
    pairs, recalled = list[Pair](), 0
    for _ in range(120):
        if len(pairs) < 6 and chance.random() < 0.3:
            prompt = [chance.randrange(3, 300) for _ in range(chance.randrange(1, 300))]
            if pairs and chance.random() < 0.5:
                prompt = [*pairs[0].row.tokens[:20], 5, 6]
            pairs.append(Pair(plain, network, prompt))
            recalled += pairs[-1].row.seen > 0
        parts = [(pair, pair.next(chance)) for pair in pairs if chance.random() < 0.9]
        if parts:
            found = plain.read([(pair.row, tokens) for pair, tokens in parts])
            expected = network.read([(pair.line, tokens) for pair, tokens in parts])
            assert torch.allclose(found, expected, atol=EXACT)
        for pair, tokens in parts:
            if len(tokens) > 9 and chance.random() < 0.3:  # some of it was not meant
                plain.rewind(pair.row, 4)
                network.rewind(pair.line, 4)
                assert pair.row.seen == pair.line.seen
        for pair in [one for one in pairs if one.row.seen > 400 or chance.random() < 0.04]:
            plain.close(pair.row)
            pairs.remove(pair)
    assert recalled > 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("model_type", "gpt_neox"), ("hidden_act", "gelu"), ("layer_types", ["sliding_attention"])],
)
def test_other_architectures_are_left_to_the_network(
    model: models.LanguageModel, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    assert is_plain(model.network)
    monkeypatch.setattr(model.network.config, name, value, raising=False)
    assert not is_plain(model.network)


def test_a_row_that_is_dropped_is_not_remembered(model: models.LanguageModel) -> None:
    plain, prompt = PlainDecoder(model), list(range(3, 40))
    row = plain.open(prompt)
    plain.read([(row, prompt)])
    plain.drop(row)
    assert plain.open(prompt).seen == 0
