"""How fast are answers: the whole measurement with the tiny model, and what counts as mixed."""

import asyncio
import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from agent import models
from memory.errors import Busy, StateError
from memory.testing import memory_store
from service import main, wiring
from service.bench import serve
from service.config import load
from tests.helpers.fake_vllm import fake_vllm
from tests.helpers.serving import FakeEngine
from tests.helpers.stores import add, learn
from tests.helpers.tiny_model import save_tiny_model


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 near ties, of which a random model has many, count as mixed."""
    monkeypatch.setattr(models, "preferred_dtype", lambda: torch.float32)


def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "REST", 0.0)
    file, model = tmp_path / "found.json", save_tiny_model(tmp_path / "model")
    arguments = ["bench", "serve", "--clients", "3", "--requests", "6"]
    result = CliRunner().invoke(main.app, [*arguments, "--model", str(model), "--json", str(file)])
    assert result.exception is None, result.exception
    found = json.loads(file.read_text())
    assert [row["method"] for row in found["rows"]] == ["embedded", "generate", "generate x3"]
    row = found["rows"][0]
    assert row["dropped"] == row["mixed"] == row["mixed_without_swaps"] == 0
    assert row["tokens_per_s"] > 0 and row["ttft_p99"] >= row["ttft_p50"] > 0
    assert found["ratios"]["clients_over_generate"] > 0


def test_vllm_beside_the_embedded_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "REST", 0.0)
    monkeypatch.setattr(serve, "_training", nullcontext)
    file, model = tmp_path / "found.json", save_tiny_model(tmp_path / "model")
    with fake_vllm(model) as (url, fake):
        monkeypatch.setenv("LEARND_ENGINE__URLS", url)
        arguments = ["bench", "serve", "--engine", "vllm", "--clients", "3", "--requests", "6"]
        result = CliRunner().invoke(
            main.app, [*arguments, "--model", str(model), "--json", str(file)]
        )
    assert result.exception is None, result.exception
    found = json.loads(file.read_text())
    rows = {row["method"]: row for row in found["rows"]}
    assert list(rows) == ["embedded", "vllm", "generate", "generate x3"]
    assert rows["vllm"]["dropped"] == rows["vllm"]["mixed"] == 0
    assert rows["vllm"]["tokens_per_s"] > 0 and rows["vllm"]["swap_s"] > 0
    loads = [name for what, name in fake.calls if what == "load"]
    assert len(set(loads)) == len(loads) == serve.SWAPS and not fake.adapters
    assert found["ratios"]["vllm_over_embedded"] > 0
    assert found["ratios"]["vllm_clients_over_generate"] > 0


def test_a_taught_model_is_asked_about_what_it_was_taught(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, model = memory_store(), save_tiny_model(tmp_path / "model")
    opened = SimpleNamespace(
        store=store, locate=lambda head: head.number and model, adapter=lambda head: None
    )
    monkeypatch.setattr(wiring, "read_state", lambda config: nullcontext(opened))
    config = load(None, {"model": str(model), "state": state})
    options = serve.Options(clients=2, taught=state)
    with pytest.raises(StateError, match="was taught nothing"):
        serve._course(config, options)
    learn(store, add(store, "a.md"))
    course, questions = serve._course(config, options)
    assert (course.weights, list(course.recited)) == (model, store.recited())
    assert questions[0] == next(one.question for one in store.probes())
    general, _ = serve._course(config, serve.Options())
    assert (general.weights, general.recited) == (None, ())


def test_a_refused_request_counts_as_dropped() -> None:
    engine, live = FakeEngine(), serve.Live()
    engine.refuse = Busy()
    assert asyncio.run(serve._crowd(engine, live, ["a", "b"], 1, 0)) == []
    assert live.dropped == 2


def test_pauses_between_pieces() -> None:
    answer = serve.Answer(0, "", times=[1.0, 1.5, 3.0])
    assert answer.gaps() == [(1.0, 0.5), (1.5, 1.5)]
    swaps = [(1.4, 1.6)]
    assert serve._touched(1.5, 0.01, swaps) and serve._touched(1.0, 0.5, swaps)
    assert not serve._touched(1.0, 0.3, swaps) and not serve._touched(1.7, 1.0, swaps)
