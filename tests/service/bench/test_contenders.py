"""Tests of service.bench.contenders."""

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from memory.errors import BadConfig
from service import fleets
from service.bench.contenders import Course, chosen, embedded, merged, vllm
from service.config import load
from service.engines.base import Engine, GenerateRequest
from tests.helpers.fake_vllm import fake_vllm
from tests.helpers.tiny_model import save_tiny_model


def ask(engine: Engine, generation: int) -> str:
    async def read() -> str:
        request = GenerateRequest("Who?", 3)
        return "".join([piece.text async for piece in engine.stream(generation, request)])

    return asyncio.run(read())


def test_the_embedded_engine_is_always_measured(state: Path) -> None:
    assert chosen(load(None, {"state": state})) == ["embedded"]
    attached = {"kind": "vllm", "urls": ["http://127.0.0.1:9"]}
    assert chosen(load(None, {"state": state, "engine": attached})) == ["embedded", "vllm"]


def test_vllm_is_measured_with_the_weights_that_it_would_serve(state: Path) -> None:
    merged = {"kind": "vllm", "weights": "merged", "python": sys.executable}
    assert chosen(load(None, {"state": state, "engine": merged})) == ["embedded", "merged"]


def test_merged_weights_are_swapped_in(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = save_tiny_model(tmp_path / "model")
    course, scratch = Course(base, clients=2, seed=5), tmp_path / "scratch"
    scratch.mkdir()
    loaded = []
    fake = SimpleNamespace(load=lambda *told: loaded.append(told), close=lambda: None)
    monkeypatch.setattr(fleets, "merged", lambda config, *others: fake)
    with merged(load(None, {"state": state}), course, scratch) as contender:
        assert contender.engine is fake and loaded == [(0, None)]
        weights = [(other / "model.safetensors").read_bytes() for other in contender.others]
    assert weights[0] != weights[1]


def test_where_vllm_is_not_installed_it_says_what_to_do(state: Path) -> None:
    nowhere = {"kind": "vllm", "python": state / "python"}
    with pytest.raises(BadConfig, match="`make vllm`"):
        chosen(load(None, {"state": state, "engine": nowhere}))


def test_other_weights_or_adapters_are_swapped_in(state: Path, tmp_path: Path) -> None:
    base = save_tiny_model(tmp_path / "model")
    course, scratch = Course(base, clients=2, seed=5), tmp_path / "scratch"
    scratch.mkdir()
    with embedded(load(None, {"state": state}), course, scratch) as contender:
        for number, other in enumerate(contender.others, start=1):
            contender.engine.load(number, other)
        assert all(ask(contender.engine, number) for number in range(3))
    with fake_vllm(base) as (url, fake):
        config = load(None, {"state": state, "engine": {"kind": "vllm", "urls": [url]}})
        with vllm(config, course, scratch) as contender:
            for number, adapter in enumerate(contender.others, start=1):
                contender.engine.load(number, adapter)
            said = [ask(contender.engine, number) for number in range(3)]
        assert said == ["base base base ", "5 5 5 ", "6 6 6 "]
        assert not fake.adapters  # and nothing stays behind
