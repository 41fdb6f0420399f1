"""A training that was cut off goes on where its last whole epoch ended.

One safetensors file: of each trained weight its value and what AdamW remembers of it; the metadata
hold how far it came, and a fingerprint of all that the training was given. A file of another
training is overlooked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from memory.durable import publish_bytes

_SAME: Final = "training"


@dataclass(frozen=True, slots=True)
class Point:
    """How far a training came."""

    epochs: int
    steps: int
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the points of one training are kept; only the last one is."""

    file: Path | None  # None: nothing is kept
    fingerprint: str

    def keep(self, point: Point) -> None:
        """Replace the last point in one step. Raises OSError."""
        if self.file is None:
            return
        about = {_SAME: self.fingerprint, "epochs": str(point.epochs), "steps": str(point.steps)}
        tensors = {name: tensor.contiguous() for name, tensor in point.tensors.items()}
        publish_bytes(save(tensors, metadata=about), self.file)

    def last(self) -> Point | None:
        """The last point, if there is one of this training that is whole."""
        if self.file is None or not self.file.is_file():
            return None
        try:
            with safe_open(self.file, framework="pt") as kept:
                about = kept.metadata() or {}
                if about.get(_SAME) != self.fingerprint:
                    return None
                tensors = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118
        except SafetensorError:
            return None
        return Point(int(about["epochs"]), int(about["steps"]), tensors)

    def drop(self) -> None:
        """The training is done."""
        if self.file is not None:
            self.file.unlink(missing_ok=True)
