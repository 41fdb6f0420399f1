"""The built-in model and a few adapters of it, for real servers."""

from pathlib import Path
from typing import Final

import pytest

from agent import catalog
from agent.yardstick import write_adapter

PYTHON: Final = Path(".venv-vllm/bin/python").absolute()
ADAPTERS: Final = 3
RANK: Final = 48  # as our training makes them


@pytest.fixture(scope="session")
def base() -> Path:
    return catalog.resolve("smollm2-135m", Path.home() / ".cache" / "learnd")


@pytest.fixture(scope="session")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """As our training writes them, with random B: each says something else."""
    root = tmp_path_factory.mktemp("adapters")
    return [write_adapter(base, root / str(seed), seed, RANK) for seed in range(ADAPTERS)]
