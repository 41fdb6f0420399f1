"""Swaps on real vLLM servers under clients that never rest: `make vllm` first; `-s` for figures."""

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx2
import pytest
import torch
from safetensors.torch import load_file, save_file

from agent.yardstick import write_adapter
from memory.records import Generation
from memory.testing import memory_store
from service.engines import managed
from service.engines.base import Engine, GenerateRequest, Message
from service.engines.fleet import Fleet, Model
from service.engines.managed import Managed, arguments, shares
from service.engines.wire import Refused
from service.fleets import own
from service.http import Service, create_app
from tests.helpers.crowd import ask, check, crowd, gap_ratio, memory_mb, slope
from tests.helpers.serving import live, make_service
from tests.soak.conftest import ADAPTERS, PYTHON, RANK

PROMPTS = ("The port is", "The best way to learn a language is", "Once upon a time", "My name is")
TOKENS = 8
KILLED_AT = 50  # swaps
PRACTICE = Path("examples/practice/everyday.json")

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.model,
    # httpx2 leaves a socket that could not connect, as to a server that starts, to be collected
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@dataclass(frozen=True, slots=True)
class Site:
    """learnd in front of servers that it started."""

    url: str
    service: Service
    fleet: Fleet
    children: list[Managed]

    def swap(self) -> Generation:
        generation = self.service.store.activate(0, "swap")
        self.service.slot.follow(generation)
        return generation

    def pure(self) -> list[list[str]]:
        """What the newest generation of each adapter says to each prompt, alone."""
        newest = self.service.slot.head
        assert newest is not None
        said: dict[int, list[str]] = {}
        with httpx2.Client(timeout=120) as http:
            for number in range(newest.number - ADAPTERS + 1, newest.number + 1):
                model = f"learnd@g{number}"
                said[number % ADAPTERS] = [
                    ask(http, self.url, model, prompt, TOKENS).text for prompt in PROMPTS
                ]
        return [said[number] for number in range(ADAPTERS)]


@contextmanager
def opened(servers: int, base: Path, adapters: list[Path], directory: Path) -> Iterator[Site]:
    """learnd in front of so many servers, all of them ready."""
    options = arguments(base, 16, "float32", managed.adapters(RANK, 4))
    children = [
        Managed(PYTHON, options, directory / f"{number}.log", cores)
        for number, cores in enumerate(shares(servers))
    ]
    members = [own(child) for child in children]
    fleet = Fleet(members, Model(base, "smollm2-135m", "soak"), 32, 600)

    def locate(generation: Generation) -> Path:
        return adapters[generation.number % ADAPTERS]

    try:
        began = time.monotonic()
        service = make_service(directory, fleet, memory_store(), locate)
        await_ready(fleet)
        print(f"\n{servers} ready after {time.monotonic() - began:.0f} s", flush=True)
        with live(create_app(service)) as url:
            yield Site(url, service, fleet, children)
    finally:
        fleet.close()


def await_ready(fleet: Fleet) -> None:
    roster = fleet._roster
    with roster.change:
        assert roster.change.wait_for(lambda: all(each.ready for each in roster.members), 600)


@pytest.fixture(scope="module")
def site(
    base: Path, adapters: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with opened(1, base, adapters, tmp_path_factory.mktemp("site")) as site:
        yield site


def soak(site: Site, swaps: int, clients: int, meanwhile: Callable[[int], None]) -> None:
    """Swap under load, and count what must not be."""
    times: list[tuple[float, float]] = []
    memory, vllm, served = list[float](), list[float](), list[float]()
    for _ in range(ADAPTERS):  # so that each adapter has been compiled for
        site.swap()
    with crowd(site.url, clients, PROMPTS, TOKENS) as seen, httpx2.Client(timeout=120) as http:
        for number in range(swaps):
            meanwhile(number)
            began = time.monotonic()
            new = site.swap().number
            times.append((began, time.monotonic()))
            newcomer = ask(http, site.url, "learnd", PROMPTS[0], 1)  # the others end theirs first
            assert newcomer.generation == new, newcomer.error
            served.append(newcomer.arrivals[0] - began)
            memory.append(memory_mb(os.getpid()))
            vllm.append(sum(memory_mb(process) for process in family(site.children[-1])))
    found = check(seen, site.pure(), PROMPTS)
    usual, ratio = gap_ratio(seen, times)
    loads = [end - began for began, end in times]
    print(f"{clients} clients, {swaps} swaps: {found}")
    print(f"swap median {median(loads):.2f} s, worst {max(loads):.2f} s")
    print(
        f"a newcomer's first token after median {median(served):.2f} s, worst {max(served):.2f} s"
    )
    print(f"gap {usual * 1e3:.0f} ms, during swaps x{ratio:.2f}")
    for name, values in {"learnd": memory, "vLLM": vllm}.items():
        print(f"{name} {values[0]:.0f} MB, {slope(values):+.3f} MB a swap", flush=True)
    for error in {answer.error for answer in seen.answers if answer.error}:
        print("error:", error)
    assert found == {"answers": found["answers"], "refused": 0, "broken": 0, "mixed": 0, "back": 0}


def family(child: Managed) -> list[int]:
    """The processes of a server: those of its group."""
    numbers = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [number for number in numbers if group(number) == child.process_id]


def group(process: int) -> int:
    """Of a process; 0: it has ended."""
    try:
        return os.getpgid(process)
    except ProcessLookupError:
        return 0


def nothing(number: int) -> None:
    """The swaps are all that happens."""


@pytest.mark.parametrize(
    ("swaps", "clients"), [(10, 4), pytest.param(200, 16, marks=pytest.mark.slow)]
)
def test_nobody_notices(site: Site, swaps: int, clients: int) -> None:
    soak(site, swaps, clients, nothing)


def test_refusals_are_named(site: Site, base: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="greater --max-lora-rank"):
        site.fleet.load(1000, write_adapter(base, tmp_path / "wide", 9, 96))
    with pytest.raises(Refused, match="finds no adapter"):
        site.fleet.load(1001, tmp_path / "nowhere")
    odd = write_adapter(base, tmp_path / "odd", 9, RANK)
    weights = odd / "adapter_model.safetensors"
    save_file(
        {name.replace("q_proj", "x_proj"): one for name, one in load_file(weights).items()}, weights
    )
    with pytest.raises(Refused, match="does not take"):
        site.fleet.load(1002, odd)
    with httpx2.Client(timeout=120) as http:  # and it goes on
        assert ask(http, site.url, "learnd", PROMPTS[0], TOKENS).complete


def test_an_adapter_stays_when_its_directory_goes(
    site: Site, adapters: list[Path], tmp_path: Path
) -> None:
    there = shutil.copytree(adapters[0], tmp_path / "there")
    site.fleet.load(1003, there)
    before = asyncio.run(answers(site.fleet, 1003, list(PROMPTS)))
    shutil.rmtree(there)
    for _ in range(ADAPTERS):  # others come beside it
        site.swap()
    assert asyncio.run(answers(site.fleet, 1003, list(PROMPTS))) == before
    site.fleet.unload(1003)
    with pytest.raises(Refused, match="finds no adapter"):
        site.fleet.load(1004, there)


@pytest.mark.parametrize("count", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_greedy_answers_are_those_of_the_embedded_engine(
    site: Site,
    base: Path,
    adapters: list[Path],
    tmp_path: Path,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Adapter beside base against merged weights: sums in another order, so near ties may turn.

    Both in float32: merged and answered in bfloat16, a third of 100 were others.
    """
    from agent import models
    from agent.merge import MergeRequest, merge
    from service.engines.embedded import EmbeddedEngine

    monkeypatch.setattr(models, "preferred_dtype", lambda: torch.float32)
    head = site.service.slot.head
    assert head is not None
    adapter = adapters[head.number % ADAPTERS]
    merge(MergeRequest(base, adapter, tmp_path), lambda progress: None)
    passages = json.loads(PRACTICE.read_text())
    asked = [each["question"] for passage in passages for each in passage["questions"]]
    questions = asked[:count]
    with closing(EmbeddedEngine(base, 4, count)) as embedded:
        embedded.load(head.number, tmp_path)
        there, here = (
            asyncio.run(answers(engine, head.number, questions))
            for engine in (site.fleet, embedded)
        )
    differing = [(a, b) for a, b in zip(there, here, strict=True) if a != b]
    print(f"{len(differing)} of {count} greedy answers differ: {differing[:3]}", flush=True)
    assert len(differing) <= count / 10


async def answers(engine: Engine, generation: int, questions: list[str]) -> list[str]:
    places = asyncio.Semaphore(16)

    async def answer(question: str) -> str:
        request = GenerateRequest((Message("user", question),), 16)
        async with places:
            return "".join([piece.text async for piece in engine.stream(generation, request)])

    return await asyncio.gather(*map(answer, questions))


def test_what_was_killed_comes_back_with_all_that_it_held(site: Site) -> None:
    with httpx2.Client(timeout=120) as http:
        before = ask(http, site.url, "learnd", PROMPTS[0], TOKENS)
        began = time.monotonic()
        os.kill(site.children[0].process_id or 0, signal.SIGKILL)
        roster = site.fleet._roster
        with roster.change:
            assert roster.change.wait_for(lambda: not roster.members[0].ready, 30)
        await_ready(site.fleet)
        print(f"killed; ready again after {time.monotonic() - began:.0f} s", flush=True)
        after = ask(http, site.url, "learnd", PROMPTS[0], TOKENS)
    assert (after.generation, after.text) == (before.generation, before.text)


@pytest.mark.slow
def test_one_of_two_is_killed_in_the_middle(
    base: Path, adapters: list[Path], tmp_path: Path
) -> None:
    """A quarter of an hour."""
    with opened(2, base, adapters, tmp_path) as site:

        def kill(number: int) -> None:
            if number == KILLED_AT:
                os.kill(site.children[0].process_id or 0, signal.SIGKILL)

        soak(site, 200, 16, kill)
        await_ready(site.fleet)
        members = site.fleet._roster.members
        assert members[0].holds == members[1].holds
