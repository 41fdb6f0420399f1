"""Rehearsal of what the base itself says: nobody can forget what he keeps saying.

On-policy, as in self-synthesised rehearsal (Huang et al., ACL 2024): the frozen base answers
general questions, and the student stays near its distribution there. Measured against gold answers
to the same kind of questions in CHANGELOG.md.
"""

from collections.abc import Sequence
from dataclasses import replace

from peft import PeftModel

from agent.generate import Asked, generate
from agent.losses import Example, batches, pack, teach
from agent.models import LanguageModel, question_tokens

_MOST = 32  # tokens of an answer; more would teach nothing new about the base
_TOKENS = 1024  # of one forward pass: the logits of all targets are alive at once


def recall(model: LanguageModel, network: PeftModel, prompts: Sequence[str]) -> list[Example]:
    """The base's greedy answers to the prompts, with what else it held likely at each token."""
    if not prompts:
        return []
    questions = [tuple(question_tokens(model.tokenizer, prompt)) for prompt in prompts]
    with network.disable_adapter():
        said = generate(model, network, [Asked(question, _MOST) for question in questions])
        pairs = zip(questions, said, strict=True)
        return _taught(network, [_example(model, question, text) for question, text in pairs])


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
