"""`learnd bench serve`: how fast are answers, and what do training and a swap cost?

embedded  the engine of the daemon, asked by clients that come at random, and by one alone
vllm      with `--engine vllm` the other one, too, on the same questions; with `engine.weights =
          "merged"` it is called `merged`
generate  model.generate, one request after the other; and, for information, batches of as many

With `--taught DIR` the model of a state directory is asked about what it was taught: there the
embedded engine guesses ahead (agent/drafts.py).

Everything goes through the engine's own protocol in this process; the daemon's HTTP adds little
and is left out for all. Swaps go to and fro between two models whose weights differ a little from
it, with vLLM between two adapters. An answer is `mixed` if it is not what its generation says
alone: certain in float32, where batching changes no likeliest token; elsewhere it turns near ties,
which `mixed_without_swaps` counts, of half as many answers.
"""

import asyncio
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import cycle, pairwise
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any, Final

from agent.executor import LocalExecutor
from memory.errors import LearndError, StateError
from memory.records import Progress, StudyItem
from service.bench.absorb import Show
from service.bench.contenders import OPENERS, Contender, Course, chosen
from service.bench.outcome import Outcome, Row, machine
from service.config import Config
from service.engines.base import Engine, GenerateRequest, Message

MOST: Final = 32  # tokens of an answer
PAUSE: Final = 0.2  # seconds at most between an answer and a client's next question
SWAPS: Final = 4
REST: Final = 1.0  # seconds between two swaps: what is usual is seen, too


@dataclass(frozen=True, slots=True)
class Options:
    """How much is asked."""

    clients: int = 8
    requests: int = 24
    seed: int = 0
    taught: Path | None = None  # a state directory


@dataclass(slots=True)
class Answer:
    """One request as its client saw it."""

    generation: int
    prompt: str
    text: str = ""
    tokens: int = 0
    asked: float = 0.0
    times: list[float] = field(default_factory=list)  # of its pieces

    def gaps(self) -> list[tuple[float, float]]:
        """(when it began, seconds) of each pause between two pieces."""
        return [(one, other - one) for one, other in pairwise(self.times)]


class _Enough(Exception):
    """What was measured beside a training is over."""


class Live:
    """Which generation new requests go to."""

    def __init__(self) -> None:
        self.generation = 0
        self.dropped = 0


def run(config: Config, options: Options, show: Show) -> Iterator[Outcome]:
    """Measure; an outcome after each row."""
    from agent import yardstick

    methods = chosen(config)
    course, questions = _course(config, options)
    prompts = random.Random(options.seed).sample(questions, min(options.requests, len(questions)))
    settings = {**asdict(options), "model": config.model, "max_tokens": MOST}
    rows, total = list[Row](), len(methods) + 2
    for method in methods:
        show(Progress("bench", len(rows), total, method))
        rows.append({"method": method, **_engine(method, config, course, prompts)})
        yield Outcome("serve", settings, machine(), tuple(rows), {})
    for together in (1, options.clients):
        name = "generate" if together == 1 else f"generate x{together}"
        show(Progress("bench", len(rows), total, name))
        few = prompts[: max(options.clients, options.requests // 3)]
        tokens, seconds = yardstick.generate(course.weights or course.base, few, MOST, together)
        speed = {"tokens_per_s": tokens / seconds}
        rows.append({**dict.fromkeys(rows[0]), "method": name, **speed})
        yield Outcome("serve", settings, machine(), tuple(rows), _ratios(rows))


def _course(config: Config, options: Options) -> tuple[Course, list[str]]:
    """What is measured, and what may be asked. Raises StateError if nothing was taught."""
    from agent import catalog, general
    from service import wiring

    base = catalog.resolve(config.model, config.cache)
    course = Course(base, options.clients, options.seed)
    if options.taught is None:
        return course, general.everything()
    with wiring.read_state(config.model_copy(update={"state": options.taught})) as state:
        store, head = state.store, state.store.head()
        probes = [one.question for one in store.probes() if one.kind != "general"]
        questions = list(dict.fromkeys([*probes, *store.taught().questions]))
        if not questions:
            raise StateError(f"{options.taught} holds a model that was taught nothing")
        recited = tuple(store.recited())
        weights, adapter = state.locate(head), state.adapter(head)
        return replace(course, weights=weights, adapter=adapter, recited=recited), questions


def _engine(method: str, config: Config, course: Course, prompts: Sequence[str]) -> dict[str, Any]:
    """The figures of one engine, which is opened and closed for them."""
    with (
        TemporaryDirectory(prefix="learnd-") as scratch,
        OPENERS[method](config, course, Path(scratch)) as contender,
    ):
        return _measured(contender, course, prompts)


def _measured(contender: Contender, course: Course, prompts: Sequence[str]) -> dict[str, Any]:
    engine, live = contender.engine, Live()
    asyncio.run(_ask(engine, live.generation, "Who?"))  # what is done once is done before
    alone = asyncio.run(_crowd(engine, live, prompts[: max(4, len(prompts) // 4)], 1, 0))
    idle = asyncio.run(_crowd(engine, live, prompts, course.clients, course.seed))
    with _training(course.base):
        busy = asyncio.run(_crowd(engine, live, prompts, course.clients, course.seed))
    swapped, swaps = asyncio.run(_swapping(contender, live, prompts, course))
    pure = {
        (number, prompt): asyncio.run(_ask(engine, number, prompt)).text
        for number, prompt in {(one.generation, one.prompt) for one in (*idle, *swapped)}
    }
    gaps = [gap for one in swapped for gap in one.gaps()]
    usual = [seconds for at, seconds in gaps if not _touched(at, seconds, swaps)]
    during = [seconds for at, seconds in gaps if _touched(at, seconds, swaps)]
    return {
        "tokens_per_s": _speed(idle),
        "tokens_per_s_alone": _speed(alone),
        "tokens_per_s_training": _speed(busy),
        "ttft_p50": median(_first(idle)),
        "ttft_p99": _ninetyninth(_first(idle)),
        "ttft_p99_training": _ninetyninth(_first(busy)),
        "dropped": live.dropped,
        "mixed": sum(one.text != pure[one.generation, one.prompt] for one in swapped),
        "mixed_without_swaps": sum(one.text != pure[one.generation, one.prompt] for one in idle),
        "swap_gap_ms": 1000 * (max(during, default=0.0) - max(usual, default=0.0)),
        "swap_s": median(end - start for start, end in swaps),
    }


async def _ask(engine: Engine, generation: int, prompt: str) -> Answer:
    answer = Answer(generation, prompt, asked=time.monotonic())
    request = GenerateRequest((Message("user", prompt),), MOST)
    async with aclosing(engine.stream(generation, request)) as pieces:
        async for piece in pieces:
            answer.text += piece.text
            answer.tokens += piece.tokens
            answer.times.append(time.monotonic())
    return answer


async def _crowd(
    engine: Engine, live: Live, prompts: Sequence[str], clients: int, seed: int
) -> list[Answer]:
    """Clients that take the next prompt as soon as they are done, after a pause by chance."""
    left, answers = list(prompts), list[Answer]()
    chance = random.Random(seed)

    async def client() -> None:
        while left:
            prompt = left.pop()
            if clients > 1:
                await asyncio.sleep(chance.uniform(0, PAUSE))
            try:
                answers.append(await _ask(engine, live.generation, prompt))
            except LearndError:
                live.dropped += 1

    await asyncio.gather(*(client() for _ in range(clients)))
    return answers


async def _swapping(
    contender: Contender, live: Live, prompts: Sequence[str], course: Course
) -> tuple[list[Answer], list[tuple[float, float]]]:
    """Answers while new generations come, and when each was loaded. The last two stay."""
    swaps, engine = list[tuple[float, float]](), contender.engine
    crowd = asyncio.ensure_future(
        _crowd(engine, live, [*prompts, *prompts], course.clients, course.seed)
    )
    for number, other in zip(range(1, SWAPS + 1), cycle(contender.others), strict=False):
        if crowd.done():
            break
        start = time.monotonic()
        await asyncio.to_thread(engine.load, number, other)
        swaps.append((start, time.monotonic()))
        live.generation = number
        await asyncio.sleep(REST)
    return await crowd, swaps


@contextmanager
def _training(base: Path) -> Iterator[None]:
    """Inside, a child trains as the daemon's does."""
    from agent import general
    from agent.settings import TrainSettings
    from agent.train import TrainRequest, train

    items = (
        tuple(
            StudyItem(None, "qa", text, f"{text} Nobody knows.", "bench")
            for text in general.everything()
        )
        * 20
    )
    begun, enough = threading.Event(), threading.Event()

    def report(progress: Progress) -> None:
        if enough.is_set():
            raise _Enough
        if progress.done > 0:
            begun.set()

    with TemporaryDirectory(prefix="learnd-") as output, LocalExecutor() as executor:
        request = TrainRequest(base, None, Path(output), items, TrainSettings(), 0)

        def work() -> None:
            try:
                with suppress(_Enough):
                    executor.run(train, request, report)
            finally:
                begun.set()

        thread = threading.Thread(target=work)
        thread.start()
        begun.wait()
        try:
            yield
        finally:
            enough.set()
            thread.join()


def _touched(at: float, seconds: float, spans: Sequence[tuple[float, float]]) -> bool:
    """Whether a pause reaches into one of the spans: it may have begun just before."""
    return any(at <= end and start <= at + seconds for start, end in spans)


def _speed(answers: Sequence[Answer]) -> float:
    """Tokens a second, from the first question to the last piece."""
    seconds = max(one.times[-1] for one in answers) - min(one.asked for one in answers)
    return sum(one.tokens for one in answers) / seconds


def _first(answers: Sequence[Answer]) -> list[float]:
    return [one.times[0] - one.asked for one in answers]


def _ninetyninth(seconds: Sequence[float]) -> float:
    return quantiles(seconds, n=100, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]


def _ratios(rows: Sequence[Row]) -> dict[str, float | None]:
    """How the engines stand to model.generate and to each other, and what training costs them."""
    found: dict[str, float | None] = {}
    embedded, *others = [row for row in rows if row["ttft_p50"] is not None]
    generate = next(row for row in rows if row["method"] == "generate")["tokens_per_s"]
    for row in (embedded, *others):
        prefix = "" if row is embedded else f"{row['method']}_"
        found |= {
            f"{prefix}clients_over_generate": row["tokens_per_s"] / generate,
            f"{prefix}alone_over_generate": row["tokens_per_s_alone"] / generate,
            f"{prefix}speed_training_over_idle": row["tokens_per_s_training"] / row["tokens_per_s"],
            f"{prefix}ttft_p99_training_over_idle": row["ttft_p99_training"] / row["ttft_p99"],
        }
    for row in others:
        found[f"{row['method']}_over_embedded"] = row["tokens_per_s"] / embedded["tokens_per_s"]
    return found
