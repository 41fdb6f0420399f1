"""Tests of service.engines.embedded, with a random model of two layers."""

import asyncio
import gc
import itertools
import threading
import weakref
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from agent import models
from agent.plain import PlainDecoder
from memory.errors import Busy, PromptTooLong, UnknownModel
from service.engines import embedded
from service.engines.base import GenerateRequest, Message, Piece
from service.engines.embedded import EmbeddedEngine, EngineStopped
from service.engines.running import Running
from tests.helpers.tiny_model import save_tiny_model

CHAT = (Message("user", "What is the port of the invoice service?"),)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("models")
    return save_tiny_model(directory / "a", 1), save_tiny_model(directory / "b", 2)


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 another order of sums turns a near tie, of which a random model has many."""
    monkeypatch.setattr(models, "preferred_dtype", lambda: torch.float32)


@pytest.fixture
def engine(paths: tuple[Path, Path]) -> Iterator[EmbeddedEngine]:
    engine = EmbeddedEngine(paths[0], parallel=2, queue=2)
    engine.load(0, None)
    engine.load(1, paths[1])
    yield engine
    engine.close()


async def read(engine: EmbeddedEngine, generation: int, request: GenerateRequest) -> list[Piece]:
    return [piece async for piece in engine.stream(generation, request)]


def answer(engine: EmbeddedEngine, generation: int, request: GenerateRequest) -> str:
    return "".join(piece.text for piece in asyncio.run(read(engine, generation, request)))


def generated(path: Path, request: GenerateRequest) -> str:
    """The reference: transformers' own generate."""
    model = models.load(path)
    assert not isinstance(request.prompt, str)
    chat = [{"role": turn.role, "content": turn.content} for turn in request.prompt]
    prompt = torch.tensor([models.chat_tokens(model.tokenizer, chat)], device=model.device)
    output = model.network.generate(  # type: ignore[operator]
        prompt, max_new_tokens=request.max_tokens, do_sample=False
    )
    new = output[0, prompt.shape[1] :]
    return str(model.tokenizer.decode(new, skip_special_tokens=True))


def test_greedy_answers_are_those_of_generate(
    engine: EmbeddedEngine, paths: tuple[Path, Path]
) -> None:
    request = GenerateRequest(CHAT, max_tokens=40)
    for generation, path in enumerate(paths):
        assert answer(engine, generation, request) == generated(path, request)


def test_a_long_prompt_in_parts_gives_the_same(
    engine: EmbeddedEngine, paths: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "PREFILL_TOKENS", 7)
    request = GenerateRequest(CHAT, max_tokens=20)
    assert answer(engine, 0, request) == generated(paths[0], request)


def test_parallel_requests_do_not_touch_each_other(engine: EmbeddedEngine) -> None:
    requests = [
        (number % 2, GenerateRequest(f"{number} dogs and", max_tokens=10 + number))
        for number in range(4)
    ]
    alone = [answer(engine, *each) for each in requests]

    async def together() -> list[list[Piece]]:
        return await asyncio.gather(*(read(engine, *each) for each in requests))

    assert ["".join(p.text for p in pieces) for pieces in asyncio.run(together())] == alone


@pytest.mark.parametrize("plain", [True, False])
def test_a_crowd_of_all_lengths_gets_what_each_gets_alone(
    paths: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    monkeypatch.setattr("agent.decoding.is_plain", lambda model: plain)
    engine = EmbeddedEngine(paths[0], parallel=5, queue=8)
    engine.load(0, None)
    requests = [
        GenerateRequest(f"{number} dogs and " * (1 + 7 * (number % 4)), max_tokens=4 + 5 * number)
        for number in range(12)
    ]

    async def together() -> list[list[Piece]]:
        return await asyncio.gather(*(read(engine, 0, each) for each in requests))

    crowd = ["".join(piece.text for piece in pieces) for pieces in asyncio.run(together())]
    assert crowd == [answer(engine, 0, each) for each in requests]
    engine.close()


def test_a_chat_that_goes_on_gets_what_a_fresh_one_gets(
    engine: EmbeddedEngine, paths: tuple[Path, Path]
) -> None:
    said = answer(engine, 0, GenerateRequest(CHAT, max_tokens=20))
    chat = (*CHAT, Message("assistant", said), Message("user", "And who signs?"))
    request = GenerateRequest(chat, max_tokens=20)
    assert answer(engine, 0, request) == generated(paths[0], request)


def test_counts_are_true(engine: EmbeddedEngine, paths: tuple[Path, Path]) -> None:
    pieces = asyncio.run(read(engine, 0, GenerateRequest("The quick", max_tokens=9)))
    tokenizer = models.load(paths[0]).tokenizer
    assert {piece.prompt_tokens for piece in pieces} == {len(tokenizer("The quick").input_ids)}
    assert sum(piece.tokens for piece in pieces) == 9
    assert [piece.finish_reason for piece in pieces][-1] == "length"
    assert not any(piece.finish_reason for piece in pieces[:-1])


def test_sampling_is_repeatable_with_a_seed(engine: EmbeddedEngine) -> None:
    def sample(seed: int, top_p: float = 0.9) -> str:
        return answer(engine, 0, GenerateRequest("The", 30, 1.0, top_p, seed))

    assert sample(0) == sample(0) != sample(1)
    greedy = answer(engine, 0, GenerateRequest("The", 30))
    assert sample(5, top_p=1e-9) == greedy  # only the likeliest token is left


def test_stop_string_ends_the_answer(engine: EmbeddedEngine) -> None:
    whole = answer(engine, 0, GenerateRequest(CHAT, max_tokens=40))
    stop = whole[10:13]
    pieces = asyncio.run(read(engine, 0, GenerateRequest(CHAT, 40, stop=(stop,))))
    assert "".join(piece.text for piece in pieces) == whole[: whole.find(stop)]
    assert pieces[-1].finish_reason == "stop"


def test_the_answer_ends_with_the_context(engine: EmbeddedEngine) -> None:
    pieces = asyncio.run(read(engine, 0, GenerateRequest("dog " * 200, max_tokens=10_000)))
    last = pieces[-1]
    assert last.prompt_tokens + sum(piece.tokens for piece in pieces) <= 512


def test_a_prompt_beyond_the_context_is_refused(engine: EmbeddedEngine) -> None:
    with pytest.raises(PromptTooLong, match="the model's context has 512"):
        answer(engine, 0, GenerateRequest("dog " * 600))


def test_an_unknown_generation_is_refused(engine: EmbeddedEngine) -> None:
    with pytest.raises(UnknownModel):
        answer(engine, 7, GenerateRequest("The"))


def test_the_queue_is_bounded_and_a_cancelled_request_leaves_it(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, held, take = threading.Event(), threading.Event(), Running.take

    def holding(*arguments: Any) -> bool:
        entered.set()
        assert held.wait(30)
        return take(*arguments)

    async def scene() -> None:
        request = GenerateRequest("The", max_tokens=3)
        first = asyncio.ensure_future(read(engine, 0, request))
        assert await asyncio.to_thread(entered.wait, 30)  # it is the only active one
        others = [asyncio.ensure_future(read(engine, 0, request)) for _ in range(3)]
        while engine.waiting < 3:
            await asyncio.sleep(0)
        with pytest.raises(Busy):
            await read(engine, 0, request)
        others[0].cancel()
        await asyncio.wait(others[:1])
        assert engine.waiting == 2
        held.set()
        answers = await asyncio.gather(first, *others[1:])
        assert [answer[-1].finish_reason for answer in answers] == ["length"] * 3

    monkeypatch.setattr(Running, "take", holding)
    asyncio.run(scene())


def test_an_answer_has_left_its_place_when_its_last_piece_comes(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, end = list[bool](), Running.end

    def seen(one: Running) -> None:
        left.append(one not in engine._active)
        end(one)

    monkeypatch.setattr(Running, "end", seen)
    asyncio.run(read(engine, 0, GenerateRequest("The", max_tokens=3)))
    assert left == [True]


def test_a_swap_leaves_running_answers_alone_and_frees_the_old_model(
    engine: EmbeddedEngine,
) -> None:
    expected = answer(engine, 1, GenerateRequest("The", max_tokens=50))
    old = weakref.ref(engine._models[1].model.network)

    async def scene() -> str:
        stream = engine.stream(1, GenerateRequest("The", max_tokens=50))
        first = await anext(stream)
        engine.unload(1)
        return first.text + "".join([piece.text async for piece in stream])

    assert asyncio.run(scene()) == expected
    answer(engine, 0, GenerateRequest("The", max_tokens=2))  # the thread went on to other work
    gc.collect()
    assert old() is None


def test_an_error_in_the_thread_ends_every_request_and_shows(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(Running, "take", broken)
    monkeypatch.setattr("threading.excepthook", lambda details: None)
    with pytest.raises(ZeroDivisionError):
        answer(engine, 0, GenerateRequest("The"))
    engine._thread.join()
    assert not engine.alive
    with pytest.raises(EngineStopped):
        answer(engine, 0, GenerateRequest("The"))


def test_closing_ends_running_requests(
    paths: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, shown, take = EmbeddedEngine(paths[0], 1, 1), threading.Event(), Running.take
    tokens = itertools.count()

    def holding(*arguments: Any) -> bool:
        while next(tokens) > 20 and shown.wait(30) and not engine._closed:
            pass  # some tokens make text for sure; the others come when close() was called
        return take(*arguments)

    async def scene() -> None:
        stream = engine.stream(0, GenerateRequest("The", max_tokens=400))
        await anext(stream)
        shown.set()
        await asyncio.to_thread(engine.close)
        with pytest.raises(EngineStopped):
            while True:
                await anext(stream)

    monkeypatch.setattr(Running, "take", holding)
    engine.load(0, None)
    asyncio.run(scene())


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("rows", [1, 3])
def test_guesses_change_no_answer(
    paths: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, temperature: float, rows: int
) -> None:
    """Right ones, wrong ones, and none: what is said is said anyway, in fewer passes."""
    requests = [
        GenerateRequest(f"The {n}", max_tokens=40, temperature=temperature, seed=n)
        for n in range(rows)
    ]
    passes, decode = list[int](), PlainDecoder.read

    def counted(decoder: PlainDecoder, *given: Any) -> torch.Tensor:
        passes.append(len(given[0]))
        return decode(decoder, *given)

    def said(recited: list[str]) -> tuple[list[str], int]:
        engine = EmbeddedEngine(paths[0], parallel=rows, queue=1, recited=lambda: recited)
        engine.load(0, None)
        engine.load(1, paths[1])
        passes.clear()

        async def all_of_them() -> list[list[Piece]]:
            return await asyncio.gather(*(read(engine, 1, one) for one in requests))

        texts = ["".join(piece.text for piece in one) for one in asyncio.run(all_of_them())]
        engine.close()
        return texts, len(passes)

    monkeypatch.setattr(PlainDecoder, "read", counted)
    expected, without = said([])
    found, with_them = said([*expected, *(text[:20] + " and so on" for text in expected)])
    assert found == expected
    assert with_them < without


def steps(read: list[str], result: Any) -> Generator[None, None, Any]:
    """Weights that are read in five steps."""
    for number in range(5):
        yield
        read.append(f"step {number}")
    return result


def test_a_generation_is_read_between_rounds(
    engine: EmbeddedEngine, paths: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    happened, decode = list[str](), PlainDecoder.read
    template = engine._models[0].model

    def noted(decoder: PlainDecoder, *given: Any) -> torch.Tensor:
        happened.append("pass")
        return decode(decoder, *given)

    async def scene() -> None:
        stream = engine.stream(0, GenerateRequest("The", max_tokens=40))
        await anext(stream)
        monkeypatch.setattr(embedded, "LOADING", 0.0)  # a step is more than there is time for
        await asyncio.to_thread(engine.load, 2, paths[1])
        happened.append("loaded")
        assert [piece async for piece in stream]

    monkeypatch.setattr(PlainDecoder, "read", noted)
    monkeypatch.setattr(models, "sibling", lambda model, path: steps(happened, template))
    asyncio.run(scene())
    order = [one for one in happened if one != "pass"]
    assert order == [*(f"step {n}" for n in range(5)), "loaded"]
    places = [happened.index(f"step {n}") for n in range(5)]
    assert all(later > sooner + 1 for sooner, later in itertools.pairwise(places))


def test_what_cannot_be_read_is_told_who_loads_and_disturbs_nobody(
    engine: EmbeddedEngine, paths: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(UnknownModel, match="other weights"):
        engine.load(2, tmp_path)
    assert answer(engine, 1, GenerateRequest(CHAT, max_tokens=5)) == generated(
        paths[1], GenerateRequest(CHAT, max_tokens=5)
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_all_generations_have_the_number_format_that_is_wanted(
    paths: tuple[Path, Path], dtype: str
) -> None:
    engine = EmbeddedEngine(paths[0], 1, 1, dtype=dtype)
    engine.load(0, None)
    engine.load(1, paths[1])
    found = {str(one.dtype) for n in (0, 1) for one in engine._models[n].model.network.parameters()}
    engine.close()
    assert found == {f"torch.{dtype}"}


def test_a_load_ends_with_the_engine(
    engine: EmbeddedEngine, paths: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(model: models.LanguageModel, path: Path) -> Generator[None, None, Any]:
        while True:
            begun.set()
            yield

    begun = threading.Event()
    monkeypatch.setattr(models, "sibling", endless)
    with ThreadPoolExecutor() as pool:
        loading = pool.submit(engine.load, 2, paths[1])
        assert begun.wait(30)
        engine.close()
        with pytest.raises(EngineStopped):
            loading.result(30)
    with pytest.raises(EngineStopped):
        engine.load(2, paths[1])
