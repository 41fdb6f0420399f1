"""The training child's work: study items + rehearsal + parent adapter -> new adapter.

LoRA (Hu et al. 2021) on all linear layers, MLP included: attention-only adapters learn the task but
not the facts. The adapter is cumulative: training goes on from the parent's weights. It never ends
early: while the learning rate is high, what was known is shaken most (CHANGELOG.md).
"""

import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel
from torch import nn

from agent import models
from agent.activations import Activations
from agent.checkpoint import Checkpoint
from agent.course import course
from agent.executor import Report
from agent.gradients import Gradients, gradients
from agent.lanes import LANES, lanes
from agent.losses import Example, batches, pack, target_scores
from agent.models import LanguageModel, question_tokens
from agent.nullspace import aim, freeze
from agent.optimiser import Optimiser
from agent.pristine import borrow
from agent.products import packed
from agent.rehearsal import rehearse
from agent.settings import TrainSettings
from agent.shortlist import Shortlist
from agent.trunk import Trunk
from memory.records import WHOLE, Progress, StudyItem

_SCORED_TOKENS = 512  # of one forward pass without gradients: attention is quadratic


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """Everything that one training needs; it touches no other file."""

    base: Path
    parent: Path | None  # adapter to go on from
    output: Path  # an empty directory for the new adapter
    items: tuple[StudyItem, ...]  # the new, in every epoch as far as the budget goes
    settings: TrainSettings
    seed: int
    rehearsed: tuple[StudyItem, ...] = ()  # of earlier batches, each in one epoch
    general: tuple[str, ...] = ()  # questions that the base answers, to stay what it was
    kept: Path | None = None  # a file with its answers, see rehearsal.py
    checkpoint: Path | None = None  # a file to go on from if this is cut off, see checkpoint.py
    activations: Path | None = None  # a directory for what the trunk said, see activations.py
    saved_as: torch.dtype = torch.float32


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training did."""

    figures: Mapping[str, float]  # epochs, steps, tokens, seconds, loss


def train(request: TrainRequest, report: Report) -> Trained:
    """Train and write an adapter. Raises TrainingDiverged; then nothing is written."""
    report(Progress("train", 0, 1))  # loading and remembering take their time
    torch.manual_seed(request.seed)
    model = load_to_train(request.base)
    network = adapted(model, request.parent, request.settings)
    checkpoint = Checkpoint(request.checkpoint, _fingerprint(request))
    with packed(network):
        figures = _learn(request, model, network, checkpoint, report)
    models.save_adapter(network, request.base.name, request.output, request.saved_as)
    checkpoint.drop()
    return Trained(figures)


def _learn(
    request: TrainRequest,
    model: LanguageModel,
    network: PeftModel,
    checkpoint: Checkpoint,
    report: Report,
) -> dict[str, float]:
    """Encode, remember what the trunk says, train what stands on it."""
    settings = request.settings if request.parent is None else _onward(request.settings)
    new = [encoded(model, item) for item in request.items]
    general = rehearse(model, network, request.general, request.kept)
    old = [encode(model, item.prompt, item.answer) for item in request.rehearsed]
    trunk = Trunk(network)
    kept = Activations(request.activations, _identity(request.base, trunk, model))
    parts = [trunk.remember(part, kept) for part in (new, old, general)]
    shortlist = Shortlist(network, [one for part in parts for one in part])
    new, old, general = (shortlist.renumber(part) for part in parts)
    plan = course(new, old, general, settings)
    with trunk.cut_off(), shortlist.head():
        if request.parent is None and general:
            aim(network, new, general)
        return _fit(network, plan, settings, request.seed, checkpoint, report)


def load_to_train(base: Path) -> LanguageModel:
    """The model as training wants it."""
    model = borrow(base)
    if model.device.type == "cpu":
        model.network.set_attn_implementation("eager")  # short rows: a tenth faster in bfloat16
    return model


def _identity(base: Path, trunk: Trunk, model: LanguageModel) -> str:
    """Of all that decides what the trunk says of an example."""
    files = {file.name: file.stat().st_mtime_ns for file in sorted(base.glob("*.safetensors"))}
    return f"{base} {files} {trunk.depth} {model.network.dtype} {model.device.type}"


def _fingerprint(request: TrainRequest) -> str:
    """Of all that decides what is trained."""
    nowhere = replace(request, output=Path(), checkpoint=None)
    return sha256(repr(nowhere).encode()).hexdigest()


def adapted(model: LanguageModel, parent: Path | None, settings: TrainSettings) -> PeftModel:
    """The model with a trainable adapter: the parent's, which goes on listening to the same, or a
    fresh one that changes nothing yet."""
    if parent is not None:
        network = models.attach(model, parent, trainable=True)
        freeze(network)
        return network
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=linear_modules(model),
        layers_to_transform=_upper_layers(model, settings.frozen_share),
        task_type="CAUSAL_LM",
    )
    return models.adapt(model, config)


def _onward(settings: TrainSettings) -> TrainSettings:
    """The recipe to go on from a parent: at full strength one new file wipes out the old ones."""
    return replace(
        settings,
        learning_rate=settings.learning_rate * settings.onward_rate,
        epochs=settings.onward_epochs,
    )


def linear_modules(model: LanguageModel) -> list[str]:
    """Names of the decoder's linear modules, without the head: peft's "all-linear", spelled out,
    because it takes a choice of layers only with names."""
    decoder: nn.Module = model.network.get_decoder()  # type: ignore[no-untyped-call]
    modules = decoder.named_modules()
    names = {name.rpartition(".")[2] for name, one in modules if isinstance(one, nn.Linear)}
    return sorted(names)


def _upper_layers(model: LanguageModel, frozen_share: float) -> list[int] | None:
    """Indices of the layers that get an adapter; None: all."""
    count = int(model.network.config.get_text_config().num_hidden_layers)
    lowest = math.floor(count * frozen_share)
    return list(range(lowest, count)) if lowest else None


def encode(model: LanguageModel, prompt: str, answer: str) -> Example:
    """Tokens as the chat endpoint will see them; without a prompt, plain text."""
    tokenizer = model.tokenizer
    before = question_tokens(tokenizer, prompt) if prompt else [tokenizer.eos_token_id]
    after = tokenizer(answer, add_special_tokens=False).input_ids
    tokens = (*before, *after, tokenizer.eos_token_id)[: model.context]
    return Example(tokens, min(len(before), len(tokens) - 1))


def encoded(model: LanguageModel, item: StudyItem) -> Example:
    """A study item, with the loss on its answer, or on all of it."""
    example = encode(model, item.prompt, item.answer)
    return replace(example, start=1) if item.kind == WHOLE else example


def scores(
    network: nn.Module, examples: Sequence[Example], device: torch.device
) -> list[tuple[float, bool]]:
    """Mean log-probability and exactness of each example's answer, in the order given."""
    network.eval()
    result: list[tuple[float, bool]] = []
    with packed(network):
        for batch in batches(examples, _SCORED_TOKENS):
            result += target_scores(network, pack(batch, device))
    return result


def _fit(
    network: PeftModel,
    course: Sequence[Sequence[Example]],
    settings: TrainSettings,
    seed: int,
    checkpoint: Checkpoint,
    report: Report,
) -> dict[str, float]:
    """The whole course, from where it was cut off."""
    started, loss = time.monotonic(), 0.0
    optimiser = Optimiser(network, settings, course)
    step = gradients(network, optimiser.weights, settings, course[0][:1])
    done = optimiser.go_on(checkpoint.last())
    for number in range(done, len(course)):
        chance = random.Random(f"{seed} {number}")
        loss = epoch(step, optimiser, course[number], settings, chance, report)
        checkpoint.keep(optimiser.point(number + 1))
    return {
        "epochs": len(course),
        "steps": optimiser.steps,
        "tokens": sum(len(example) for examples in course for example in examples),
        "seconds": time.monotonic() - started,
        "loss": loss,
    }


def epoch(
    step: Gradients,
    optimiser: Optimiser,
    examples: Sequence[Example],
    settings: TrainSettings,
    chance: random.Random,
    report: Report,
) -> float:
    """One pass over the examples in a new order; returns the mean loss of its steps.

    Both gradients of a pair are taken at the same weights; each then makes an update of its own.
    """
    device = optimiser.weights[0].device
    losses = []
    with lanes(device) as pool:
        for pair in _pairs(examples, settings.batch_tokens, chance):
            for loss, found in list(pool.map(lambda batch: step(pack(batch, device)), pair)):
                optimiser.step(loss, found)
                losses.append(loss)
            total = max(optimiser.planned, optimiser.steps)  # each order is cut into batches anew
            report(Progress("train", optimiser.steps, total, f"loss {losses[-1]:.2f}"))
    return sum(losses) / len(losses)


def _pairs(
    examples: Sequence[Example], tokens: int, chance: random.Random
) -> list[list[list[Example]]]:
    """The examples in a new order, in pairs of batches of like length: no lane waits for long."""
    cut = batches(chance.sample(examples, len(examples)), tokens)
    cut.sort(key=lambda batch: sum(map(len, batch)))
    pairs = [cut[i : i + LANES] for i in range(0, len(cut), LANES)]
    return chance.sample(pairs, len(pairs))
