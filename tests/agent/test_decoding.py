"""Which decoder a model gets."""

from typing import Any

import pytest
import torch

from agent import decoding, models
from agent.decoding import NetworkDecoder
from agent.plain import PlainDecoder
from tests.helpers.tiny_model import save_tiny_model


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16])
def model(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> models.LanguageModel:
    return models.load(save_tiny_model(tmp_path_factory.mktemp("tiny"), 1), request.param)


def test_a_plain_llama_gets_the_fast_one(model: models.LanguageModel) -> None:
    found = decoding.decoder(model)
    assert isinstance(found, PlainDecoder)
    assert found.open(decoding._PROBE).seen == 0  # the probe is not remembered


@pytest.mark.parametrize("reason", ["other type", "other logits"])
def test_everything_else_is_left_to_the_network(
    model: models.LanguageModel, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    read = PlainDecoder.read

    def wrong(self: PlainDecoder, parts: Any) -> torch.Tensor:
        return -read(self, parts)

    if reason == "other type":
        monkeypatch.setattr(decoding, "is_plain", lambda model: False)
    else:
        monkeypatch.setattr(PlainDecoder, "read", wrong)
    assert isinstance(decoding.decoder(model), NetworkDecoder)


def test_the_network_reads_in_parts(model: models.LanguageModel) -> None:
    network, tokens = NetworkDecoder(model), list(range(3, 30))
    whole, parts = network.open(tokens), network.open(tokens)
    expected = network.read([(whole, tokens)])
    network.read([(parts, tokens[:10])])
    found = network.read([(parts, tokens[10:])])
    exact = {torch.float32: 1e-4, torch.bfloat16: 0.05}[found.dtype]
    assert torch.allclose(found, expected, atol=exact)
    assert parts.seen == len(tokens)
