"""Tests of service.wiring."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from memory.artifacts import Artifacts
from memory.errors import BadConfig, StateCorrupt, StateError, StateLocked
from memory.records import Generation
from service import wiring
from service.config import Config, load
from service.wiring import State


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
