"""Tests of service.engines.fleet, over HTTP with fakes of vLLM."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from memory.errors import BadConfig, Busy, Unavailable
from service.engines.base import GenerateRequest, Remote
from service.engines.canary import Ask, Unfit
from service.engines.fleet import STUDY, Fleet, Model
from service.engines.resume import Diverged
from service.engines.roster import Member
from service.engines.vllm import Server
from service.engines.wire import Gone, Refused
from tests.helpers.fake_vllm import FakeVllm, fake_vllm, write_adapter

ASK = GenerateRequest("Where?", 8)


class Scene:
    """Two fakes and the fleet over them; adapter n answers with the word gN."""

    def __init__(self, stack: ExitStack, directory: Path, **writing: Path | None) -> None:
        self.base = directory / "base"
        self.base.mkdir()
        self.directory = directory
        pairs = [stack.enter_context(fake_vllm(self.base)) for _ in range(2)]
        self.fakes = [fake for _, fake in pairs]
        self.members = [Member(Server(url)) for url, _ in pairs]
        model = Model(self.base, "model", "me", writing.get("study"))
        places = 2 if "study" in writing else 0
        fleet = Fleet(self.members, model, 2, start_seconds=5, beat=0.01, writing=places)
        self.fleet = stack.enter_context(closing(fleet))

    def adapter(self, generation: int, rank: int = 8) -> Path:
        return write_adapter(self.directory / f"g{generation}", rank)

    def load(self, *generations: int) -> None:
        for generation in generations:
            self.fleet.load(generation, self.adapter(generation))

    def ask(self, generation: int, request: GenerateRequest = ASK) -> str:
        async def read() -> str:
            return "".join([piece.text async for piece in self.fleet.stream(generation, request)])

        return asyncio.run(read())

    def until(self, condition: object) -> None:
        """Wait until the fleet has come so far."""
        assert callable(condition)
        change = self.fleet._roster.change
        with change:
            assert change.wait_for(condition, 10)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(stack, tmp_path)


def names(fake: FakeVllm) -> set[str]:
    return set(fake.adapters)


def test_a_generation_is_held_by_all_before_load_returns(scene: Scene) -> None:
    scene.fleet.load(0, None)
    scene.load(1, 2)
    for fake in scene.fakes:
        assert names(fake) == {"learnd-me-g1", "learnd-me-g2"}
    assert [scene.ask(number) for number in (0, 1, 2)] == [
        "base base base ",
        "g1 g1 g1 ",
        "g2 g2 g2 ",
    ]
    assert scene.fleet.fault is None
    assert isinstance(scene.fleet, Remote)


def test_servers_are_loaded_one_after_another_and_old_ones_are_unloaded(scene: Scene) -> None:
    scene.load(1, 2)
    scene.fleet.unload(1)
    scene.until(lambda: all(member.holds == {2} for member in scene.members))
    for fake in scene.fakes:
        assert fake.calls[-1] == ("unload", "learnd-me-g1")


def test_requests_go_to_the_least_busy_server(scene: Scene) -> None:
    async def both() -> None:
        answers = [scene.fleet.stream(1, ASK) for _ in range(2)]
        for answer in answers:
            await anext(answer)
        for answer in answers:
            await answer.aclose()

    scene.load(1)
    before = [len(fake.asked) for fake in scene.fakes]
    asyncio.run(both())
    assert [len(fake.asked) for fake in scene.fakes] == [number + 1 for number in before]


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("how", ["breaks_after", "error_after"])
def test_an_answer_that_breaks_off_goes_on_elsewhere(scene: Scene, how: str, after: int) -> None:
    scene.load(1)
    setattr(scene.fakes[0], how, after)
    assert scene.ask(1) == "g1 g1 g1 "
    assert scene.ask(1, GenerateRequest("x", temperature=1.0)) == "g1 g1 g1 "


def test_an_answer_never_mixes_two(scene: Scene) -> None:
    scene.load(1)
    scene.fakes[0].breaks_after, scene.fakes[1].word = 1, "sea"
    with pytest.raises(Diverged):
        scene.ask(1)


def test_where_everybody_breaks_off_the_client_is_told(scene: Scene) -> None:
    scene.load(1)
    for fake in scene.fakes:
        fake.breaks_after = 1
    with pytest.raises(Gone, match="broke off"):
        scene.ask(1)


def test_a_server_that_forgot_is_brought_up_to_date_before_it_is_asked(scene: Scene) -> None:
    scene.load(1, 2)
    scene.fakes[0].adapters.clear()  # it was started anew
    for _ in range(4):
        assert scene.ask(2) == "g2 g2 g2 "
    scene.until(lambda: all(member.holds == {1, 2} for member in scene.members))
    assert names(scene.fakes[0]) == {"learnd-me-g1", "learnd-me-g2"}


def test_one_of_two_is_enough_and_the_late_one_catches_up(scene: Scene) -> None:
    scene.fakes[1].healthy = False
    scene.load(1)
    assert not names(scene.fakes[1])
    assert scene.ask(1) == "g1 g1 g1 "
    scene.load(2)
    scene.fakes[1].healthy = True
    scene.until(lambda: scene.members[1].holds == {1, 2})
    scene.fakes[0].healthy = False
    scene.until(lambda: not scene.members[0].ready)
    assert scene.ask(2) == "g2 g2 g2 "


def test_without_any_server_requests_and_loads_are_unavailable(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.load(1)
    monkeypatch.setattr("service.engines.fleet.PATIENCE_SECONDS", 0.05)
    for fake in scene.fakes:
        fake.healthy = False
    scene.until(lambda: not any(member.ready for member in scene.members))
    with pytest.raises(Unavailable, match=r"0 of 2 vLLM servers are ready: .* not healthy"):
        scene.ask(1)
    assert "0 of 2" in (scene.fleet.fault or "")
    scene.fleet._start_seconds = 0.05
    with pytest.raises(Unavailable, match="0 of 2"):
        scene.load(2)
    assert scene.fleet._roster.wanted().keys() == {1}


def test_what_was_served_once_is_only_away_whatever_its_servers_say(scene: Scene) -> None:
    """BadConfig would end the daemon, and all that it answers."""
    scene.load(1)
    for fake in scene.fakes:
        fake.key = "changed"
    scene.until(lambda: not any(member.ready for member in scene.members))
    with pytest.raises(Unavailable, match=r"engine\.api_key"):
        scene.load(2)


def test_an_adapter_that_was_loaded_but_never_answered_is_not_held(scene: Scene) -> None:
    """A warm-up that breaks off leaves the adapter there."""
    asked = list[int]()
    scene.fleet._canary = lambda generation, ask: asked.append(generation)
    scene.fakes[1].healthy = False
    scene.fakes[0].adapters["learnd-me-g1"] = str(scene.adapter(1)), "g1"
    scene.load(1)
    assert [each["prompt"] for each in scene.fakes[0].asked] == ["a"]
    assert asked == [1]
    scene.fakes[1].healthy = True
    scene.until(lambda: all(member.holds == {1} for member in scene.members))
    assert asked == [1]  # once is enough


def test_a_client_that_does_not_wait_for_a_server_leaves_no_count_behind(scene: Scene) -> None:
    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(scene.fleet.stream(1, ASK))

    asyncio.run(impatient())  # nobody holds it yet; the thread that waits for it goes on
    scene.load(1)
    assert [member.busy for member in scene.members] == [0, 0]


def test_a_refused_adapter_leaves_all_as_it_was(scene: Scene) -> None:
    scene.load(1)
    with pytest.raises(Refused, match="rank 128 is greater"):
        scene.fleet.load(2, scene.adapter(2, rank=128))
    with pytest.raises(Refused, match="finds no adapter at"):
        scene.fleet.load(3, scene.directory / "nowhere")
    assert scene.ask(1) == "g1 g1 g1 "
    assert names(scene.fakes[0]) == {"learnd-me-g1"}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"key": "secret"}, r"engine\.api_key"),
        ({"no_lora": True}, "has no /v1/load_lora_adapter"),
        ({"root": "/elsewhere/other"}, "serves /elsewhere/other"),
        ({"no_vllm": True}, "not as vLLM does"),
    ],
)
def test_what_does_not_get_better_by_waiting_is_told_at_once(
    tmp_path: Path, fault: dict[str, object], words: str
) -> None:
    with ExitStack() as stack:
        base = tmp_path / "base"
        base.mkdir()
        url, fake = stack.enter_context(fake_vllm(base))
        for name, value in fault.items():
            setattr(fake, name, value)
        model = Model(base, "model", "me")
        fleet = stack.enter_context(closing(Fleet([Member(Server(url))], model, 2, 60, 0.01)))
        with pytest.raises(BadConfig, match=words):
            fleet.load(0, None)


def test_the_first_server_is_examined_before_the_second_gets_a_generation(scene: Scene) -> None:
    asked = []

    def canary(generation: int, ask: Ask) -> None:
        asked.append((generation, ask(["Who?", "Where?"])))
        assert sum(f"learnd-me-g{generation}" in fake.adapters for fake in scene.fakes) == 1
        if generation == 2:
            raise Unfit("it knows nothing")

    scene.fleet._canary = canary
    scene.load(1)
    with pytest.raises(Unfit, match="it knows nothing"):
        scene.load(2)
    assert asked == [(1, ["g1 g1 g1 "] * 2), (2, ["g2 g2 g2 "] * 2)]
    scene.until(lambda: not any("learnd-me-g2" in fake.adapters for fake in scene.fakes))
    assert scene.ask(1) == "g1 g1 g1 "


def test_study_items_are_written_with_the_study_adapter(tmp_path: Path) -> None:
    with ExitStack() as stack:
        scene = Scene(stack, tmp_path, study=write_adapter(tmp_path / "skill"))
        scene.load(1)
        scene.until(lambda: scene.fleet._roster.is_held(STUDY))
        place = scene.fleet.endpoint()
        assert place is not None
        assert (place.practised, place.published, place.places) == (
            "learnd-me-study",
            "the-base",
            2,
        )
        for fake in scene.fakes:
            assert names(fake) == {"learnd-me-study", "learnd-me-g1"}
        scene.fakes[0].adapters.clear()  # it was started anew
        scene.until(lambda: all(STUDY in member.holds for member in scene.members))
        scene.fleet.close()
        assert not any(map(names, scene.fakes))


def test_without_a_study_adapter_the_base_writes(tmp_path: Path) -> None:
    with ExitStack() as stack:
        scene = Scene(stack, tmp_path, study=None)
        scene.fleet.load(0, None)
        place = scene.fleet.endpoint()
        assert place is not None and place.practised == place.published == "the-base"


def test_a_study_adapter_that_is_refused_keeps_nobody_from_being_answered(tmp_path: Path) -> None:
    with ExitStack() as stack:
        scene = Scene(stack, tmp_path, study=write_adapter(tmp_path / "skill", rank=128))
        scene.load(1)
        assert scene.ask(1) == "g1 g1 g1 "
        with pytest.raises(Refused, match="rank 128 is greater"):
            scene.fleet.endpoint()


def test_where_no_share_is_given_nothing_is_written(scene: Scene) -> None:
    assert scene.fleet.endpoint() is None


def test_another_learnd_on_the_same_server_is_left_alone(scene: Scene) -> None:
    scene.fakes[0].adapters["learnd-other-g1"] = ("/other", "other")
    scene.fakes[0].adapters["learnd-me-g7"] = ("/old", "old")  # of an earlier life
    scene.load(1)
    scene.until(lambda: names(scene.fakes[0]) == {"learnd-other-g1", "learnd-me-g1"})
    scene.fleet.close()
    assert names(scene.fakes[0]) == {"learnd-other-g1"}


def test_beyond_the_limit_it_is_busy(scene: Scene) -> None:
    async def crowd() -> None:
        answers = [scene.fleet.stream(1, ASK) for _ in range(4)]
        for answer in answers:
            await anext(answer)
        with pytest.raises(Busy):
            await anext(scene.fleet.stream(1, ASK))
        for answer in answers:
            await answer.aclose()
        assert scene.fleet.waiting == 0

    scene.load(1)
    asyncio.run(crowd())
    assert scene.ask(1) == "g1 g1 g1 "


def test_it_ends(scene: Scene) -> None:
    scene.load(1)
    scene.fleet.close()
    assert not scene.fleet.alive
    with pytest.raises(Unavailable):
        scene.load(2)
