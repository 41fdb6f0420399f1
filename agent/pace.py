"""How fast training is, beside the usual way and beside what the machine could do at all.

hf_trainer         Hugging Face's Trainer over peft's LoRA on every layer, padded, prompts masked:
                   the loop inside SEAL's server (Zweiger et al. 2025)
learnd_all_layers  our step with an adapter on every layer: nothing is remembered
learnd             our step as it is configured, with what remembering the trunk costs
limit              the matrix products of LoRA training alone, at the speed that they reach here

All see the same examples equally often, in steps of about as many tokens. Passes alternate, since a
machine with other work on it drifts. Works in the child.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch
from peft import LoraConfig
from torch import nn
from transformers import (
    DataCollatorForSeq2Seq,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from agent import models
from agent.executor import Report
from agent.gradients import gradients
from agent.losses import Example
from agent.models import LanguageModel
from agent.nullspace import aim
from agent.optimiser import Optimiser
from agent.products import Product, packed, packs
from agent.settings import TrainSettings
from agent.shortlist import Shortlist
from agent.train import adapted, encode, epoch, linear_modules, load_to_train
from agent.trunk import Trunk
from memory.records import Progress, StudyItem

METHODS: Final = ("hf_trainer", "learnd_all_layers", "learnd", "limit")
_IGNORED: Final = -100  # the label of a token without loss, as transformers has it
_ROWS: Final = 512  # of the products that are timed: enough for their best speed
_ROUNDS: Final = 5

Pass = Callable[[], float]  # goes over all examples once; returns seconds


@dataclass(frozen=True, slots=True)
class PaceRequest:
    """What to train on, by each of METHODS."""

    base: Path
    items: tuple[StudyItem, ...]
    passes: int
    settings: TrainSettings
    seed: int


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast one method is."""

    method: str
    tokens_per_s: float  # of examples, in all passes
    once: float  # seconds before the first pass, as far as they grow with the examples
    seconds: tuple[float, ...]  # of each pass


def pace(request: PaceRequest, report: Report) -> list[Pace]:
    """A figure for each of METHODS, in their order."""
    report(Progress("pace", 0, request.passes))
    torch.manual_seed(request.seed)
    with ExitStack() as stack:
        model = models.load(request.base)
        examples = [encode(model, item.prompt, item.answer) for item in request.items]
        every = replace(request.settings, frozen_share=0.0)
        rivals = [
            stack.enter_context(_trainer(model, examples, request)),
            stack.enter_context(_ours(examples, every, request)),
            stack.enter_context(_ours(examples, request.settings, request)),
            (0.0, _products(load_to_train(request.base), examples, request.settings.rank)),
        ]
        seconds: list[list[float]] = [[] for _ in rivals]
        for number in range(request.passes):
            for (_, go), spent in zip(rivals, seconds, strict=True):
                spent.append(go())
            report(Progress("pace", number + 1, request.passes))
    tokens = request.passes * sum(map(len, examples))
    return [
        Pace(method, tokens / (once + request.passes * median(spent)), once, tuple(spent))
        for method, (once, _), spent in zip(METHODS, rivals, seconds, strict=True)
    ]


@contextmanager
def _ours(
    examples: Sequence[Example], settings: TrainSettings, request: PaceRequest
) -> Iterator[tuple[float, Pass]]:
    """As train() does it: A is aimed, here at what is known as well, and B trained."""
    network = adapted(load_to_train(request.base), None, settings)
    aim(network, examples, examples)
    trunk = Trunk(network)
    with packed(network):
        started = time.monotonic()
        remembered = trunk.remember(examples)
        shortlist = Shortlist(network, remembered)
        remembered = shortlist.renumber(remembered)
        once = time.monotonic() - started
        with trunk.cut_off(), shortlist.head():
            optimiser = Optimiser(network, settings, [remembered] * request.passes)
            chance = random.Random(request.seed)
            step = gradients(network, optimiser.weights, settings, remembered[:1])
            yield (
                once,
                _timed(lambda: epoch(step, optimiser, remembered, settings, chance, _quiet)),
            )


def _timed(work: Callable[[], object]) -> Pass:
    def once() -> float:
        started = time.monotonic()
        work()
        return time.monotonic() - started

    return once


@contextmanager
def _trainer(
    model: LanguageModel, examples: Sequence[Example], request: PaceRequest
) -> Iterator[tuple[float, Pass]]:
    settings = request.settings
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=linear_modules(model),
        task_type="CAUSAL_LM",
    )
    clock = _Clock()
    with TemporaryDirectory(prefix="learnd-pace-") as name:
        trainer = Trainer(
            model=models.adapt(model, config),
            args=TrainingArguments(
                output_dir=name,
                per_device_train_batch_size=_together(examples, settings.batch_tokens),
                num_train_epochs=1,
                learning_rate=settings.learning_rate,
                max_grad_norm=settings.clip,
                seed=request.seed,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                dataloader_pin_memory=False,
            ),
            train_dataset=_Rows(examples),
            data_collator=DataCollatorForSeq2Seq(model.tokenizer, padding=True),
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)

        def go() -> float:
            trainer.train()
            return clock.seconds

        yield 0.0, go


def _together(examples: Sequence[Example], tokens: int) -> int:
    """Examples of a step of about so many tokens."""
    return max(1, round(tokens * len(examples) / sum(map(len, examples))))


class _Rows(torch.utils.data.Dataset[dict[str, list[int]]]):
    """Examples as the Trainer takes them."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, place: int) -> dict[str, list[int]]:
        one = self._examples[place]
        labels = [_IGNORED] * one.start + list(one.tokens[one.start :])
        return {"input_ids": list(one.tokens), "attention_mask": [1] * len(one), "labels": labels}


class _Clock(TrainerCallback):
    """Times the steps, without what the Trainer does before and after them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def on_train_begin(self, *given: Any, **more: Any) -> None:
        self._started = time.monotonic()

    def on_train_end(self, *given: Any, **more: Any) -> None:
        self.seconds = time.monotonic() - self._started


def _products(model: LanguageModel, examples: Sequence[Example], rank: int) -> Pass:
    """Times the products of a pass: each weight times what comes in, and times the gradient of
    what goes out. Weights are not trained, so that these are all but those of the adapter, which
    are counted at the same speed; the head's only where there is a target."""
    decoder: nn.Module = model.network.get_decoder()  # type: ignore[no-untyped-call]
    weights = [one.weight for one in decoder.modules() if isinstance(one, nn.Linear)]
    head: nn.Module = model.network.get_output_embeddings()  # type: ignore[no-untyped-call]
    tokens = sum(map(len, examples))
    targets = sum(len(one.labels) for one in examples)
    adapter = 6.0 * rank * sum(sum(weight.shape) for weight in weights)
    work = 4.0 * sum(weight.numel() for weight in weights)
    whole = (work + adapter) * tokens + 4.0 * head.get_parameter("weight").numel() * targets
    pack = packs(model.network)
    return lambda: whole / _speed(weights, pack)


@torch.no_grad()
def _speed(weights: Sequence[torch.Tensor], pack: bool) -> float:
    """Floating-point operations in a second, over all cores, the best of some rounds."""
    shapes = {tuple(weight.shape): weight for weight in weights}
    counts = [sum(weight.shape == shape for weight in weights) for shape in shapes]
    seconds = 0.0
    for count, weight in zip(counts, shapes.values(), strict=True):
        inward = torch.randn(_ROWS, weight.shape[1], dtype=weight.dtype, device=weight.device)
        outward = torch.randn(_ROWS, weight.shape[0], dtype=weight.dtype, device=weight.device)
        product = Product([(weight, None)], pack)
        seconds += count * (_fastest(product, inward) + _fastest(product.back, outward))
    return 4.0 * _ROWS * sum(weight.numel() for weight in weights) / seconds


def _fastest(product: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor) -> float:
    seconds = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        result = product(rows)
        float(result[0, 0])  # waits for a GPU
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _quiet(progress: Progress) -> None:
    """Passes are what is told of, not the steps within them."""
