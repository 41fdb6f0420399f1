"""`learnd bench scale`: how does the cost of a cycle grow with what was learned before?

Invented documents are learned five at a time. Up to each size their study sets are made by rule,
nothing is trained but a first adapter, in a moment, and whoever is examined remembers all but a few
percent; store, index, embedder, replay, choice of probes, history and checks are the daemon's own.
After each batch the daemon asks in idle time what is due; with `backlog` the next batch waits
already, and what is due is asked within the cycles. At each size one batch is then learned for
real, and timed. Its candidate knows nothing of what was only simulated, so that each answer is
written out: `probe_s` is an upper bound. The gate lets it pass.

cycle_s     that batch, from the folder to the merged model
probe_s     of it: choosing and asking `asked` probes, before and after
replay_s    of it: choosing what to rehearse
other_s     of it: all that is neither study, training, examination nor merging
waiting     probes that are due after it, to be asked in idle time
history_s, check_s   `learnd history` and `learnd check` without the weights
rss_mb      most that this process held so far; store_mb: the database
"""

import random
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any, Final

from agent.examine import ExamineRequest
from agent.executor import Executor, LocalExecutor
from agent.merge import MergeRequest
from agent.review import Review
from agent.settings import GateSettings
from agent.study import StudyRequest
from agent.train import Trained, TrainRequest
from memory.index import TextIndex
from memory.records import Batch, Chunk, Probe, ProbeResult, Progress, StudyItem
from memory.replay import draw
from policies.base import StudyPlan
from policies.sentences import sentences
from service import wiring
from service.bench.outcome import Outcome, Row, machine
from service.config import Config

Show = Callable[[Progress], None]

_ITEMS: Final = 8  # study items of a sentence
_SLIPS: Final = 0.03  # share of the probes that a simulated candidate fails
_FACTS: Final = (
    "The {name} station keeps {} pumps.",
    "Its keeper in {name} works {} hours a week.",
    "A visit to {name} costs {} crowns.",
    "The gate of {name} opens at {}:15.",
    "The tower of {name} is {} metres high.",
    "The archive of {name} holds {} maps.",
)


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure."""

    documents: tuple[int, ...] = (10, 100, 1000)
    together: int = 5  # documents of a batch
    seed: int = 0
    backlog: bool = False  # no idle time between two batches


def run(config: Config, options: Options, show: Show) -> Iterator[Outcome]:
    """Measure in a child process, see scale()."""
    with LocalExecutor(config.train.threads) as executor:
        yield from scale(config, options, executor, show)


def scale(config: Config, options: Options, executor: Executor, show: Show) -> Iterator[Outcome]:
    """A row a size, smallest first; the outcome grows with each."""
    with _town(config, options, executor) as town:
        rows: list[Row] = []
        for size in sorted(options.documents):
            while town.documents < size:
                town.grow(min(options.together, size - town.documents))
                show(Progress("bench", town.documents, max(options.documents)))
            rows.append(town.measured())
            settings = {**asdict(options), "model": config.model, "train": asdict(config.train)}
            yield Outcome("scale", settings, machine(), tuple(rows), ratios(rows))


def ratios(rows: Sequence[Row]) -> dict[str, float | None]:
    """What examination and replay take of a cycle, at each size."""
    return {
        f"share_at_{row['documents']}": (row["probe_s"] + row["replay_s"]) / row["cycle_s"]
        for row in rows
    }


@dataclass
class Pretended:
    """Passes jobs on, and takes their time; or pretends that they were done."""

    real: Executor
    seed: int
    pretends: bool = False
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    asked: int = 0

    def run(self, job: Any, request: Any, report: Callable[[Progress], None]) -> Any:
        started = time.monotonic()
        try:
            if self.pretends:
                return self._pretended(job, request, report)
            self.asked += len(getattr(request, "probes", ()))
            return self.real.run(job, request, report)
        finally:
            self.seconds[type(request).__name__] += time.monotonic() - started

    def free(self) -> None:
        self.real.free()

    def close(self) -> None:
        self.real.close()

    def _pretended(self, job: Any, request: Any, report: Callable[[Progress], None]) -> Any:
        """The first adapter must be there to go on from: it is trained, but on next to nothing."""
        if isinstance(request, TrainRequest) and request.parent is None:
            settings = replace(request.settings, epochs=1)
            short = replace(request, items=request.items[:_ITEMS], settings=settings)
            return self.real.run(job, short, report)
        return getattr(self, type(request).__name__)(request)

    def StudyRequest(self, request: StudyRequest) -> StudyPlan:
        plans = [_plan(chunk, request.probes_per_chunk) for chunk in request.chunks]
        items = tuple(item for plan in plans for item in plan.items)
        return StudyPlan(items, tuple(probe for plan in plans for probe in plan.probes))

    def TrainRequest(self, request: TrainRequest) -> Trained:
        """The parent again, so that a real training can go on from it."""
        assert request.parent is not None, "the first adapter is trained"
        copytree(request.parent, request.output, dirs_exist_ok=True)
        return Trained({"loss": 0.0})

    def ExamineRequest(self, request: ExamineRequest) -> list[ProbeResult]:
        return [self._result(request.adapter, probe) for probe in request.probes]

    def _result(self, adapter: Path | None, probe: Probe) -> ProbeResult:
        chance = random.Random(f"{self.seed} {adapter and adapter.name} {probe.id}")
        right = (adapter is not None or probe.chunk_id is None) and chance.random() >= _SLIPS
        return ProbeResult(probe.id, right, probe.statement if right else "no", -0.1)

    def MergeRequest(self, request: MergeRequest) -> None:
        (request.output / "model.safetensors").write_bytes(b"none")


class _Town:
    """A folder that grows, and what is learned of it."""

    def __init__(
        self, state: wiring.State, work: wiring.Work, docs: Path, jobs: Pretended, options: Options
    ) -> None:
        self._state = state
        self._work = work
        self._docs = docs
        self._jobs = jobs
        self._options = options
        self.documents = 0

    def grow(self, count: int) -> None:
        """Learn so many more documents, in pretence."""
        self._jobs.pretends = True
        self._learn(count)
        self._rest()

    def measured(self) -> Row:
        """Learn one batch more in earnest; the figures of that."""
        before, store = self.documents, self._state.store
        self._jobs.pretends, self._jobs.asked = False, 0
        self._jobs.seconds.clear()
        cycle = _timed(partial(self._learn, self._options.together))
        jobs, asked = dict(self._jobs.seconds), self._jobs.asked
        last = store.batches()[-1]
        review = self._review()
        choosing = _timed(partial(review.paper, last))
        replay = _timed(partial(self._rehearse, review, last))
        waiting = len(review.waiting())
        self._rest()
        return {
            "method": str(before),
            "documents": before,
            "probes": len(store.probes()),
            "cycle_s": cycle,
            "study_s": jobs["StudyRequest"],
            "train_s": jobs["TrainRequest"],
            "probe_s": choosing + jobs["ExamineRequest"],
            "asked": asked,
            "waiting": waiting,
            "replay_s": replay,
            "other_s": cycle - sum(jobs.values()),
            "history_s": _timed(store.moments) + _timed(store.recall),
            "check_s": _timed(store.check),
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "store_mb": sum(f.stat().st_size for f in self._docs.parent.glob("state/*.db*")) / 1e6,
        }

    def _rest(self) -> None:
        """What the daemon does when nothing new is there, in pretence."""
        self._jobs.pretends = True
        if not self._options.backlog:
            self._work.review(lambda progress: None)

    def _review(self) -> Review:
        """As the cycle's own; its index is read from the file."""
        embed = self._state.embed
        index = TextIndex(self._docs.parent / "state", "probes", embed, embed.dimension)
        review = Review(self._state.store, index, GateSettings())
        review.refresh()
        return review

    def _rehearse(self, review: Review, batch: Batch) -> None:
        items = self._state.store.items(batch.id)
        near = review.neighbours(batch)
        draw(self._state.store, batch, len(items), batch.seed, near)

    def _learn(self, count: int) -> None:
        for number in range(self.documents, self.documents + count):
            text = _text(random.Random(f"{self._options.seed} {number}"), number)
            (self._docs / f"{number:05}.md").write_text(text)
        self._work.scan(lambda seconds: None)  # the files are whole: nobody writes any more
        self._work.run_pending(lambda progress: None)
        self.documents += count


@contextmanager
def _town(config: Config, options: Options, executor: Executor) -> Iterator[_Town]:
    from agent import catalog

    with TemporaryDirectory(prefix="learnd-bench-") as home:
        docs = Path(home, "docs")
        docs.mkdir()
        gate = replace(config.gate, min_learned=0.0, false_rejects=0.0, base_lost=1.0)
        consolidate = replace(config.consolidate, after=0)
        changes = {"state": Path(home, "state"), "gate": gate, "consolidate": consolidate}
        config = config.model_copy(update=changes)
        jobs = Pretended(executor, options.seed)
        with wiring.open_state(config) as state:
            intake = wiring.open_intake(config, docs, state)
            base = catalog.resolve(config.model, config.cache)
            cycle = wiring.open_cycle(config, state, base, jobs)
            yield _Town(state, wiring.Work(intake, cycle), docs, jobs, options)


def _text(chance: random.Random, number: int) -> str:
    """A page of six facts about a place that is nowhere."""
    parts = ("bar", "dun", "fen", "hol", "kes", "lor", "mar", "nev", "os", "pel", "ram", "sund")
    name = "".join(chance.choices(parts, k=2)).title() + f"wick{number}"
    facts = [fact.format(chance.randint(2, 900), name=name) for fact in _FACTS]
    return f"# The station {name}\n\n" + " ".join(facts) + "\n"


def _plan(chunk: Chunk, probes: int) -> StudyPlan:
    """Questions by rule: they are stored, embedded and drawn as written ones are."""
    said = sentences(chunk.text)
    items = [
        StudyItem(chunk.id, "qa", f"{way}. what of this: {one[:40]}?", one, "bench")
        for one in said
        for way in range(_ITEMS)
    ]
    asked = [Probe(chunk.id, "paraphrase", f"What is {one[4:-8]}?", one[-8:], one) for one in said]
    return StudyPlan(tuple(items), tuple(asked[:probes]))


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started
