"""Tests of service.wiring."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from memory.artifacts import Artifacts
from memory.errors import BadConfig, StateCorrupt, StateError, StateLocked
from memory.records import Generation
from service import wiring
from service.config import Config, load
from service.wiring import State
from tests.helpers.embedding import DIMENSION, embed
from tests.helpers.stores import add, learn


@pytest.fixture
def config(state: Path) -> Config:
    return load(None, {"state": state})


@pytest.fixture
def opened(config: Config) -> Iterator[State]:
    with wiring.open_state(config) as opened:
        yield opened


def publish(artifacts: Artifacts, weights: str) -> str:
    staged = artifacts.stage()
    (staged / "model.safetensors").write_text(weights)
    return artifacts.publish("models", staged, {"adapter": "a"})


def generation(model: str | None, adapter: str | None = "a" * 64) -> Generation:
    return Generation(1, adapter, model, None, "", "")


def test_open_is_exclusive_and_reading_is_not(config: Config, opened: State) -> None:
    with pytest.raises(StateLocked, match=str(os.getpid())), wiring.open_state(config):
        pass
    with wiring.read_state(config) as reading:
        assert reading.store.head() == opened.store.head()


def test_reading_nothing_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(StateError, match="holds no learnd state yet"),
        wiring.read_state(load(None, {"state": tmp_path / "none"})),
    ):
        pass


def test_what_a_crash_staged_is_gone(config: Config) -> None:
    leftover = Artifacts(config.state).stage()
    with wiring.open_state(config):
        assert not leftover.exists()


def test_weights_are_verified(opened: State) -> None:
    digest = publish(opened.artifacts, "weights")
    path = opened.locate(generation(digest))
    assert path is not None
    (path / "model.safetensors").write_text("altered")
    with pytest.raises(StateCorrupt):
        opened.locate(generation(digest))
    assert opened.locate(generation(None)) is None


def test_weights_that_are_gone_are_merged_again(
    opened: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    def merge(self: State, base: Path, adapter: str, expected: str) -> None:
        publish(self.artifacts, "weights")

    monkeypatch.setattr(State, "_merge", merge)
    digest = publish(opened.artifacts, "weights")
    opened.artifacts.collect({})
    path = opened.restore(Path("base"), generation(digest))
    assert path is not None
    assert (path / "model.safetensors").read_text() == "weights"


def test_vllm_gets_adapters_and_the_embedded_engine_merged_weights(
    state: Path, opened: State
) -> None:
    staged = opened.artifacts.stage()
    (staged / "adapter_config.json").write_text('{"r": 48}')
    adapter = opened.artifacts.publish("adapters", staged, {})
    model = publish(opened.artifacts, "weights")
    learned = generation(model, adapter)
    for kind, weights, expected in (
        ("vllm", "adapter", f"adapters/{adapter}"),
        ("vllm", "merged", f"models/{model}"),
        ("embedded", "adapter", f"models/{model}"),
    ):
        config = load(None, {"state": state, "engine": {"kind": kind, "weights": weights}})
        locate = wiring.locator(config, Path("base"), opened)
        assert locate(learned) == state.resolve() / expected
        assert locate(generation(None, None)) is None


def test_without_an_adapter_nothing_can_be_merged(opened: State) -> None:
    with pytest.raises(StateCorrupt, match="is missing"):
        opened.restore(Path("base"), generation("b" * 64, adapter=None))


def test_activate_checks_first(config: Config, opened: State) -> None:
    assert wiring.activate(config, opened, 0, "activated").number == 1
    assert opened.store.head().note == "activated"


def test_a_state_directory_belongs_to_one_model(state: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for model in (first, second):
        model.mkdir()
        (model / "config.json").write_text("{}")
    one, other = (load(None, {"state": state, "model": str(m)}) for m in (first, second))
    assert wiring.base_model(other) == second  # only looking notes nothing down
    assert wiring.base_model(one, keep=True) == first
    with pytest.raises(BadConfig, match=f"begun with the model {first}"):
        wiring.base_model(other)
    assert wiring.base_model(load(None, {"state": state})) == first  # nothing else was asked for


class Embedding:
    """The tests' embedder in place of the model's, counting how often it is loaded."""

    dimension = DIMENSION
    loaded = 0

    def __init__(self, name: str) -> None:
        Embedding.loaded += 1

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        assert len(texts) <= 64, "others wait meanwhile"
        return embed(texts)


@pytest.fixture
def embedding(monkeypatch: pytest.MonkeyPatch) -> type[Embedding]:
    monkeypatch.setattr("agent.models.Embedder", Embedding)
    monkeypatch.setattr(Embedding, "loaded", 0)
    return Embedding


def test_the_embedder_is_loaded_once_and_when_needed(
    opened: State, embedding: type[Embedding]
) -> None:
    assert embedding.loaded == 0
    texts = [f"text {n}" for n in range(150)]
    assert (opened.embed(texts) == embed(texts)).all()
    assert opened.embed([]).shape == (0, DIMENSION)
    assert (opened.embed.dimension, embedding.loaded) == (DIMENSION, 1)


def test_routes_follow_the_head(config: Config, opened: State, embedding: type[Embedding]) -> None:
    open_routes = wiring.open_routes(config, opened)
    assert not open_routes()(["the port is 8765"])
    learn(opened.store, add(opened.store, "a.md"))
    assert open_routes()(["the port is 8765"])
    opened.store.activate(0, "rollback")
    assert not open_routes()(["the port is 8765"])


def test_routes_of_a_state_that_is_only_read_leave_no_file(
    config: Config, opened: State, embedding: type[Embedding]
) -> None:
    learn(opened.store, add(opened.store, "a.md"))
    with wiring.read_state(config) as reading:
        assert wiring.open_routes(config, reading)()(["the port is 8765"])
    assert not list(config.state.glob("studied.*"))


def test_a_full_disk_keeps_nobody_from_being_answered(
    config: Config,
    opened: State,
    embedding: type[Embedding],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learn(opened.store, add(opened.store, "a.md"))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    assert wiring.open_routes(config, opened)()(["the port is 8765"])
    assert not list(config.state.glob("studied.*"))
    monkeypatch.undo()
    monkeypatch.setattr("agent.models.Embedder", Embedding)
    wiring.open_routes(config, opened)()
    assert len(list(config.state.glob("studied.*"))) == 2
