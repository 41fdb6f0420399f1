"""Which generation answers. A request borrows one generation and keeps it to its end."""

import asyncio
import re
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol
from unicodedata import normalize

from memory.errors import BadInput, Busy, LearndError, UnknownModel
from memory.generations import before_head
from memory.records import Generation
from service.engines.base import Engine

HEAD: Final = "learnd"
TASK: Final = "learnd:"  # before the name of a task
BASE: Final = "base"
EXTRA: Final = 2  # generations beside the head that stay loaded because somebody asked for them
LISTED: Final = 20  # names in an error message or a list of models, newest first
_PINNED: Final = re.compile(r"learnd@g(\d{1,9})", re.ASCII)


class NotReady(LearndError):
    """The model is being loaded; try again in a moment."""


class Lineage(Protocol):
    """What of the store the slot reads."""

    def generation(self, number: int) -> Generation: ...

    def generations(self) -> Sequence[Generation]: ...

    def tasks(self) -> Sequence[Generation]: ...


class Slot:
    """The head and a few others, each loaded once and counted while it is borrowed."""

    def __init__(
        self,
        engine: Engine,
        lineage: Lineage,
        locate: Callable[[Generation], Path | None],
        on_swap: Callable[[Generation, float], None] = lambda generation, seconds: None,
    ) -> None:
        self._engine = engine
        self._lineage = lineage
        self._locate = locate  # what the engine loads of a generation, verified; None: the base
        self._on_swap = on_swap
        self._loading = threading.Lock()  # one load at a time
        # those on demand wait here, and not where requests for the head have something to do
        self._loads = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._lock = threading.Lock()  # guards what follows; never held while loading
        self._head: Generation | None = None
        self._previous: Generation | None = None
        self._borrowed: dict[int, int] = {}  # of every loaded generation, how often
        self._extra: OrderedDict[int, None] = OrderedDict()  # loaded on demand, latest last

    @property
    def head(self) -> Generation | None:
        """What `learnd` means now; None until the first load."""
        return self._head

    @property
    def previous(self) -> Generation | None:
        """What `learnd` meant before."""
        return self._previous

    def in_flight(self) -> dict[int, int]:
        """Requests per loaded generation."""
        with self._lock:
            return dict(self._borrowed)

    def names(self) -> list[str]:
        """Every name that borrow() takes, of pinned ones the newest."""
        newest = sorted((each.number for each in self._lineage.generations()), reverse=True)
        tasks = [f"{TASK}{each.task}" for each in self._lineage.tasks()]
        return [HEAD, *tasks, *(f"{HEAD}@g{number}" for number in newest[:LISTED]), BASE]

    def follow(self, generation: Generation) -> None:
        """Make a generation the head: load, warm up, replace, drain. Older than the head: nothing.

        Running requests stay on theirs; a failure to load leaves the head as it is.
        """
        with self._loading:
            if self._head is not None and generation.number <= self._head.number:
                return
            started = time.monotonic()
            if generation.number not in self._borrowed:
                self._engine.load(generation.number, self._locate(generation))
            self._replace(generation)
            self._on_swap(generation, time.monotonic() - started)

    @asynccontextmanager
    async def borrow(self, name: str) -> AsyncIterator[Generation]:
        """Hold the generation that a model name means now. Raises UnknownModel, NotReady, Busy."""
        generation = await self._take(name)
        try:
            yield generation
        finally:
            self._give_back(generation.number)

    async def _take(self, name: str) -> Generation:
        if name == HEAD:
            return self._take_head()
        wanted = await asyncio.to_thread(self.resolve, name)
        while not self._take_loaded(wanted.number):
            # Loading counts nothing, so a client that gives up meanwhile leaves no count behind.
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._loads, self._load_extra, wanted)
        return wanted

    def resolve(self, name: str) -> Generation:
        """The generation a name means, loaded or not. Raises UnknownModel with the known names."""
        if name == HEAD:
            return self._live()
        if name.startswith(TASK):
            return self._of_task(name)
        pinned = _PINNED.fullmatch(name)
        if name != BASE and not pinned:
            raise self._unknown(name)
        try:
            return self._lineage.generation(int(pinned[1]) if pinned else 0)
        except UnknownModel:
            raise self._unknown(name) from None

    def _of_task(self, name: str) -> Generation:
        """The newest one; who holds an older one keeps it to the end. Some systems decompose the
        letters of a file's name."""
        for generation in self._lineage.tasks():
            if normalize("NFC", f"{TASK}{generation.task}") == normalize("NFC", name):
                return generation
        raise self._unknown(name)

    def _unknown(self, name: str) -> UnknownModel:
        known = self.names()
        more = ", ..." if len(known) > 2 * LISTED else ""
        return UnknownModel(
            f"there is no model {name[:80]!r}; known: {', '.join(known[: 2 * LISTED])}{more}"
        )

    def _live(self) -> Generation:
        if self._head is None:
            raise NotReady
        return self._head

    def _take_head(self) -> Generation:
        with self._lock:
            head = self._live()
            self._borrowed[head.number] += 1
            return head

    def _take_loaded(self, number: int) -> bool:
        with self._lock:
            if number not in self._borrowed:
                return False
            self._borrowed[number] += 1
            if number in self._extra:
                self._extra.move_to_end(number)
            return True

    def _give_back(self, number: int) -> None:
        with self._lock:
            self._borrowed[number] -= 1
            self._free_idle()

    def _replace(self, generation: Generation) -> None:
        with self._lock:
            self._previous, self._head = self._head, generation
            self._borrowed.setdefault(generation.number, 0)
            self._extra.pop(generation.number, None)
            self._free_idle()

    def _load_extra(self, generation: Generation) -> None:
        with self._loading:
            number = generation.number
            if number in self._borrowed:
                return
            self._make_room()
            self._engine.load(number, self._locate(generation))
            with self._lock:
                self._borrowed[number] = 0
                self._extra[number] = None

    def _make_room(self) -> None:
        """Give up the extra generation that was asked for longest ago, if all places are taken."""
        with self._lock:
            if len(self._extra) < EXTRA:
                return
            idle = next((number for number in self._extra if not self._borrowed[number]), None)
            if idle is None:
                raise Busy(f"{EXTRA} other generations are answering; ask for one of them or wait")
            del self._extra[idle]
            self._free_idle()

    def _free_idle(self) -> None:
        """Unload what is neither head nor extra once nobody uses it. The lock is held."""
        kept = {*self._extra, *([self._head.number] if self._head else [])}
        for number in [n for n, users in self._borrowed.items() if not users and n not in kept]:
            del self._borrowed[number]
            self._engine.unload(number)


def rollback_target(generations: Sequence[Generation]) -> int:
    """The number of the generation to go back to. Raises BadInput at the base."""
    earlier = before_head(generations)
    if earlier is None:
        raise BadInput("the base is served already; there is nothing to roll back to")
    return earlier.number
