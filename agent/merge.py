"""Frozen base + adapter -> merged weights, always from the pristine base, in float32; adapter -> a
smaller one; several adapters -> one."""

from dataclasses import dataclass
from pathlib import Path

import torch

from agent import models
from agent.executor import Report
from agent.pristine import borrow
from memory.records import Progress


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """What to merge, and the empty directory to write to."""

    base: Path
    adapter: Path
    output: Path


def merge(request: MergeRequest, report: Report) -> None:
    """Write the merged model in the data type that this machine computes in.

    Raises TrainingDiverged if a merged weight is not finite.
    """
    report(Progress("merge", 0, 1))
    model = borrow(request.base, dtype=torch.float32)
    merged = models.merged(model, request.adapter)
    merged.network.to(models.preferred_dtype())  # type: ignore[arg-type]
    models.save(merged, request.output)
    report(Progress("merge", 1, 1))


@dataclass(frozen=True, slots=True)
class ShrinkRequest:
    """How much of what an adapter changed in its parent is kept, and where that is written."""

    adapter: Path
    parent: Path | None  # None: the base, which changes nothing
    share: float
    output: Path  # an empty directory


def shrink(request: ShrinkRequest, report: Report) -> None:
    """Write parent + share * (adapter - parent)."""
    models.shrink_adapter(request.adapter, request.parent, request.share, request.output)
    report(Progress("shrink", 1, 1))


@dataclass(frozen=True, slots=True)
class CombineRequest:
    """Adapters of the same base and shape, each trained alone, and how to make one of them."""

    base: Path
    adapters: tuple[Path, ...]
    method: str  # a combination_type of peft's add_weighted_adapter: linear, ties, svd ...
    output: Path  # an empty directory


def combine(request: CombineRequest, report: Report) -> None:
    """Write one adapter that adds what all of them change, as far as the method can."""
    report(Progress("combine", 0, 1))
    model = models.load(request.base, dtype=torch.float32)
    models.combine_adapters(model, request.adapters, request.method, request.output)
    report(Progress("combine", 1, 1))
