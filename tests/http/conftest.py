"""A real server, on a random model of two layers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest

from memory.records import Generation
from memory.testing import memory_store
from service.engines.embedded import EmbeddedEngine
from service.http import Service, create_app
from tests.helpers.serving import live, make_service
from tests.helpers.tiny_model import save_tiny_model

MODELS = 3  # different ones; generation n has the weights of model n modulo this


@dataclass(frozen=True, slots=True)
class Site:
    """A server and what it stands on."""

    url: str
    service: Service

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("models")
    return [save_tiny_model(root / str(seed), seed) for seed in range(MODELS)]


@pytest.fixture
def site(tiny_models: list[Path], state: Path) -> Iterator[Site]:
    """Serves generation 0; four requests are decoded at once, eight more may wait."""

    def locate(generation: Generation) -> Path:
        return tiny_models[generation.number % MODELS]

    limits = {"parallel": 4, "queue": 8, "max_tokens": 16, "max_body_bytes": 100_000}
    engine = EmbeddedEngine(tiny_models[0], limits["parallel"], limits["queue"])
    service = make_service(state, engine, memory_store(), locate, server=limits)
    with live(create_app(service)) as url:
        yield Site(url, service)
    engine.close()
