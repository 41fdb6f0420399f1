"""Rehearsal of what the base itself says: nobody can forget what he keeps saying.

On-policy, as in self-synthesised rehearsal (Huang et al., ACL 2024): the frozen base answers
general questions, and the student stays near its distribution there. Measured against gold answers
to the same kind of questions in CHANGELOG.md.

The base never changes, so what it says to the questions of general.json is kept in a file beside
its study adapter: tensors "<question>/answer" [n], "/likely" [n, 20] and "/chances" [n, 20].
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from agent.generate import generate
from agent.losses import Example, Teacher, batches, pack, teach
from agent.models import LanguageModel, question_tokens
from agent.prompts import Asked

KEPT: Final = "rehearsal.safetensors"
_PARTS: Final = ("answer", "likely", "chances")
_MOST = 32  # tokens of an answer; more would teach nothing new about the base
_TOKENS = 1024  # of one forward pass: the logits of all targets are alive at once


def rehearse(
    model: LanguageModel, network: PeftModel, prompts: Sequence[str], kept: Path | None
) -> list[Example]:
    """As recall(), but what the file holds is not asked again."""
    known = load_file(kept) if kept is not None else {}
    new = [prompt for prompt in prompts if f"{prompt}/answer" not in known]
    said = dict(zip(new, recall(model, network, new), strict=True))
    return [said.get(prompt) or _known(model, prompt, known) for prompt in prompts]


def keep(prompts: Sequence[str], said: Sequence[Example], file: Path) -> None:
    """Write what recall() said to the prompts, for rehearse()."""
    tensors: dict[str, Tensor] = {}
    for prompt, example in zip(prompts, said, strict=True):
        assert example.teacher is not None, "recall() gives each example a teacher"
        tensors[f"{prompt}/answer"] = torch.tensor(example.labels, dtype=torch.int32)
        tensors[f"{prompt}/likely"] = example.teacher.tokens.int().cpu()
        tensors[f"{prompt}/chances"] = example.teacher.chances.half().cpu()
    save_file(tensors, file)


def recall(model: LanguageModel, network: PeftModel, prompts: Sequence[str]) -> list[Example]:
    """The base's greedy answers to the prompts, with what else it held likely at each token."""
    if not prompts:
        return []
    questions = [tuple(question_tokens(model.tokenizer, prompt)) for prompt in prompts]
    with network.disable_adapter():
        said = generate(model, network, [Asked(question, _MOST) for question in questions])
        pairs = zip(questions, said, strict=True)
        return _taught(network, [_example(model, question, text) for question, text in pairs])


def _known(model: LanguageModel, prompt: str, known: Mapping[str, Tensor]) -> Example:
    question = question_tokens(model.tokenizer, prompt)
    answer, likely, chances = (known[f"{prompt}/{part}"] for part in _PARTS)
    teacher = Teacher(likely.long().to(model.device), chances.float().to(model.device))
    return Example((*question, *answer.tolist()), len(question), teacher)


def _example(model: LanguageModel, question: tuple[int, ...], text: str) -> Example:
    answer = model.tokenizer(text, add_special_tokens=False).input_ids[:_MOST]
    # an answer that was cut off does not end there
    end = [model.tokenizer.eos_token_id] if len(answer) < _MOST else []
    return Example((*question, *answer, *end), len(question))


def _taught(network: PeftModel, examples: Sequence[Example]) -> list[Example]:
    return [
        replace(example, teacher=teacher)
        for batch in batches(examples, _TOKENS)
        for example, teacher in zip(batch, teach(network, pack(batch, network.device)), strict=True)
    ]
