"""The figures at two small sizes, with a tiny random model where something is done in earnest."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.executor import InlineExecutor
from agent.train import TrainRequest
from memory.errors import BadInput
from memory.records import Probe
from service import main
from service.bench import scale
from service.bench.scale import Options, Pretended
from service.config import Config, load
from tests.helpers.embedding import embed
from tests.helpers.tiny_model import save_tiny_model

FIGURES = ("documents", "cycle_s", "probe_s", "replay_s", "rss_mb", "store_mb")


class Stub:
    dimension = embed([""]).shape[1]

    def __init__(self, name: str) -> None: ...

    def __call__(self, texts: Sequence[str]) -> Any:
        return embed(texts)


@pytest.fixture(scope="module")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), seed=1, context=2048)


@pytest.fixture
def config(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr("agent.models.Embedder", Stub)
    train = {"rank": 4, "onward_epochs": 1, "epochs": 1, "threads": 1}
    return load(None, {"model": str(tiny_path), "train": train})


def test_a_row_a_size_with_one_batch_in_earnest(config: Config) -> None:
    trained: list[TrainRequest] = []

    class Counted(InlineExecutor):
        def run(self, job: Any, request: Any, report: Any) -> Any:
            if isinstance(request, TrainRequest):
                trained.append(request)
            return super().run(job, request, report)

    *_, found = scale.scale(config, Options((12, 4), together=2), Counted(), lambda progress: None)
    small, large = found.rows
    assert (small["documents"], large["documents"]) == (4, 12)
    assert all(row[name] > 0 for row in found.rows for name in FIGURES)
    assert large["asked"] > small["asked"] and large["probes"] > small["probes"]
    assert all(row["probe_s"] + row["replay_s"] < row["cycle_s"] for row in found.rows)
    assert set(found.ratios) == {"share_at_4", "share_at_12"}
    assert [one.parent is None for one in trained] == [True, False, False]


def test_in_a_backlog_what_is_due_is_asked_within_the_cycles(config: Config) -> None:
    def asked(backlog: bool) -> int:
        options = Options((30,), together=2, backlog=backlog)
        *_, found = scale.scale(config, options, InlineExecutor(), lambda progress: None)
        return int(found.rows[0]["asked"])

    assert asked(backlog=True) > asked(backlog=False)


def test_sizes_are_numbers() -> None:
    error = CliRunner().invoke(main.app, ["bench", "scale", "--documents", "ten"]).exception
    assert isinstance(error, BadInput) and "ten" in str(error)


def test_from_the_command_line(
    config: Config, tmp_path: Path, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, toml = tmp_path / "found.json", tmp_path / "config.toml"
    toml.write_text("[train]\nrank = 4\nepochs = 1\nthreads = 1\n")
    monkeypatch.setattr(scale, "LocalExecutor", lambda threads: Closing())
    arguments = ["bench", "scale", "--documents", "2", "--together", "2", "--config", toml]
    arguments += ["--model", tiny_path, "--json", file]
    result = CliRunner().invoke(main.app, list(map(str, arguments)))
    assert result.exception is None, result.exception
    assert [row["documents"] for row in json.loads(file.read_text())["rows"]] == [2]


class Closing(InlineExecutor):
    def __enter__(self) -> "Closing":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def test_a_pretended_candidate_remembers_nearly_all() -> None:
    jobs = Pretended(InlineExecutor(), seed=1)
    probes = [Probe(1, "paraphrase", f"{n}?", "1", "It is 1.", n) for n in range(1000)]
    right = [jobs._result(Path("adapter"), probe).correct for probe in probes]
    assert 0.94 < sum(right) / 1000 < 0.99
    assert right == [jobs._result(Path("adapter"), probe).correct for probe in probes]
    assert not any(jobs._result(None, probe).correct for probe in probes)
