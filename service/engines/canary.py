"""The first of several servers that holds a new generation is examined before the others get it.

It is asked what the examination of the batch found right; the same weights should say the same.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from memory.records import Adapter, Generation, Phase, Probe, ProbeResult
from service.engines.base import GenerateRequest, Message, Piece
from service.engines.wire import Gone, Refused

PROBES: Final = 16  # at most
LEAST: Final = 0.8  # of them that must be right again: other kernels may turn a near tie

TOKENS: Final = 64  # of an answer
SECONDS: Final = 300.0  # for all of them: a server that went without a word never answers

Ask = Callable[[Sequence[str]], Sequence[str]]  # questions -> answers


class Unfit(Refused):
    """A server answers with a generation otherwise than its examination found."""


class Examined(Protocol):
    """What of the store the canary reads."""

    def generation(self, number: int) -> Generation: ...

    def adapter(self, digest: str) -> Adapter: ...

    def probes(self, batch_id: int | None = None) -> Sequence[Probe]: ...

    def results(self, batch_id: int, phase: Phase) -> Sequence[ProbeResult]: ...


@dataclass(frozen=True, slots=True)
class Canary:
    """Asks the probes of the batch that made a generation's weights; none after a rollback."""

    store: Examined
    passes: Callable[[Probe, str], bool]  # as in the examination

    def __call__(self, generation: int, ask: Ask) -> None:
        """Raises Unfit if too little of what was learned is known there."""
        made = self.store.generation(generation)
        probes = self._known(made.adapter) if made.batch_id and made.adapter else []
        answers = ask([probe.question for probe in probes]) if probes else []
        pairs = zip(answers, probes, strict=True)
        right = sum(self.passes(probe, answer) for answer, probe in pairs)
        if right < LEAST * len(probes):
            raise Unfit(
                f"the first server that holds g{generation} answers {right} of {len(probes)} "
                "questions that were answered right in the examination; no other server gets it"
            )

    def _known(self, adapter: str) -> list[Probe]:
        batch = self.store.adapter(adapter).batch_id
        results = self.store.results(batch, Phase.AFTER)
        right = {result.probe_id for result in results if result.correct}
        return [probe for probe in self.store.probes(batch) if probe.id in right][:PROBES]


def trusting(generation: int, ask: Ask) -> None:
    """Examines nothing."""


def ask(
    stream: Callable[[GenerateRequest], AsyncGenerator[Piece, None]], questions: Sequence[str]
) -> list[str]:
    """What is streamed to each question, closed book. Raises Gone."""

    async def answer(question: str) -> str:
        chat = GenerateRequest((Message("user", question),), TOKENS)
        return "".join([piece.text async for piece in stream(chat)])

    async def answers() -> list[str]:
        async with asyncio.timeout(SECONDS):
            return await asyncio.gather(*map(answer, questions))

    try:
        return asyncio.run(answers())
    except TimeoutError:
        raise Gone(f"probes were not answered within {SECONDS:.0f} s") from None
