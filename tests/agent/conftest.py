"""One tiny random model for the whole run; tests only read it."""

from pathlib import Path

import pytest

from agent import models
from agent.models import LanguageModel
from tests.helpers.tiny_model import save_tiny_model


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), seed=1)


@pytest.fixture
def tiny(tiny_path: Path) -> LanguageModel:
    return models.load(tiny_path)
