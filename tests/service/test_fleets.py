"""Tests of service.fleets."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.catalog import study_adapter
from memory.errors import Unavailable
from service import fleets, wiring
from service.config import Config, load
from service.engines.base import Remote
from service.engines.merged import MergedEngine
from service.engines.roster import Member
from service.wiring import State

BASE = Path("/base")


@pytest.fixture
def opened(state: Path) -> Iterator[State]:
    with wiring.open_state(load(None, {"state": state})) as opened:
        yield opened


def attached(state: Path, share: float = 0.25) -> Config:
    engine = {"kind": "vllm", "urls": ["http://127.0.0.1:9"], "study_share": share}
    return load(None, {"state": state, "engine": engine})


@pytest.mark.parametrize(("train", "published", "rank"), [(8, 0, 16), (48, 0, 48), (48, 96, 96)])
def test_the_widest_adapter_is_taken(
    state: Path, opened: State, train: int, published: int, rank: int
) -> None:
    if published:
        staged = opened.artifacts.stage()
        (staged / "adapter_config.json").write_text(f'{{"r": {published}}}')
        opened.artifacts.publish("adapters", staged, {})
    config = load(None, {"state": state, "train": {"rank": train}})
    assert fleets.widest(config, opened, study_adapter("smollm2-135m")) == rank
    assert fleets.widest(config, opened, None) == max(train, published)


def test_servers_find_the_study_adapter_in_the_state_directory(opened: State) -> None:
    skill = study_adapter("smollm2-135m")
    assert skill is not None
    there = fleets.copied(skill, opened.artifacts)
    assert there == fleets.copied(skill, opened.artifacts)
    assert there.is_absolute() and there.parent == opened.artifacts.root.resolve()
    for file in there.iterdir():
        assert file.read_bytes() == (skill / file.name).read_bytes()
    assert {"adapter_config.json", "adapter_model.safetensors"} == {f.name for f in there.iterdir()}
    opened.artifacts.collect({})
    assert there.exists() and opened.store.check(opened.artifacts) == []


def test_servers_of_our_own_are_told_the_rank(state: Path) -> None:
    config = load(None, {"state": state, "engine": {"kind": "vllm", "servers": 2}})
    members = fleets.members(config, BASE, 96, None)
    children = [member.process for member in members if member.process]
    assert len(children) == 2
    for child in children:
        assert child._arguments[child._arguments.index("--max-lora-rank") + 1] == "128"
        child.stop()
    for member in members:
        member.server.close()


def test_merged_weights_have_servers_of_their_own(
    state: Path, opened: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[Member]] = []
    monkeypatch.setattr(fleets, "Fleet", lambda members, *others: given.append(members))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {2, 3})
    engine = {"kind": "vllm", "weights": "merged", "route": False}
    merged = wiring.open_engine(load(None, {"state": state, "engine": engine}), BASE, opened)
    assert isinstance(merged, MergedEngine)
    for half, weights, model in ((0, None, BASE), (1, state / "abc", state / "abc")):
        merged._open_fleet(weights, half)
        (member,) = given.pop()
        child = member.process
        assert child is not None
        assert child._arguments[:2] == ["--model", str(model)]
        assert "--enable-lora" not in child._arguments
        assert child._log == state / f"vllm-{model.name}-0.log"
        assert child._defaults["VLLM_CPU_OMP_THREADS_BIND"] == ("2", "3")[half]
        child.stop()
        member.server.close()
    merged.close()


def test_logs_of_weights_that_are_gone_are_deleted(
    state: Path, opened: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleets, "Fleet", lambda members, *others: members[0].process.stop())
    (state / "models" / "abc").mkdir(parents=True)
    for name in ("gone", "abc", BASE.name):
        (state / f"vllm-{name}-0.log").write_text("said")
    fleets.merged(attached(state), BASE, state)._open_fleet(state / "models" / "abc", 0)
    left = {file.name for file in state.glob("*.log")}
    assert left == {"vllm-abc-0.log", f"vllm-{BASE.name}-0.log"}


def test_servers_that_run_already_are_attached_to(state: Path, opened: State) -> None:
    fleet = wiring.open_engine(attached(state), Path("base"), opened)
    assert isinstance(fleet, Remote)
    assert fleet.fault is not None
    with pytest.raises(Unavailable, match="0 of 1 vLLM servers are ready"):
        fleet.endpoint()  # and nothing else writes in its place
    fleet.close()


@pytest.mark.parametrize(("share", "parallel", "places"), [(0.25, 8, 2), (0.1, 4, 1), (0, 8, 0)])
def test_writing_takes_a_share(state: Path, share: float, parallel: int, places: int) -> None:
    given = {"server": {"parallel": parallel}, "engine": {"study_share": share}}
    assert fleets.writing(load(None, {"state": state, **given})) == places


def test_who_only_reads_or_gives_no_share_does_not_write_there(state: Path, opened: State) -> None:
    reading = replace(opened, writable=False)
    for config, opening in ((attached(state), reading), (attached(state, share=0), opened)):
        fleet = wiring.open_engine(config, Path("base"), opening)
        assert isinstance(fleet, Remote) and fleet.endpoint() is None
        fleet.close()
