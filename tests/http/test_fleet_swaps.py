"""Swaps under load over two fakes of vLLM, one of which dies in the middle and comes back empty."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from memory.records import Batch, DocumentState, Generation, Probe, Progress
from memory.testing import memory_store
from service.engines.canary import Canary
from service.engines.fleet import Fleet, Model
from service.engines.roster import Member
from service.engines.vllm import Server
from service.http import create_app
from service.learner import Learner
from tests.helpers.crowd import check, crowd
from tests.helpers.fake_vllm import fake_vllm, write_adapter
from tests.helpers.serving import live, make_service
from tests.helpers.stores import add, learn
from tests.service.test_learner import FakeWork

CLIENTS = 4
SWAPS = 12
WORDS = ("ferry", "harbour", "island")
PROMPTS = ("Where?", "Who?")


def test_nobody_notices_that_a_server_dies(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()

    def locate(generation: Generation) -> Path:
        said = WORDS[generation.number % len(WORDS)]
        return write_adapter(tmp_path / generation.name, says=said)

    with ExitStack() as stack:
        pairs = [stack.enter_context(fake_vllm(base)) for _ in range(2)]
        members = [Member(Server(url)) for url, _ in pairs]
        fleet = stack.enter_context(
            closing(Fleet(members, Model(base, "model", "me"), CLIENTS, 20, beat=0.02))
        )
        service = make_service(tmp_path, fleet, memory_store(), locate)
        url = stack.enter_context(live(create_app(service)))
        dying, change = pairs[0][1], fleet._roster.change
        with crowd(url, CLIENTS, PROMPTS, tokens=3) as seen:
            for number in range(SWAPS):
                if number == SWAPS // 3:
                    dying.breaks_after, dying.healthy = 1, False
                    dying.adapters.clear()
                if number == 2 * SWAPS // 3:
                    dying.breaks_after, dying.healthy = None, True
                    with change:
                        assert change.wait_for(lambda: members[0].ready, 10)
                service.slot.follow(service.store.activate(0, f"swap {number}"))
                seen.first_of(number + 1)
        with change:  # and nothing of the past stays behind
            assert change.wait_for(lambda: all(one.holds == {SWAPS} for one in members), 10)
    found = check(seen, [[f"{word} " * 3] * len(PROMPTS) for word in WORDS], PROMPTS)
    assert found == {"answers": found["answers"], "refused": 0, "broken": 0, "mixed": 0, "back": 0}
    assert found["answers"] >= SWAPS


@contextmanager
def learning(learner: Learner) -> Iterator[None]:
    learner.start()
    try:
        yield
    finally:
        assert learner.stop(10)
        assert learner.failure is None


def test_what_the_canary_refuses_is_taken_back_and_no_client_sees_it(tmp_path: Path) -> None:
    base, store, work = tmp_path / "base", memory_store(), FakeWork()
    base.mkdir()

    def locate(generation: Generation) -> Path:
        return write_adapter(tmp_path / generation.name, says=WORDS[0])

    def knows_first(probe: Probe, said: str) -> bool:
        return "first" in probe.answer and WORDS[0] in said

    def learn_second(show: Callable[[Progress], None]) -> Sequence[Batch]:
        if store.head().number == 1:
            learn(store, add(store, "b.md", "The second."))
        return ()

    learn(store, add(store, "a.md", "The first."))
    with ExitStack() as stack:
        members = [Member(Server(stack.enter_context(fake_vllm(base))[0])) for _ in range(2)]
        model, canary = Model(base, "model", "me"), Canary(store, knows_first)
        fleet = Fleet(members, model, CLIENTS, 20, beat=0.02, canary=canary)
        service = make_service(tmp_path, stack.enter_context(closing(fleet)), store, locate)
        learner = Learner(lambda: work, store, service.slot, service.metrics, attempts=3)
        url = stack.enter_context(live(create_app(service)))
        work.cycle = learn_second
        with crowd(url, CLIENTS, PROMPTS, tokens=3) as seen, learning(learner):
            seen.first_of(3)
    assert {one.generation for one in seen.answers} == {1, 3}
    assert all(one.complete for one in seen.answers)
    [waiting] = store.documents(DocumentState.PENDING)
    assert (waiting.path, waiting.attempts) == ("b.md", 1)
    assert "g2 answers 0 of 2 questions" in store.head().note
