"""How the parts fit together: the one place where `learnd run` and `learnd learn` build them."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from memory.artifacts import Artifacts
from memory.durable import StateLock, publish_bytes
from memory.errors import BadConfig, StateCorrupt
from memory.records import Batch, DocumentState, Generation, Progress
from memory.store import Store
from service.config import Config
from service.engines.base import Engine, Remote

if TYPE_CHECKING:  # these load torch, or much else
    import numpy as np
    from numpy.typing import NDArray

    from agent.cycle import Cycle
    from agent.executor import Executor, LocalExecutor
    from agent.intake import Intake, ScanReport
    from agent.models import Embedder
    from agent.routing import Router
    from service.engines.routed import Routes


_NOTE = "model.json"  # in the state directory: the model that it belongs to
_EMBEDDED = 64  # texts at a time
_CACHE_BYTES = 500_000_000  # that must be free before caches are written: 300,000 texts
_HEAVY = ("agent.study", "agent.train", "sentence_transformers")  # seconds to import


class SharedEmbedder:
    """The sentence embedder, loaded when it is needed first. One thread at a time uses it, and
    none for long, so that a question does not wait while a study set is embedded."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = Lock()

    def __call__(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        import numpy as np

        parts = [self._part(texts[i : i + _EMBEDDED]) for i in range(0, len(texts), _EMBEDDED)]
        return np.concatenate(parts) if parts else self._part(texts)

    @property
    def dimension(self) -> int:
        with self._lock:
            return self._model.dimension

    def _part(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        from agent.lanes import alone

        with self._lock, alone():
            return self._model(texts)

    @cached_property
    def _model(self) -> "Embedder":
        from agent.models import Embedder

        return Embedder(self._name)


@dataclass(frozen=True, slots=True)
class State:
    """An open state directory."""

    store: Store
    artifacts: Artifacts
    embed: "SharedEmbedder"
    writable: bool = True

    def locate(self, generation: Generation) -> Path | None:
        """The verified weights of a generation; None: the base's own. Raises StateCorrupt."""
        return self.artifacts.verify("models", generation.model) if generation.model else None

    def restore(self, base: Path, generation: Generation) -> Path | None:
        """As locate(), but weights that were cleared away are merged again from their adapter.

        Only for the holder of the lock; takes seconds. Raises StateCorrupt.
        """
        try:
            return self.locate(generation)
        except StateCorrupt:
            if not (generation.model and generation.adapter):
                raise
        self._merge(base, generation.adapter, generation.model)
        return self.locate(generation)

    def adapter(self, generation: Generation) -> Path | None:
        """The verified adapter of a generation; None: the base has none. Raises StateCorrupt."""
        if generation.adapter is None:
            return None
        return self.artifacts.verify("adapters", generation.adapter).resolve()

    def _merge(self, base: Path, adapter: str, expected: str) -> None:
        from agent.executor import LocalExecutor
        from agent.merge import MergeRequest, merge

        staged = self.artifacts.stage()
        request = MergeRequest(base, self.artifacts.verify("adapters", adapter), staged)
        with LocalExecutor() as executor:
            executor.run(merge, request, lambda progress: None)
        found = self.artifacts.publish("models", staged, {"adapter": adapter})
        if found != expected:
            raise StateCorrupt(
                f"models/{expected} is gone, and merging it again here gives other weights, {found}"
            )


@contextmanager
def open_state(config: Config) -> Iterator[State]:
    """Hold the state directory for writing. Raises StateLocked, NewerState, StateCorrupt."""
    with StateLock(config.state), Store.open(config.state / "learnd.db") as store:
        artifacts = Artifacts(config.state)
        artifacts.empty_staging()
        yield State(store, artifacts, SharedEmbedder(config.embedder))


@contextmanager
def read_state(config: Config) -> Iterator[State]:
    """Look at the state directory, also while a daemon holds it. Raises StateError if empty."""
    with Store.open_read(config.state / "learnd.db") as store:
        embed = SharedEmbedder(config.embedder)
        yield State(store, Artifacts(config.state), embed, writable=False)


@dataclass(frozen=True, slots=True)
class Work:
    """What a round of learning does."""

    intake: "Intake"
    cycle: "Cycle"
    start: Callable[[], None] = lambda: None  # a child that waits, imports done, for the next job

    def scan(self, wait: Callable[[float], None]) -> "ScanReport":
        return self.intake.scan(wait)

    def run_pending(self, on_progress: Callable[[Progress], None]) -> Sequence[Batch]:
        return self.cycle.run_pending(on_progress)

    def review(self, on_progress: Callable[[Progress], None]) -> int:
        return self.cycle.review(on_progress)

    def repair(self, on_progress: Callable[[Progress], None]) -> Batch | None:
        return self.cycle.repair(on_progress)

    def consolidate(self, on_progress: Callable[[Progress], None]) -> Batch | None:
        return self.cycle.consolidate(on_progress)

    def get_ready(self) -> None:
        self.start()


def open_intake(config: Config, docs: Path, state: State) -> "Intake":
    """Raises BadInput if docs is no folder."""
    from agent.intake import Intake

    return Intake(docs, state.store, config.intake)


def open_executor(config: Config, state: State) -> "LocalExecutor":
    """The child that does the heavy work; it gets ready at once if there is any."""
    from agent.executor import LocalExecutor

    executor = LocalExecutor(config.train.threads, modules=_HEAVY)
    if state.store.live_batch() or state.store.documents(DocumentState.PENDING):
        executor.start()
    return executor


def open_cycle(
    config: Config, state: State, base: Path, executor: "Executor", engine: Engine | None = None
) -> "Cycle":
    """The pipeline with its embedder; takes seconds. A remote engine also writes for it."""
    from agent import catalog
    from agent.cycle import Cycle
    from agent.stages import Stages
    from memory.index import TextIndex

    embed, store, artifacts = state.embed, state.store, state.artifacts
    stages = Stages(
        store=store,
        artifacts=artifacts,
        index=TextIndex(config.state, "probes", embed, embed.dimension),
        executor=executor,
        settings=config.pipeline,
        base=base,
        study_adapter=catalog.study_adapter(_model_name(config)),
        endpoint=engine.endpoint if isinstance(engine, Remote) else lambda: None,
    )
    return Cycle(store, artifacts, executor, config.pipeline, stages)


def base_model(config: Config, keep: bool = False) -> Path:
    """The directory of the untouched model; converts or downloads it the first time.

    A state directory belongs to the model it was begun with, which `keep` notes down: adapters fit
    no other. Raises BadConfig if another one is asked for, UnknownModel.
    """
    from agent import catalog

    name = _model_name(config)
    path = catalog.resolve(name, config.cache)
    note = config.state / _NOTE
    if keep and not note.exists():
        publish_bytes(json.dumps({"model": name}).encode(), note)
    return path


def _model_name(config: Config) -> str:
    """The model that the state directory was begun with, else the one of the configuration."""
    note = config.state / _NOTE
    given = Path(config.model).expanduser()
    name = str(given.resolve()) if given.exists() else config.model
    begun = str(json.loads(note.read_text())["model"]) if note.exists() else name
    if begun != name and "model" in config.model_fields_set:
        raise BadConfig(
            f"{config.state} was begun with the model {begun}; "
            f"use that one, or another state directory for {name}"
        )
    return begun


def open_engine(config: Config, base: Path, state: State) -> Engine:
    """The engine that answers; what it loads is found by locator()."""
    from service.engines.routed import RoutedEngine

    open_kind = _open_fleet if config.engine.kind == "vllm" else _open_embedded
    engine = open_kind(config, base, state)
    if not config.engine.route:
        return engine

    def is_routed(generation: int) -> bool:
        return not state.store.generation(generation).task

    return RoutedEngine(engine, open_routes(config, state), is_routed)


def locator(config: Config, base: Path, state: State) -> Callable[[Generation], Path | None]:
    """Finds what the engine loads, verified: an adapter for vLLM, else merged weights."""
    if config.engine.kind == "vllm" and config.engine.weights == "adapter":
        return state.adapter
    return partial(state.restore, base) if state.writable else state.locate


def _open_embedded(config: Config, base: Path, state: State) -> Engine:
    from service.engines.embedded import opened

    server, dtype = config.server, config.engine.dtype
    return opened(base, server.parallel, server.queue, state.store.recited, dtype)


def _open_fleet(config: Config, base: Path, state: State) -> Engine:
    from service import fleets

    if config.engine.weights == "merged":
        return fleets.open_merged(config, base, state)
    return fleets.open_fleet(config, base, _model_name(config), state)


def open_routes(config: Config, state: State) -> "Callable[[], Routes]":
    """Opens the router when it is needed first; each time it is called, it looks at the head."""

    @cache
    def router() -> "Router":
        from agent import general
        from agent.routing import Router
        from memory.index import TextIndex

        def open_index(name: str) -> TextIndex:
            return TextIndex(config.state, name, state.embed, state.embed.dimension)

        return Router(open_index, state.embed, general.common())

    def refreshed() -> "Routes":
        # the index is a cache: a full disk keeps nobody from being answered
        room = shutil.disk_usage(config.state).free >= _CACHE_BYTES
        router().refresh(state.store.taught(), save=state.writable and room)
        return router().is_studied

    return refreshed


def activate(config: Config, state: State, number: int, note: str) -> Generation:
    """Make an earlier generation the head. Its weights are checked before anything changes."""
    generation = state.store.candidate(number)
    if generation.model:
        locator(config, base_model(config), state)(generation)
    return state.store.activate(number, note)
