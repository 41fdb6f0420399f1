"""Which server holds which generation, and who is asked next: state alone, no HTTP."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from memory.errors import LearndError, Unavailable
from service.engines.managed import Managed
from service.engines.vllm import Server
from service.engines.wire import Refused


@dataclass(slots=True, eq=False)
class Member:
    """A server, the child that it runs in if it is ours, and what we know of it."""

    server: Server
    process: Managed | None = None
    base: str = ""  # its name for the model without an adapter
    holds: frozenset[int] = frozenset()  # generations that it can answer with
    ready: bool = False  # it is well, and got all that was wanted when it came
    busy: int = 0  # requests on it
    refused: dict[int, Refused] = field(default_factory=dict)
    fault: LearndError | None = None  # why it is not ready


class Roster:
    """The members and the generations that they should hold, behind one lock."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = tuple(members)
        self.change = threading.Condition()  # guards everything here; notified at every change
        self._wanted: dict[int, Path | None] = {}

    @property
    def quorum(self) -> int:
        """Half of all servers, rounded up."""
        return (len(self.members) + 1) // 2

    def wanted(self) -> dict[int, Path | None]:
        """Generation -> adapter; None: the base."""
        with self.change:
            return dict(self._wanted)

    def want(self, generation: int, path: Path | None) -> None:
        with self.change:
            self._wanted[generation] = path

    def drop(self, generation: int) -> None:
        with self.change:
            self._wanted.pop(generation, None)
            for member in self.members:
                member.refused.pop(generation, None)

    def is_held(self, generation: int) -> bool:
        """By every server that is ready, and by a quorum, once all have been looked at."""
        if not all(member.ready or member.fault for member in self.members):
            return False
        ready = [member for member in self.members if member.ready]
        return len(ready) >= self.quorum and all(generation in each.holds for each in ready)

    def refusal(self, generation: int) -> Refused | None:
        """Why a server did not take the generation."""
        refused = (member.refused.get(generation) for member in self.members)
        return next((error for error in refused if error), None)

    def hold(self, member: Member, generations: frozenset[int]) -> None:
        with self.change:
            member.holds = generations
            self.change.notify_all()

    def refuse(self, member: Member, generation: int, error: Refused) -> None:
        """The member does not take the generation; it is not offered again while both stay."""
        with self.change:
            member.refused[generation] = error
            self.change.notify_all()

    def back(self, member: Member) -> bool:
        """The member is ready. Whether it was not."""
        with self.change:
            was, member.ready, member.fault = member.ready, True, None
            self.change.notify_all()
            return not was

    def away(self, member: Member, error: LearndError) -> bool:
        """The member can answer nothing. Whether that is news."""
        with self.change:
            news = member.ready or str(member.fault) != str(error)
            member.ready, member.holds, member.fault = False, frozenset(), error
            member.refused.clear()
            self.change.notify_all()
            return news

    def has(self, generation: int) -> bool:
        """Whether a server can answer with the generation."""
        return any(one.ready and generation in one.holds for one in self.members)

    def borrow(self, generation: int) -> Member | None:
        """The least busy server that holds the generation, counted until give_back."""
        with self.change:
            if not self.has(generation):
                return None
            holders = [one for one in self.members if one.ready and generation in one.holds]
            chosen = min(holders, key=lambda member: member.busy)
            chosen.busy += 1
            return chosen

    def give_back(self, member: Member) -> None:
        with self.change:
            member.busy -= 1

    def lost(self) -> Unavailable:
        """Why too few servers answer."""
        with self.change:
            ready = sum(member.ready for member in self.members)
            faults = [str(member.fault) for member in self.members if member.fault]
        because = "; ".join(faults) or "none has answered yet"
        return Unavailable(f"{ready} of {len(self.members)} vLLM servers are ready: {because}")
