"""Question-answer pairs held against their texts by the practised base. Works in the child."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.executor import Report
from agent.settings import TrainSettings
from agent.study import opened
from memory.records import Progress
from policies import entst
from policies.base import Candidate
from policies.entst import Signals


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """Pairs, and who judges them."""

    base: Path
    study_adapter: Path | None
    embedder: str
    candidates: tuple[Candidate, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Verified:
    """Of each pair, in the order given."""

    signals: Sequence[Signals]
    support: Sequence[float]  # 0 to 1
    cleaned: Sequence[bool]  # the verdict after its neighbours were heard


def verify(request: VerifyRequest, report: Report) -> Verified:
    """What entst finds."""
    report(Progress("verify", 0, 1))
    tools = opened(request.base, request.study_adapter, request.embedder, TrainSettings(), report)
    signals = entst.signals(request.candidates, tools, request.seed)
    support = [entst.support(one) for one in signals]
    return Verified(signals, support, entst.verdicts(request.candidates, support, tools))
