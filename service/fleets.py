"""Opens the vLLM servers that the configuration names, or starts our own."""

import shutil
from collections.abc import Callable, Collection, Sequence
from hashlib import file_digest, sha256
from pathlib import Path
from secrets import token_hex
from socket import gethostname
from typing import TYPE_CHECKING, Final

from memory.artifacts import Artifacts, rank_of
from memory.durable import disk_full_named, publish_directory
from service.config import Config
from service.engines.canary import Ask, Canary, trusting
from service.engines.fleet import Fleet, Model
from service.engines.managed import Managed, adapters, arguments, shares
from service.engines.merged import HALVES, MergedEngine
from service.engines.roster import Member
from service.engines.vllm import Server
from service.slot import EXTRA

if TYPE_CHECKING:
    from service.wiring import State

_ADAPTER: Final = ("adapter_config.json", "adapter_model.safetensors")  # its files


def open_fleet(config: Config, base: Path, name: str, state: "State") -> Fleet:
    """The engine over them, for the model of that name and what a state directory holds."""
    from agent import catalog
    from agent.examine import passes

    here = f"{gethostname()}:{state.artifacts.root.resolve()}" if state.writable else token_hex()
    owner = sha256(here.encode()).hexdigest()[:8]  # who only reads shares no names with the daemon
    places = writing(config) if state.writable else 0
    skill = catalog.study_adapter(name) if places else None
    study = copied(skill, state.artifacts) if skill else None
    logs = config.state if state.writable else None
    return Fleet(
        members(config, base, widest(config, state, study), logs),
        Model(base, name, owner, study),
        config.server.parallel + config.server.queue,
        config.engine.start_seconds,
        canary=Canary(state.store, passes),
        writing=places,
    )


def widest(config: Config, state: "State", study: Path | None) -> int:
    """The greatest rank of the adapters that are there, or will be."""
    beside = [rank_of(study)] if study else []
    return max([config.train.rank, *state.artifacts.ranks(), *beside])


def writing(config: Config) -> int:
    """Study items that a server writes at the same time; 0: none."""
    share = config.engine.study_share
    return max(1, int(share * config.server.parallel)) if share else 0


def copied(skill: Path, artifacts: Artifacts) -> Path:
    """The study adapter in the state directory, named by its content: what servers elsewhere see
    of this machine. Raises DiskFull."""
    with (skill / _ADAPTER[1]).open("rb") as weights:
        digest = file_digest(weights, "sha256").hexdigest()
    target = artifacts.root.resolve() / f"study-{digest[:12]}"
    if not target.exists():
        staged = artifacts.stage()
        with disk_full_named():
            for name in _ADAPTER:
                shutil.copy(skill / name, staged)
            publish_directory(staged, target)
    return target


def open_merged(config: Config, base: Path, state: "State") -> MergedEngine:
    """The engine that starts servers for each generation's merged weights."""
    from agent.examine import passes

    logs = config.state if state.writable else None
    return merged(config, base, logs, Canary(state.store, passes))


def merged(
    config: Config, base: Path, logs: Path | None, canary: Callable[[int, Ask], None] = trusting
) -> MergedEngine:
    """The same, without a state directory.

    A generation's servers start while those of the one before answer, and would hardly get on if
    both wanted the same cores: without a GPU each has one half of them, the less busy one.
    """
    limit, servers = config.server.parallel + config.server.queue, config.engine.servers
    cores = shares(HALVES * servers)

    def open_one(weights: Path | None, half: int) -> Fleet:
        model = weights.resolve() if weights else base
        if logs and weights:
            _drop_logs(logs, {base.name, *(one.name for one in model.parent.iterdir())})
        log = logs and logs / f"vllm-{model.name}"
        started = _managed(config, model, (), log, cores[half * servers :][:servers])
        return Fleet(started, Model(model, model.name, ""), limit, config.engine.start_seconds)

    return MergedEngine(open_one, canary)


def _drop_logs(logs: Path, kept: Collection[str]) -> None:
    """What servers of weights said that are no longer there is of no use to anybody."""
    for file in logs.glob("vllm-*-*.log"):
        if file.stem.removeprefix("vllm-").rpartition("-")[0] not in kept:
            file.unlink(missing_ok=True)


def members(config: Config, base: Path, rank: int, logs: Path | None) -> list[Member]:
    """vLLM servers that run already, or our own, for adapters up to this rank; a directory is where
    ours write what they say."""
    if config.engine.urls:
        return _attached(config)
    places = EXTRA + 3  # the head, one that is draining, and one that writes study items
    options, log = adapters(rank, places), logs and logs / "vllm"
    return _managed(config, base, options, log, shares(config.engine.servers))


def own(child: Managed) -> Member:
    """A server that learnd starts."""
    return Member(Server("http://vllm", socket=child.socket, priorities=True), child)


def _attached(config: Config) -> list[Member]:
    key = config.engine.api_key.get_secret_value()
    return [Member(Server(url, key)) for url in config.engine.urls]


def _managed(
    config: Config,
    model: Path,
    adapters: Sequence[str],
    log: Path | None,
    cores: Sequence[Sequence[int]],
) -> list[Member]:
    """Servers of our own, one for each set of cores; the name of their log goes on with a
    number."""
    from agent.models import dtype_named

    engine = config.engine
    dtype = str(dtype_named(engine.dtype)).removeprefix("torch.")
    options = arguments(model, config.server.parallel, dtype, adapters, engine.arguments)
    python = engine.python.absolute()
    children = [
        Managed(python, options, log and log.with_name(f"{log.name}-{number}.log"), its)
        for number, its in enumerate(cores)
    ]
    return [own(child) for child in children]
