"""`learnd status` and `learnd doctor`: look, change nothing."""

import os
import platform
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from memory.errors import LearndError, StateError
from service import client, wiring
from service.config import Config, default_file
from service.engines.managed import require_python
from service.engines.vllm import Server

FREE_BYTES = 2_000_000_000  # a few generations of a small model
MEMORY_BYTES = 3_500_000_000


def status(config: Config) -> dict[str, Any]:
    """Counts of the state directory, and what the daemon does if one runs."""
    with wiring.read_state(config) as state:
        head, batch, counts = state.store.head(), state.store.live_batch(), state.store.counts()
        drift = state.store.drift()
        found = {
            "state": config.state,
            "generation": head.name,
            "since": head.created_at,
            "note": head.note,
            "batch": f"{batch.id}: {batch.stage.value}" if batch else None,
            **{name: count for name, count in counts.items() if name != "generation"},
            "general answers": _left(drift) if drift else "the base's own",
        }
    try:
        with client.daemon(config) as daemon:
            learning = daemon.status()["learning"]
    except LearndError:
        return {**found, "daemon": "not running"}
    why = f": {learning['note']}" if learning["note"] else ""
    return {**found, "daemon": f"running, {learning['state']}{why}"}


def _left(drift: Mapping[str, float]) -> str:
    """How far the weights alone are from the base; routing hides it from far-off questions."""
    known, left = round(drift.get("before", 0)), round(drift.get("after", 0))
    return f"{left} right by the weights alone, {known} by the base"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look showed."""

    subject: str
    ok: bool
    detail: str


def doctor(config: Config) -> list[Finding]:
    """Everything that commonly goes wrong, looked at in turn."""
    looks: dict[str, Callable[[Config], Iterator[str]]] = {
        "configuration": _configuration,
        "machine": _machine,
        "state directory": _state,
        "documents": _documents,
        "model": _model,
        "engine": _engine,
        "address": _address,
    }
    return [_finding(subject, look, config) for subject, look in looks.items()]


class Ailing(LearndError):
    """Something is not as it should be."""


def _finding(subject: str, look: Callable[[Config], Iterator[str]], config: Config) -> Finding:
    try:
        return Finding(subject, True, ", ".join(look(config)))
    except (LearndError, OSError, ImportError) as error:
        return Finding(subject, False, str(error))


def _configuration(config: Config) -> Iterator[str]:
    yield f"learnd {version('learnd')}"
    yield str(default_file() or "no file")
    if not config.server.loopback and not config.server.token.get_secret_value():
        raise Ailing(f"server.host is {config.server.host}: set server.token, or nobody may ask")
    yield "token set" if config.server.token.get_secret_value() else "no token: no admin routes"


def _machine(config: Config) -> Iterator[str]:
    from agent import models

    yield f"Python {platform.python_version()}"
    yield f"{os.cpu_count()} cores"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if memory < MEMORY_BYTES:
        raise Ailing(f"{memory / 1e9:.1f} GB memory; {MEMORY_BYTES / 1e9:.1f} are needed")
    yield f"{memory / 1e9:.1f} GB memory"
    yield f"{models.preferred_device()}, {models.preferred_dtype()}"


def _state(config: Config) -> Iterator[str]:
    there = next(path for path in (config.state, *config.state.parents) if path.exists())
    if not os.access(there, os.W_OK):
        raise Ailing(f"{there} cannot be written to")
    free = shutil.disk_usage(there).free
    if free < FREE_BYTES:
        raise Ailing(f"{free / 1e9:.1f} GB free; {FREE_BYTES / 1e9:.1f} are needed")
    yield str(config.state)
    yield f"{free / 1e9:.1f} GB free"
    try:
        with wiring.read_state(config) as state:
            yield state.store.head().name
    except StateError as error:
        if (config.state / "learnd.db").exists():
            raise
        yield f"new ({error})"


def _documents(config: Config) -> Iterator[str]:
    if config.docs is None:
        yield "no folder configured; give it to `learnd run`"
        return
    if not config.docs.is_dir() or not os.access(config.docs, os.R_OK | os.X_OK):
        raise Ailing(f"{config.docs} is not a folder that can be read")
    yield str(config.docs)


def _model(config: Config) -> Iterator[str]:
    path = wiring.base_model(config)
    size = sum(file.stat().st_size for file in Path(path).glob("*.safetensors"))
    yield f"{config.model} ({size / 1e6:.0f} MB)"


def _engine(config: Config) -> Iterator[str]:
    yield config.engine.kind
    if config.engine.kind == "embedded":
        return
    if not config.engine.urls:
        require_python(config.engine.python)
    for url in config.engine.urls:
        with closing(Server(url, config.engine.api_key.get_secret_value())) as server:
            server.require(server.look(), wiring.base_model(config), config.model)
            yield url


def _address(config: Config) -> Iterator[str]:
    host, port = config.server.host, config.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with client.daemon(config) as daemon:
            yield f"a daemon (version {daemon.status()['version']}) answers on port {port}"
    except client.NoDaemon:
        socket.create_server((host, port), family=family).close()
        yield f"{host}:{port} is free"
