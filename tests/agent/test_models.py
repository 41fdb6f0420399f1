import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from agent import models
from agent.models import LanguageModel
from memory.errors import TrainingDiverged, UnknownModel
from tests.helpers.steps import finished
from tests.helpers.tiny_model import save_tiny_model


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


def test_a_number_format_is_named_or_suits_the_machine() -> None:
    assert models.dtype_named("float32") is torch.float32
    assert models.dtype_named("bfloat16") is torch.bfloat16
    assert models.dtype_named("auto") is models.preferred_dtype()


def sibling(model: LanguageModel, directory: Path) -> LanguageModel:
    """All its steps at once."""
    found: LanguageModel = finished(models.sibling(model, directory))[0]
    return found


def test_a_sibling_says_what_its_own_weights_say(tiny_path: Path, tmp_path: Path) -> None:
    other = save_tiny_model(tmp_path, seed=9)
    tokens = torch.tensor([[1, 5, 3]])
    found = sibling(models.load(tiny_path), other)
    assert torch.equal(found.network(tokens).logits, models.load(other).network(tokens).logits)


def test_a_sibling_holds_equal_weights_only_once(tiny_path: Path, tmp_path: Path) -> None:
    one, changed = models.load(tiny_path), models.load(tiny_path)
    last = changed.network.get_parameter("model.layers.1.mlp.down_proj.weight")
    last.data.add_(1)
    models.save(changed, tmp_path)
    other = sibling(one, tmp_path)
    pairs = zip(one.network.named_parameters(), other.network.parameters(), strict=True)
    apart = [name for (name, a), b in pairs if a.data_ptr() != b.data_ptr()]
    assert apart == ["model.layers.1.mlp.down_proj.weight"]


def test_a_sibling_is_finite_and_of_the_same_network(tiny_path: Path, tmp_path: Path) -> None:
    one, broken = models.load(tiny_path), models.load(tiny_path)
    next(broken.network.parameters()).data[0, 0] = torch.nan
    models.save(broken, tmp_path / "broken")
    with pytest.raises(TrainingDiverged, match="NaN"):
        sibling(one, tmp_path / "broken")
    save_file({"model.norm.weight": torch.ones(3)}, tmp_path / "one.safetensors")
    with pytest.raises(UnknownModel, match="holds other weights"):
        sibling(one, tmp_path)
