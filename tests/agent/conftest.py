"""One tiny random model for the whole run; tests only read it."""

from pathlib import Path

import pytest
import torch

from agent import models
from agent.models import LanguageModel
from tests.helpers.tiny_model import save_tiny_model


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), seed=1)


@pytest.fixture
def tiny(tiny_path: Path) -> LanguageModel:
    return models.load(tiny_path, torch.float32)  # in bfloat16 near ties fall either way
