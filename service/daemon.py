"""The process: it binds, loads, serves and learns until a signal or a fault ends it."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final, Protocol

import uvicorn
from sdnotify import SystemdNotifier

from agent.schedule import Schedule
from memory.errors import BadConfig, LearndError
from service import wiring
from service.config import Config, ServerSettings
from service.engines.base import Engine
from service.http import Service, create_app
from service.learner import Learner
from service.logs import logger
from service.metrics import Metrics
from service.slot import Slot

BEAT_SECONDS: Final = 1.0
LOAD_EXTENSION: Final = "EXTEND_TIMEOUT_USEC=30000000"  # asked again at every beat of a long load
LEARNER_SECONDS: Final = 10.0  # that the learning thread has to notice the end


class Watching(Protocol):
    """A running watcher of the folder."""

    def stop(self) -> None: ...


def run(config: Config, docs: Path, announce: Callable[[str], None]) -> None:
    """Serve and learn until SIGTERM or SIGINT; announce(url) once questions are answered.

    Raises BadInput, BadConfig, StateError before it serves, and whatever ended the daemon.
    """
    with wiring.open_state(config) as state:
        intake = wiring.open_intake(config, docs, state)
        with _listener(config.server) as listener:
            base = wiring.base_model(config, keep=True)
            with _engine(config, base, state) as engine:
                metrics = Metrics(version("learnd"))
                locate = wiring.locator(config, base, state)
                slot = Slot(engine, state.store, locate, metrics.swapped)

                def open_work() -> wiring.Work:
                    executor = wiring.open_executor(config, state)
                    cycle = wiring.open_cycle(config, state, base, executor, engine)
                    return wiring.Work(intake, cycle, executor.start)

                learner = Learner(open_work, state.store, slot, metrics, config.attempts)
                service = Service(config, state.store, engine, slot, learner, metrics, locate)
                with _systemd() as notify, _wakers(config, intake.watch, learner.wake):
                    asyncio.run(Daemon(service, learner, notify, announce).main(listener))


class Daemon:
    """One run of the serving loop."""

    def __init__(
        self,
        service: Service,
        learner: Learner,
        notify: Callable[[str], None],
        announce: Callable[[str], None],
    ) -> None:
        self._service = service
        self._learner = learner
        self._notify = notify
        self._announce = announce
        self._status = ""
        self._ready = False

    async def main(self, listener: socket.socket) -> None:
        """Serve on the listener until a signal; raises what ended it if it was a fault."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        server = _Server(self._uvicorn())
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        serving.add_done_callback(lambda task: ended.set())
        self._learner.start()
        try:
            await self._beat_until(ended, _url(listener))
        finally:
            self._notify("STOPPING=1")
            self._learner.stop(0)
            server.should_exit = True
            await serving
            await asyncio.to_thread(self._learner.stop, LEARNER_SECONDS)

    def _uvicorn(self) -> uvicorn.Config:
        return uvicorn.Config(
            create_app(self._service),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(self._service.config.server.drain_seconds)),
        )

    async def _beat_until(self, ended: asyncio.Event, url: str) -> None:
        """Tell systemd how things are, from the loop that serves, so that a stuck loop shows."""
        limit = os.environ.get("WATCHDOG_USEC")
        period = min(BEAT_SECONDS, int(limit) / 2e6) if limit else BEAT_SECONDS
        while not ended.is_set():
            self._beat(url)
            try:
                await asyncio.wait_for(ended.wait(), period)
            except TimeoutError:
                continue

    def _beat(self, url: str) -> None:
        """One sign of life, withheld if a part of the daemon is dead: then raises why."""
        faults = self._service.faults()
        if faults:
            raise self._learner.failure or LearndError("; ".join(faults))
        if self._service.slot.head is None:
            self._notify(LOAD_EXTENSION)
        elif not self._ready:
            self._ready = True
            self._notify("READY=1")
            logger().info("serving", url=url, generation=self._service.slot.head.number)
            self._announce(url)
        self._notify("WATCHDOG=1")
        self._tell_status()

    def _tell_status(self) -> None:
        head = self._service.slot.head
        status = f"{head.name if head else 'no model yet'}, {self._learner.activity}"
        if status != self._status:
            self._status = status
            self._notify(f"STATUS={status.encode('ascii', 'replace').decode()}")


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling, which ends the process by the signal again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def _systemd() -> Iterator[Callable[[str], None]]:
    """Tells systemd how things are; without systemd, nobody."""
    if not os.environ.get("NOTIFY_SOCKET"):
        yield lambda state: None
        return
    notifier = SystemdNotifier(debug=True)  # a socket that cannot be had is an error at once
    notifier.debug = False  # later, systemd may be restarting
    with notifier.socket:
        yield notifier.notify


@contextmanager
def _engine(config: Config, base: Path, state: wiring.State) -> Iterator[Engine]:
    engine = wiring.open_engine(config, base, state)
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def _wakers(
    config: Config, watch: Callable[[Callable[[], None]], Watching], wake: Callable[[], None]
) -> Iterator[None]:
    """What starts a round of learning: the clock, and earlier the watcher."""
    with Schedule() as schedule:
        schedule.every(config.intake.rescan_seconds, wake, "rescan")
        watcher = watch(wake)
        try:
            yield
        finally:
            watcher.stop()


@contextmanager
def _listener(server: ServerSettings) -> Iterator[socket.socket]:
    """A bound socket. Raises BadConfig if the address cannot be had."""
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    try:
        listener = socket.create_server((server.host, server.port), family=family)
    except OSError as error:
        where = f"{server.host}:{server.port}"
        raise BadConfig(f"cannot listen on {where}: {error.strerror}") from error
    with listener:
        yield listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
