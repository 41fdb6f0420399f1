"""A stand-in for an embedder: the same words point the same way, in microseconds."""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
import numpy.typing as npt

DIMENSION = 256


def embed(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """A bag of hashed words as unit vectors, shape (len(texts), DIMENSION)."""
    vectors = np.full((len(texts), DIMENSION), 1e-3, np.float32)
    for vector, text in zip(vectors, texts, strict=True):
        for word in text.lower().split():
            vector[sha256(word.encode()).digest()[0] % DIMENSION] += 1
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


class CountingEmbedder:
    """Counts how many texts it was asked for."""

    def __init__(self) -> None:
        self.texts = 0

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.texts += len(texts)
        return embed(texts)
