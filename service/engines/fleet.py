"""The engine over one vLLM server or several.

One thread looks after the servers, one at a time: it starts what died, loads what is wanted and
unloads what is not. So a new generation comes to one server after another, and a server that comes
back holds all that is wanted before it is asked anything.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from agent.endpoint import Endpoint
from memory.errors import BadConfig, Busy, LearndError, Unavailable
from service.engines.base import GenerateRequest, Piece
from service.engines.canary import Ask, ask, trusting
from service.engines.managed import DoesNotStart
from service.engines.resume import Told, repeatable
from service.engines.roster import Member, Roster
from service.engines.vllm import Serving
from service.engines.wire import Gone, Refused
from service.logs import logger

BEAT_SECONDS: Final = 1.0  # between two looks at the servers
PATIENCE_SECONDS: Final = 5.0  # that a request waits for a server that was lost just now
ATTEMPTS: Final = 3  # to answer one request
_HOPELESS: Final = (BadConfig, DoesNotStart)  # no waiting mends these
STUDY: Final = -2  # stands among the generations for the model that writes study items


@dataclass(frozen=True, slots=True)
class Model:
    """What the servers have to serve."""

    base: Path
    name: str
    owner: str  # stands in the names of our adapters: others may use the same server
    study_adapter: Path | None = None  # with which study items are written; None: with the base


@dataclass(slots=True, eq=False)
class _Request:
    """One that was admitted."""

    begun: bool = False


class Fleet:
    """All servers as one engine; at most `limit` requests for each of them at once."""

    def __init__(
        self,
        members: Sequence[Member],
        model: Model,
        limit: int,
        start_seconds: float,
        beat: float = BEAT_SECONDS,
        canary: Callable[[int, Ask], None] = trusting,
        writing: int = 0,
    ) -> None:
        self._roster = Roster(members)
        self._model = model
        self._limit = limit * len(members)
        self._start_seconds = start_seconds  # until a generation must be held, at most
        self._beat = beat
        self._canary = canary  # examines a generation on the first server of several; or Unfit
        self._writing = writing  # study items at the same time on one server; 0: none
        if writing:
            self._roster.want(STUDY, model.study_adapter)
        self._requests: set[_Request] = set()
        self._served = False  # a generation was loaded: from then on nothing may end the daemon
        self._examined: set[int] = set()  # generations that the canary found fit
        self._due = threading.Event()  # there is something to do before the next beat
        self._closed = False
        self._thread = threading.Thread(target=self._tend_all, name="fleet", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def requests(self) -> int:
        """That are on their way."""
        return len(self._requests)

    @property
    def waiting(self) -> int:
        return sum(not request.begun for request in tuple(self._requests))

    @property
    def fault(self) -> str | None:
        """Why nothing can be answered at present; None: all is well."""
        ready = any(member.ready for member in self._roster.members)
        return None if ready else str(self._roster.lost())

    def load(self, generation: int, path: Path | None) -> None:
        """Block until every server that is ready holds it, and at least half of them all.

        Raises Refused, Unavailable; before anything was served also BadConfig, DoesNotStart.
        """
        roster = self._roster
        roster.want(generation, path)
        self._due.set()
        with roster.change:
            roster.change.wait_for(
                lambda: self._obstacle(generation) or roster.is_held(generation),
                self._start_seconds,
            )
            obstacle, held = self._obstacle(generation), roster.is_held(generation)
        if obstacle or not held:
            self.unload(generation)
            error = obstacle or roster.lost()
            if self._served and isinstance(error, _HOPELESS):
                raise Unavailable(str(error)) from error
            raise error
        self._served = True

    def endpoint(self) -> Endpoint | None:
        """A server that writes study items, the least busy one; None: that is not wanted.

        Raises Refused, Unavailable.
        """
        if not self._writing:
            return None
        member = self._roster.borrow(STUDY)
        if member is None:
            raise self._roster.refusal(STUDY) or self._roster.lost()
        self._roster.give_back(member)  # it is a share of the server that counts for no request
        name = self._name(member, STUDY)
        return member.server.endpoint(name, member.base, self._writing)

    def unload(self, generation: int) -> None:
        self._roster.drop(generation)
        self._examined.discard(generation)
        self._due.set()

    async def stream(
        self, generation: int, request: GenerateRequest
    ) -> AsyncGenerator[Piece, None]:
        request, told = repeatable(request), Told()
        with self._admitted() as admitted:
            for attempt in range(1, ATTEMPTS + 1):
                told.restart()
                member = await self._choose(generation)
                try:
                    answer = member.server.stream(self._name(member, generation), request)
                    async with aclosing(answer) as pieces:
                        async for piece in pieces:
                            admitted.begun = True
                            if (fresh := told.fresh(piece)) is not None:
                                yield fresh
                    return
                except Gone as error:
                    self._away(member, error)
                    self._due.set()
                    if attempt == ATTEMPTS:
                        raise
                finally:
                    self._roster.give_back(member)

    def close(self) -> None:
        self._closed = True
        self._due.set()
        for member in self._roster.members:
            if member.process is not None:
                member.process.stop()
        self._thread.join()

    @contextmanager
    def _admitted(self) -> Iterator[_Request]:
        """A place among the requests. Raises Busy."""
        with self._roster.change:
            if len(self._requests) >= self._limit:
                raise Busy
            request = _Request()
            self._requests.add(request)
        try:
            yield request
        finally:
            self._requests.discard(request)

    async def _choose(self, generation: int) -> Member:
        """A server that holds the generation; a lost one may be back soon. Raises Unavailable."""
        member = self._roster.borrow(generation)
        if member is None:  # a client that gives up meanwhile leaves no count behind
            await asyncio.to_thread(self._await_one, generation)
            member = self._roster.borrow(generation)
        if member is None:
            raise self._roster.lost()
        return member

    def _await_one(self, generation: int) -> None:
        change = self._roster.change
        with change:
            change.wait_for(lambda: self._roster.has(generation), PATIENCE_SECONDS)

    def _name(self, member: Member, generation: int) -> str:
        """What the server calls the generation."""
        if self._roster.wanted().get(generation) is None:
            return member.base
        return self._adapter_name(generation)

    def _adapter_name(self, generation: int) -> str:
        number = "study" if generation == STUDY else f"g{generation}"
        return f"learnd-{self._model.owner}-{number}"

    def _obstacle(self, generation: int) -> LearndError | None:
        """Why waiting for the generation makes no sense."""
        if refused := self._roster.refusal(generation):
            return refused
        if self._closed or not self.alive:
            return self._roster.lost()
        if any(member.ready for member in self._roster.members):
            return None
        faults = (member.fault for member in self._roster.members)
        return next((fault for fault in faults if isinstance(fault, _HOPELESS)), None)

    def _tend_all(self) -> None:
        """The thread that looks after the servers; it alone loads and unloads."""
        while not self._closed:
            self._due.clear()
            for member in self._roster.members:
                self._tend(member)
            self._due.wait(self._beat)
        for member in self._roster.members:
            self._leave(member)

    def _tend(self, member: Member) -> None:
        try:
            if member.process is not None:
                member.process.ensure()
            serving = member.server.look()
            if not member.ready:
                member.server.require(serving, self._model.base, self._model.name)
                member.base = serving.base
            self._bring_up_to_date(member, serving)
        except LearndError as error:
            self._away(member, error)
            return
        if member.process is not None:
            member.process.well()
        if self._roster.back(member):
            logger().info("vLLM server is ready", server=member.server.name)

    def _bring_up_to_date(self, member: Member, serving: Serving) -> None:
        """Unload what is ours and not wanted any more, load what is missing."""
        wanted, there = self._roster.wanted(), self._ours(serving)
        paths = {self._adapter_name(each): str(path) for each, path in wanted.items() if path}
        for name in there.keys() - {name for name in there if paths.get(name) == there[name]}:
            member.server.unload(name)
            del there[name]
        # what is there but was never seen to answer, as after a broken warm-up, is loaded again
        known = {each for each in member.holds if self._adapter_name(each) in there}
        held = {each for each, path in wanted.items() if not path or each in known}
        self._roster.hold(member, frozenset(held))
        for generation, path in wanted.items():
            if path and generation not in held | member.refused.keys():
                self._load(member, generation, path)

    def _load(self, member: Member, generation: int, path: Path) -> None:
        try:
            member.server.load(self._adapter_name(generation), path)
            if len(self._roster.members) > 1 and generation not in {STUDY, *self._examined}:
                stream = partial(member.server.stream, self._adapter_name(generation))
                self._canary(generation, partial(ask, stream))
                self._examined.add(generation)
        except Refused as error:
            logger().warning("adapter refused", generation=generation, reason=str(error))
            self._roster.refuse(member, generation, error)
        else:
            self._roster.hold(member, member.holds | {generation})

    def _ours(self, serving: Serving) -> dict[str, str]:
        """Our adapters there: name -> directory."""
        ours = f"learnd-{self._model.owner}-"
        return {name: path for name, path in serving.adapters.items() if name.startswith(ours)}

    def _away(self, member: Member, error: LearndError) -> None:
        if self._roster.away(member, error):
            logger().warning("vLLM server is away", server=member.server.name, reason=str(error))

    def _leave(self, member: Member) -> None:
        """Take our adapters off a server that goes on without us."""
        if member.process is None and member.ready:
            with suppress(Gone):  # then it holds none
                for name in self._ours(member.server.look()):
                    member.server.unload(name)
        member.server.close()
