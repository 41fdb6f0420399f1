import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from agent import models
from agent.models import LanguageModel
from memory.errors import TrainingDiverged


def test_weights_that_are_not_finite_are_refused(tiny_path: Path, tmp_path: Path) -> None:
    models.save(models.load(tiny_path), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    name = next(iter(weights))
    weights[name] = weights[name] * float("inf")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingDiverged, match="NaN or infinity"):
        models.load(tmp_path)


def test_pickled_weights_are_never_opened(tiny_path: Path, tmp_path: Path) -> None:
    """A directory with only a pickle is no model: nothing in it may run."""
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tiny_path / name).read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(_Payload(tmp_path)))
    with pytest.raises(OSError, match="safetensors"):
        models.load(tmp_path)
    assert not (tmp_path / "ran").exists()


class _Payload:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.directory / "ran",)


def test_a_chat_becomes_the_tokens_of_the_template(tiny: LanguageModel) -> None:
    tokens = models.question_tokens(tiny.tokenizer, "Where is it?")
    text = tiny.tokenizer.decode(tokens)
    assert text == "<|im_start|>user\nWhere is it?<|im_end|>\n<|im_start|>assistant\n"


def test_bfloat16_only_where_the_processor_multiplies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for able, expected in (({"avx512_bf16": True}, torch.bfloat16), ({}, torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert models.preferred_dtype() is expected


@pytest.mark.model
def test_sentences_that_mean_the_same_lie_near() -> None:
    embedder = models.Embedder("minilm")
    one, same, other = embedder(
        ["Who leads the support desk?", "Who is the head of support?", "What does a gauge weigh?"]
    )
    assert embedder.dimension == len(one) == 384
    assert one @ same > one @ other + 0.2


def test_equal_weights_are_held_once(tiny_path: Path) -> None:
    one, other = models.load(tiny_path), models.load(tiny_path)
    next(other.network.parameters()).data.add_(1)
    models.share(other, [one])
    pairs = list(zip(one.network.parameters(), other.network.parameters(), strict=True))
    assert [a.data_ptr() == b.data_ptr() for a, b in pairs] == [False] + [True] * (len(pairs) - 1)
