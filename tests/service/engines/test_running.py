"""One request: what it takes of what was read."""

from typing import Any

import pytest
import torch

from agent import models
from agent.decoding import NetworkDecoder
from agent.drafts import Drafts
from agent.plain import PlainDecoder
from service.engines.base import GenerateRequest, Piece
from service.engines.running import Loaded, Running, drafts
from tests.helpers.tiny_model import save_tiny_model

A, B, C, D, E = 40, 41, 42, 43, 44  # tokens


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> models.LanguageModel:
    return models.load(save_tiny_model(tmp_path_factory.mktemp("tiny"), 1), torch.float32)


def running(model: models.LanguageModel, delivered: list[Any], **wanted: Any) -> Running:
    """A request that has said A, B and guesses C, D, E."""
    loaded = Loaded(model, PlainDecoder(model), Drafts([(A, B, C, D, E)]))
    one = Running(loaded, [7, 8], GenerateRequest("", **wanted), delivered.append)
    for token in (A, B):
        read(one)
        assert one.guessed == () and one.take(torch.empty(0), [token])
    return one


def read(one: Running) -> int:
    """Read its next part; returns how much it then has read."""
    line, part = one.part(9, 8)
    one.loaded.decoder.read([(line, part)])
    return line.seen


def test_what_is_guessed_counts_as_far_as_the_model_says_it(model: models.LanguageModel) -> None:
    one = running(model, [], max_tokens=20)
    seen = read(one)
    assert one.guessed == (C, D, E)
    assert one.take(torch.empty(0), [C, D, 50, 51])  # it would have gone on with 50
    assert one.line is not None and one.line.seen == seen - 1 and one.pending == [50]


def test_all_that_was_guessed_and_one_more(model: models.LanguageModel) -> None:
    one = running(model, [], max_tokens=20)
    seen = read(one)
    assert one.take(torch.empty(0), [C, D, E, 60])
    assert one.line is not None and one.line.seen == seen and one.pending == [60]


def test_it_guesses_no_further_than_it_may_answer(model: models.LanguageModel) -> None:
    delivered: list[Piece] = []
    one = running(model, delivered, max_tokens=4)
    read(one)
    assert one.guessed == (C,)
    assert not one.take(torch.empty(0), [C, D])
    one.end()
    assert delivered[-1].finish_reason == "length" and sum(each.tokens for each in delivered) == 4


def test_an_answer_that_ends_gives_back_what_it_guessed(model: models.LanguageModel) -> None:
    one = running(model, [], max_tokens=20)
    seen = read(one)
    end = next(iter(models.end_tokens(model)))
    assert not one.take(torch.empty(0), [C, end, E, 60])
    assert one.line is not None and one.line.seen == seen - 2


def test_only_what_can_be_taken_back_is_guessed(model: models.LanguageModel) -> None:
    assert drafts(NetworkDecoder(model), model, ["one two three four"]).after([1, 2], 4) == ()
    tokens = model.tokenizer("one two three four", add_special_tokens=False).input_ids
    known = drafts(PlainDecoder(model), model, ["one two three four"])
    assert known.after(tokens[:2], 99) == (*tokens[2:], model.tokenizer.eos_token_id)


def test_what_was_said_before_is_guessed_where_passes_are_small(
    model: models.LanguageModel,
) -> None:
    delivered, loaded = list[Any](), Loaded(model, PlainDecoder(model))
    one = Running(loaded, [A, B, C, D, E], GenerateRequest("", max_tokens=30), delivered.append)
    for token in (A, B):
        read(one)
        assert one.guessed == () and one.take(torch.empty(0), [token])
    assert one.part(9, 7)[1] == [B]  # others wait beside it
    one.pending = [B]
    seen = read(one)
    assert one.guessed == (C, D, E, A)
    assert one.take(torch.empty(0), [C, D, 50, 51, 52])
    assert one.line is not None and one.line.seen == seen - 2 and one.pending == [50]
