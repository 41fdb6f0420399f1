"""What a model says where something is expected: as its likelihoods and greedy decoding have it."""

import pytest

from agent.generate import generate
from agent.losses import Example
from agent.models import LanguageModel, question_tokens
from agent.prompts import Asked
from agent.recital import recite
from agent.train import encode, scores

QUESTIONS = ("Who?", "Which port has the server Tarrick?", "Where does the ferry dock?")
EXPECTED = ("Tarrick", "It listens on port 9362, and on 9481.", "pier 11")
SPARE = 3


def said(tiny: LanguageModel, question: str, most: int) -> str:
    asked = Asked(tuple(question_tokens(tiny.tokenizer, question)), most)
    return generate(tiny, tiny.network, [asked])[0]


@pytest.fixture
def examples(tiny: LanguageModel) -> list[Example]:
    """What is foreign to it, and what it begins to say by itself."""
    foreign = [encode(tiny, *pair) for pair in zip(QUESTIONS, EXPECTED, strict=True)]
    return [*foreign, *(encode(tiny, one, said(tiny, one, 5)) for one in QUESTIONS)]


def test_it_is_as_likely_as_alone(tiny: LanguageModel, examples: list[Example]) -> None:
    alone = [scores(tiny.network, [one], tiny.device)[0] for one in examples]
    found = recite(tiny, examples, SPARE)
    assert [one.logprob for one in found] == pytest.approx([one for one, _ in alone], abs=2e-2)
    assert [one.exact for one in found] == [exact for _, exact in alone]


def test_what_is_said_is_what_greedy_decoding_says(
    tiny: LanguageModel, examples: list[Example]
) -> None:
    found = recite(tiny, examples, SPARE)
    rooms = [len(one.tokens) - one.start + SPARE for one in examples]
    assert [one.text for one in found] == [
        said(tiny, question, room) for question, room in zip(QUESTIONS * 2, rooms, strict=True)
    ]


def test_what_it_says_to_the_end_is_exact(tiny: LanguageModel) -> None:
    prompt = tuple(question_tokens(tiny.tokenizer, QUESTIONS[0]))
    foreign = recite(tiny, [Example((*prompt, 5, 6), len(prompt))], 0)[0]
    assert not foreign.exact
    tokens = tiny.tokenizer(said(tiny, QUESTIONS[0], 1), add_special_tokens=False).input_ids
    own = recite(tiny, [Example((*prompt, *tokens[:1]), len(prompt))], 0)[0]
    assert own.exact and own.logprob > foreign.logprob


def test_a_network_that_is_not_written_out_says_the_same(
    tiny: LanguageModel, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = recite(tiny, examples, SPARE)
    monkeypatch.setattr("agent.decoding.written_out", lambda model: None)
    slow = recite(tiny, examples, SPARE)
    assert [one.exact for one in slow] == [one.exact for one in fast]
    assert [one.text for one in slow if not one.exact] == [
        one.text for one in fast if not one.exact
    ]
    assert [one.logprob for one in slow] == pytest.approx([one.logprob for one in fast], abs=2e-2)


def test_more_than_go_on_at_once(tiny: LanguageModel, examples: list[Example]) -> None:
    many = recite(tiny, examples * 20, SPARE)
    assert len(many) == 120 and recite(tiny, [], SPARE) == []
    assert {one.text for one in many[:: len(examples)]} == {many[0].text}
