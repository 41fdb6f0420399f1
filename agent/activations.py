"""What the frozen layers said of an example, kept on disk: it never changes.

Rehearsed items come again with every batch, general questions too. A cache: each training adds one
safetensors file, `<key of tokens> -> [tokens, width]`; the oldest files go when there is too much,
and a damaged one is overlooked. Who forgets a document deletes the directory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from agent.losses import Example
from memory.durable import publish_bytes

_MOST: Final = 400_000_000  # bytes in the directory


@dataclass(frozen=True, slots=True)
class Activations:
    """Those of one stack of layers in one number format."""

    directory: Path | None  # None: nothing is kept
    about: str  # tells this stack from any other
    most: int = _MOST

    def find(self, examples: Sequence[Example]) -> dict[int, Tensor]:
        """What is known, by the place of the example."""
        keys = [self._key(one) for one in examples]
        found: dict[str, Tensor] = {}
        for file in self._files():
            found |= _read(file, set(keys) - found.keys())
        return {place: found[key] for place, key in enumerate(keys) if key in found}

    def add(self, examples: Sequence[Example]) -> None:
        """Keep the states of these; the oldest others make room. Raises OSError."""
        new = {self._key(one): one.states for one in examples if one.states is not None}
        if self.directory is None or not new:
            return
        self.directory.mkdir(mode=0o700, exist_ok=True)
        data = save({key: states.cpu().contiguous() for key, states in new.items()})
        numbers = [int(file.stem) for file in self._files()]
        publish_bytes(data, self.directory / f"{max(numbers, default=0) + 1}.safetensors")
        self._make_room()

    def _make_room(self) -> None:
        total = 0
        for file in self._files():
            total += file.stat().st_size
            if total > self.most:
                file.unlink()

    def _files(self) -> list[Path]:
        """The newest first."""
        files = self.directory.glob("*.safetensors") if self.directory else ()
        return sorted(files, key=lambda file: -int(file.stem))

    def _key(self, example: Example) -> str:
        return sha256(f"{self.about} {example.tokens}".encode()).hexdigest()


def _read(file: Path, keys: set[str]) -> Mapping[str, Tensor]:
    try:
        with safe_open(file, framework="pt") as kept:
            return {key: kept.get_tensor(key) for key in keys & set(kept.keys())}
    except SafetensorError:
        return {}
