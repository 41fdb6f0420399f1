"""Tests of service.daemon: the process from start to end, on fakes; and the systemd unit."""

import asyncio
import configparser
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from memory.errors import BadConfig, BadInput, LearndError, StateLocked
from service import daemon, wiring
from service.config import ServerSettings, load
from service.daemon import Daemon
from service.engines.base import Engine
from service.http import Service
from service.learner import Learner
from tests.helpers.serving import FakeEngine, make_service
from tests.service.test_learner import FakeWork

UNIT = Path("service/learnd.service")


class Scene:
    """A daemon on fakes that notes what it tells systemd and acts when it is ready."""

    def __init__(self, state: Path) -> None:
        self.service: Service = make_service(state, serve=False)
        self.work = FakeWork()
        service = self.service
        self.learner = Learner(
            lambda: self.work, service.store, service.slot, service.metrics, attempts=3
        )
        object.__setattr__(service, "learner", self.learner)
        self.told: list[str] = []
        self.when_ready: Callable[[str], None] = lambda url: None

    def announce(self, url: str) -> None:
        threading.Thread(target=self.when_ready, args=(url,)).start()

    def run(self) -> None:
        serving = Daemon(self.service, self.learner, self.told.append, self.announce)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            asyncio.run(serving.main(listener))


@pytest.fixture
def scene(state: Path) -> Iterator[Scene]:
    scene = Scene(state)
    yield scene
    if scene.learner.alive:
        assert scene.learner.stop(10)


def test_it_tells_systemd_and_ends_cleanly_on_sigterm(scene: Scene) -> None:
    answers = []

    def then(url: str) -> None:
        answers.append(httpx2.get(f"{url}/readyz").status_code)
        os.kill(os.getpid(), signal.SIGTERM)

    scene.when_ready = then
    scene.run()
    assert answers == [200]
    told = [line for line in scene.told if not line.startswith(("STATUS", "EXTEND"))]
    assert told[0] in ("READY=1", "WATCHDOG=1")
    assert told.index("READY=1") < told.index("STOPPING=1")
    assert told[-1] == "STOPPING=1"
    assert any(line.startswith("STATUS=g0, ") for line in scene.told)
    assert not scene.learner.alive


def test_sigterm_lets_running_answers_end(scene: Scene) -> None:
    engine, lines = scene.service.engine, list[str]()
    assert isinstance(engine, FakeEngine)
    stopped = threading.Event()
    engine.hold = stopped  # the answer goes on only when nobody new can connect

    def then(url: str) -> None:
        body = {"model": "learnd", "prompt": "x", "stream": True}
        with httpx2.stream("POST", f"{url}/v1/completions", json=body) as answer:
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(httpx2.TransportError):  # refused, or reset if it was just let in
                while True:
                    httpx2.get(f"{url}/healthz")
            stopped.set()
            lines.extend(answer.iter_lines())

    scene.when_ready = then
    scene.run()
    assert "data: [DONE]" in lines


@pytest.mark.parametrize("part", ["learner", "engine"])
def test_it_ends_with_an_error_if_a_part_dies(
    scene: Scene, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "BEAT_SECONDS", 0.01)

    def broken(*arguments: object) -> None:
        raise ZeroDivisionError

    if part == "learner":
        scene.work.cycle = broken  # type: ignore[assignment]
    else:
        scene.when_ready = lambda url: scene.service.engine.close()
    with pytest.raises(ZeroDivisionError if part == "learner" else LearndError):
        scene.run()
    assert scene.told[-1] == "STOPPING=1"


def test_a_beat_is_withheld_from_the_watchdog_if_a_part_is_dead(scene: Scene) -> None:
    serving = Daemon(scene.service, scene.learner, scene.told.append, scene.announce)
    with pytest.raises(LearndError, match="the learning thread has ended"):
        serving._beat("http://nowhere")  # never started
    assert scene.told == []


def test_start_up_takes_longer_while_a_model_loads(scene: Scene) -> None:
    serving = Daemon(scene.service, scene.learner, scene.told.append, scene.announce)
    held = threading.Event()
    load_now = scene.service.engine.load

    def slowly(generation: int, path: Path | None) -> None:
        held.wait(10)
        load_now(generation, path)

    scene.service.engine.load = slowly  # type: ignore[method-assign]
    scene.learner.start()
    serving._beat("http://nowhere")
    held.set()
    assert scene.told[0] == daemon.LOAD_EXTENSION
    assert "READY=1" not in scene.told


def test_a_port_that_is_taken_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(BadConfig, match=f"cannot listen on 127.0.0.1:{port}: Address already"),
            daemon._listener(ServerSettings(port=port)),
        ):
            pass


def quiet(url: str) -> None:
    """Nobody listens."""


def test_a_missing_folder_and_a_second_daemon_are_refused_at_once(state: Path) -> None:
    config = load(None, {"state": state})
    with pytest.raises(BadInput, match="is not a folder"):
        daemon.run(config, state / "nowhere", quiet)
    with wiring.open_state(config), pytest.raises(StateLocked, match=f"process {os.getpid()}"):
        daemon.run(config, state, quiet)


def test_the_whole_of_it_starts_and_stops(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """run() with everything real but the model, the embedder and what is learned."""
    work, engine = FakeWork(), FakeEngine()

    def open_engine(config: object, base: Path, state: object) -> Engine:
        return engine

    monkeypatch.setattr(wiring, "base_model", lambda config, keep: Path("base"))
    monkeypatch.setattr(wiring, "open_engine", open_engine)
    monkeypatch.setattr(wiring, "open_cycle", lambda config, state, *others: work)
    docs = state.parent / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("# A\n\nThe port is 4711.\n")
    seen = []

    def then(url: str) -> None:
        assert work.done.acquire(timeout=30)
        seen.extend(httpx2.get(f"{url}/v1/documents").json()["data"])
        os.kill(os.getpid(), signal.SIGTERM)

    config = load(None, {"state": state, "server": {"port": 0}, "intake": {"settle_seconds": 0}})
    daemon.run(config, docs, lambda url: threading.Thread(target=then, args=(url,)).start())
    assert [document["path"] for document in seen] == ["a.md"]
    assert not engine.alive


def test_systemd_is_told_over_its_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with daemon._systemd() as notify:
            notify("READY=1")
        assert systemd.recv(100) == b"READY=1"


def test_the_unit_is_hardened_and_waits_for_the_drain() -> None:
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert (service["ProtectSystem"], service["NoNewPrivileges"]) == ("strict", "yes")
    assert "MemoryDenyWriteExecute" not in service
    drain = ServerSettings().drain_seconds + daemon.LEARNER_SECONDS
    assert int(service["TimeoutStopSec"]) > drain
    assert int(service["WatchdogSec"]) > 2 * daemon.BEAT_SECONDS
