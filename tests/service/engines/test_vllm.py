"""Tests of service.engines.vllm, over HTTP with a fake of vLLM."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from memory.errors import BadConfig, PromptTooLong
from service.engines.base import GenerateRequest, Message, Piece
from service.engines.vllm import FIRST, Server
from service.engines.wire import Forgotten, Gone, Refused
from tests.helpers.fake_vllm import CONTEXT, FakeVllm, fake_vllm, write_adapter


@pytest.fixture
def base(tmp_path: Path) -> Path:
    directory = tmp_path / "base"
    directory.mkdir()
    (directory / "model.safetensors").write_text("weights")
    return directory


@pytest.fixture
def served(base: Path) -> Iterator[tuple[Server, FakeVllm]]:
    with fake_vllm(base) as (url, fake):
        server = Server(url)
        yield server, fake
        server.close()


def read(server: Server, model: str, request: GenerateRequest) -> list[Piece]:
    async def all_of_it() -> list[Piece]:
        return [piece async for piece in server.stream(model, request)]

    return asyncio.run(all_of_it())


def test_an_adapter_is_loaded_warmed_up_used_and_unloaded(
    served: tuple[Server, FakeVllm], tmp_path: Path
) -> None:
    server, fake = served
    path = write_adapter(tmp_path / "a", says="ferry")
    server.load("g1", path)
    assert fake.asked[0]["model"] == "g1"  # the warm-up
    assert server.look().adapters == {"g1": str(path)}
    for prompt in ("Where?", (Message("user", "Where?"),)):
        assert read(server, "g1", GenerateRequest(prompt)) == [
            Piece("ferry ", 1, 1),
            Piece("ferry ", 1, 1),
            Piece("ferry ", 1, 1, "stop"),
        ]
    server.unload("g1")
    server.unload("g1")  # it may have ended meanwhile
    with pytest.raises(Forgotten):
        read(server, "g1", GenerateRequest("Where?"))


def test_what_was_loaded_when_nobody_listened_any_more_is_there(
    served: tuple[Server, FakeVllm], tmp_path: Path
) -> None:
    server, fake = served
    path = write_adapter(tmp_path / "a", says="ferry")
    server.load("g1", path)
    server.load("g1", path)
    assert len(fake.asked) == 2  # it answers before it counts as loaded


@pytest.mark.parametrize(("heeded", "priority"), [(True, FIRST), (False, None)])
def test_a_warm_up_comes_first_where_that_can_be_asked_for(
    base: Path, tmp_path: Path, heeded: bool, priority: int | None
) -> None:
    with fake_vllm(base) as (url, fake), closing(Server(url, priorities=heeded)) as server:
        server.load("g1", write_adapter(tmp_path / "a"))
        read(server, "the-base", GenerateRequest("one two three", 8))
        assert [each.get("priority") for each in fake.asked] == [priority, None]


def test_an_answer_ends_with_the_context(served: tuple[Server, FakeVllm]) -> None:
    server, fake = served
    read(server, "the-base", GenerateRequest("one two three", 1000))
    assert fake.asked[-1]["max_tokens"] == CONTEXT - 3
    with pytest.raises(PromptTooLong, match=f"{CONTEXT} tokens; the model's context has"):
        read(server, "the-base", GenerateRequest("word " * CONTEXT, 10))


@pytest.mark.parametrize(
    ("rank", "there", "words"),
    [(128, True, "rank 128 is greater"), (8, False, "finds no adapter at")],
)
def test_adapters_that_are_refused(
    served: tuple[Server, FakeVllm], tmp_path: Path, rank: int, there: bool, words: str
) -> None:
    path = write_adapter(tmp_path / "a", rank) if there else tmp_path / "a"
    with pytest.raises(Refused, match=words):
        served[0].load("g1", path)


def test_a_key_is_asked_for_and_used(base: Path) -> None:
    with fake_vllm(base) as (url, fake):
        fake.key = "secret"
        with closing(Server(url)) as none, closing(Server(url, "secret")) as right:
            with pytest.raises(BadConfig, match=r"engine\.api_key"):
                none.look()
            with pytest.raises(Gone, match=r"engine\.api_key"):
                read(none, "the-base", GenerateRequest("x"))
            assert right.look().base == "the-base"
            assert read(right, "the-base", GenerateRequest("x"))


def test_what_is_no_vllm_or_too_old_is_named(served: tuple[Server, FakeVllm], base: Path) -> None:
    server, fake = served
    serving = server.look()
    fake.no_lora = True
    with pytest.raises(BadConfig, match=r"has no /v1/load_lora_adapter.*must be upgraded"):
        server.require(serving, base, "model")
    fake.no_vllm = True
    with pytest.raises(BadConfig, match="not as vLLM does"):
        server.look()


@pytest.mark.parametrize(
    ("root", "weights", "fits"),
    [
        ("base", None, True),  # the same directory
        ("copy", "weights", True),  # a copy, weight by weight
        ("copy", "others", False),
        ("/elsewhere/base", None, True),  # on another machine: the name must do
        ("/elsewhere/other", None, False),
        ("org/model", None, True),  # as the hub names it
    ],
)
def test_another_base_model_is_refused(
    tmp_path: Path, base: Path, root: str, weights: str | None, fits: bool
) -> None:
    if weights:
        (tmp_path / root).mkdir()
        (tmp_path / root / "model.safetensors").write_text(weights)
    given = tmp_path / root if not root.startswith("org") else Path(root)
    with fake_vllm(given) as (url, _), closing(Server(url)) as server:
        if fits:
            server.require(server.look(), base, "org/model")
        else:
            with pytest.raises(BadConfig, match=f"start it with --model {base}"):
                server.require(server.look(), base, "org/model")


def test_a_server_that_ends_is_gone(served: tuple[Server, FakeVllm]) -> None:
    server, fake = served
    fake.breaks_after = 1
    with pytest.raises(Gone, match="broke off"):
        read(server, "the-base", GenerateRequest("x"))
    fake.breaks_after, fake.error_after = None, 2
    with pytest.raises(Gone, match="EngineDeadError"):
        read(server, "the-base", GenerateRequest("x"))
    fake.healthy = False
    with pytest.raises(Gone, match="not healthy: status 503"):
        server.look()
    with closing(Server("http://127.0.0.1:9")) as nobody:
        with pytest.raises(Gone, match="does not answer"):
            nobody.look()
        with pytest.raises(Gone, match="broke off"):
            read(nobody, "the-base", GenerateRequest("x"))
