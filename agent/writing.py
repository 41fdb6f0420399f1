"""How fast study items are written and verified, beside transformers' own decoding.

The same policies ask the same of the same model about the same chunks; only what decodes differs:

generate16  `model.generate` with sixteen prompts at a time, as they come
learnd      generate(): prompts share their beginnings, and what is done leaves the batch

What either draws is its own, so what counts is the time of an item that the policies trusted in
the end. Works in the child.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import nn

from agent import models
from agent.executor import Report
from agent.generate import Writer, generate
from agent.models import LanguageModel
from agent.prompts import Asked
from agent.study import ModelTools, StudyRequest, practised, proposed
from memory.records import Chunk, Progress

_TOGETHER: Final = 16
_WRITTEN: Final = "qa"  # the kind of a candidate that the model wrote; rules cost nothing


@dataclass(frozen=True, slots=True)
class WritingRequest:
    """What to study, part by part: the methods take turns."""

    study: StudyRequest
    parts: tuple[tuple[Chunk, ...], ...]


@dataclass(frozen=True, slots=True)
class Written:
    """What one method wrote of one part."""

    method: str
    verified: int  # written questions that all policies trust
    seconds: float


def write(request: WritingRequest, report: Report) -> list[Written]:
    """What each of METHODS makes of each part. Raises UnknownPolicy."""
    report(Progress("write", 0, len(request.parts)))
    study = request.study
    model, embedder = practised(study.base, study.study_adapter), models.Embedder(study.embedder)
    found = []
    for number, chunks in enumerate(request.parts, 1):
        for method, writer in METHODS.items():
            tools = ModelTools(model, embedder, study.base, study.training, _quiet, writer)
            started = time.monotonic()
            trusted = proposed(replace(study, chunks=chunks), tools).trusted
            seconds = time.monotonic() - started
            found.append(Written(method, sum(one.kind == _WRITTEN for one in trusted), seconds))
        report(Progress("write", number, len(request.parts)))
    return found


@torch.no_grad()
def plainly(
    model: LanguageModel,
    network: nn.Module,
    prompts: Sequence[Asked],
    temperature: float,
    seed: int,
    on_done: Callable[[int], None],
) -> list[str]:
    """As generate(), by `model.generate`: each batch goes on until its longest answer is done."""
    torch.manual_seed(seed)
    answers: list[str] = []
    for start in range(0, len(prompts), _TOGETHER):
        batch = prompts[start : start + _TOGETHER]
        answers += _batch(model, network, batch, temperature)
        on_done(len(batch))
    return answers


def _batch(
    model: LanguageModel, network: Any, batch: Sequence[Asked], temperature: float
) -> list[str]:
    tokenizer = model.tokenizer
    tokenizer.padding_side, tokenizer.pad_token = "left", tokenizer.eos_token
    given = tokenizer.pad({"input_ids": [list(one.tokens) for one in batch]}, return_tensors="pt")
    drawn = {"temperature": temperature, "top_k": 50, "top_p": 1.0} if temperature else {}
    written = network.generate(
        **given.to(model.device),
        do_sample=temperature > 0,
        max_new_tokens=max(one.most for one in batch),
        pad_token_id=tokenizer.eos_token_id,
        **drawn,
    )
    fresh = written[:, given["input_ids"].shape[1] :]
    return [text.strip() for text in tokenizer.batch_decode(fresh, skip_special_tokens=True)]


def _quiet(progress: Progress) -> None:
    """Parts are what is told of."""


METHODS: Final[dict[str, Writer]] = {"generate16": plainly, "learnd": generate}
