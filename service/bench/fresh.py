"""`learnd bench fresh`: a file is saved; how long until the daemon answers from it?

A real daemon follows an empty folder. One file is learned before anything is timed, since the
first batch of a state, trained from the base, is another case. Then passages are saved as files,
one after the other; as soon as the generation that learned one serves, its questions are asked.

`settle` is what no stage accounts for (watching, two looks that agree, starting the child),
`answer` the time from the swap to the first right answer, `total` that from saving to it.

With --edits each file is saved once more, another number or name in the place of one that a
question asks for, and that question is asked: `edit_total` to the right answer, `edits_followed`
of all that were made, `edits_stale` where the old answer is given still.
"""

import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any, Final

from agent.passages import Passage, Question
from memory.errors import LearndError
from memory.records import Chunk, Progress
from policies import planting
from policies.base import Candidate
from service import client
from service.bench import absorb, scoring
from service.bench.outcome import Outcome, Row, machine
from service.config import Config

STAGES: Final[Sequence[str]] = ("study", "train", "shrink", "examine", "gate", "merge", "serve")
PERIOD: Final = 0.25  # seconds between two looks at the daemon
_COMMAND: Final = (sys.executable, "-c", "from service.main import main; main()", "run")

Show = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What to save and ask."""

    data: Path
    n: int = 20  # files
    questions: int = 5  # about each, at most
    seed: int = 0
    edits: bool = False


@dataclass(frozen=True, slots=True)
class Edit:
    """A passage that says something else, the one question about that, and the old answer."""

    passage: Passage
    old: str


@dataclass(frozen=True, slots=True)
class Followed:
    """One file, from saving it to the answers."""

    stages: dict[str, float]  # seconds: settle, those of STAGES that took place, answer
    total: float | None  # seconds to the first right answer; None: there was none
    right: int
    asked: int
    said: tuple[str, ...]  # to each question


def run(
    config: Config, options: Options, arguments: Sequence[str], show: Show
) -> Iterator[Outcome]:
    """Measure with a daemon of its own, started with further arguments; an outcome a file.

    Raises BadInput for unusable data, LearndError if the daemon does not start.
    """
    first, *passages = absorb.draw(options.data, options.n + 1, options.questions, options.seed)
    show(Progress("bench", 0, len(passages)))
    with running(config, arguments) as (docs, daemon):
        follow(docs / "0.md", daemon, first)
        files: list[Followed] = []
        edits: list[tuple[Edit, Followed]] = []
        for number, passage in enumerate(passages, 1):
            file = docs / f"{number}.md"
            files.append(follow(file, daemon, passage))
            if options.edits and (edit := edited(passage, options.seed)):
                edits.append((edit, follow(file, daemon, edit.passage)))
            show(Progress("bench", number, len(passages)))
            yield _outcome(config, options, files, edits)


def edited(passage: Passage, seed: int) -> Edit | None:
    """The passage with another number or name in the place of an answer; None if none is one."""
    chance = random.Random(f"{seed} {passage.title}")
    chunk = Chunk(0, 0, 0, passage.title, passage.context)
    for question in passage.questions:
        asked = Candidate(chunk, chunk.text, "qa", question.text, question.answer, "people")
        for change in (planting.number, planting.entity):
            wrong = change(asked, (), chance)
            other = wrong.answer if wrong else question.answer
            text = _replaced(chunk.text, question.answer, other)
            if text != chunk.text:
                new = Question(question.text, other)
                return Edit(Passage(passage.title, text, (new,)), question.answer)
    return None


def _replaced(text: str, old: str, new: str) -> str:
    """In every place, but not within a longer word or number."""
    alone = rf"(?<!\w)(?<!\d[.,]){re.escape(old)}(?!\w|[.,]\d)"
    return re.sub(alone, lambda found: new, text)


@contextmanager
def running(config: Config, arguments: Sequence[str]) -> Iterator[tuple[Path, client.Daemon]]:
    """A daemon on a folder of its own, which is empty, and a client of it."""
    with TemporaryDirectory(prefix="learnd-bench-") as home:
        docs, state, log = Path(home, "docs"), Path(home, "state"), Path(home, "log")
        docs.mkdir()
        place = [str(docs), "--state", str(state), "--host", "127.0.0.1", "--port", "0", "--json"]
        with (
            log.open("w") as errors,
            subprocess.Popen(
                [*_COMMAND, *place, *arguments], stdout=subprocess.PIPE, stderr=errors, text=True
            ) as process,
        ):
            try:
                server = replace(config.server, host="127.0.0.1", port=_port(process, log))
                with client.daemon(config.model_copy(update={"server": server})) as daemon:
                    yield docs, daemon
            finally:
                process.terminate()


def _port(process: "subprocess.Popen[str]", log: Path) -> int:
    """Where it listens, once it does. Raises LearndError if it ended instead."""
    assert process.stdout is not None, "its output is a pipe"
    announced = ""
    for line in process.stdout:
        announced += line
        if line.startswith("}"):
            return int(str(json.loads(announced)["url"]).rpartition(":")[2])
    raise LearndError(f"the daemon did not start: {log.read_text()[-500:]}")


def follow(file: Path, daemon: client.Daemon, passage: Passage) -> Followed:
    """Save a passage as a file, and wait until it was learned or refused; then ask."""
    before, spent = daemon.status(), daemon.stages()
    saved = time.monotonic()
    file.write_text(f"# {passage.title}\n\n{passage.context}\n")
    while not _settled(before, daemon.status()):
        time.sleep(PERIOD)
    served = time.monotonic() - saved
    said: list[str] = []
    right, total = 0, 0.0
    for question in passage.questions:
        [reply] = daemon.ask(question.text, ["learnd"])
        said.append(reply.text)
        if scoring.recall(reply.text, question.answer):
            right += 1
            total = total or time.monotonic() - saved
    after = daemon.stages()
    took = {one: after.get(one, 0.0) - spent.get(one, 0.0) for one in STAGES if one in after}
    stages: dict[str, float] = {"settle": max(0.0, served - sum(took.values())), **took}
    if total:
        stages["answer"] = total - served
    return Followed(stages, total or None, right, len(said), tuple(said))


def _settled(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether one more version is learned, and its generation serves, or one more is set aside."""
    (old, aside), (new, more) = _versions(before["counts"]), _versions(now["counts"])
    swapped = now["head"]["number"] > before["head"]["number"]
    return (swapped and new > old) or more > aside


def _versions(counts: Mapping[str, int]) -> tuple[int, int]:
    """How many were ever learned, and how many are set aside."""
    return counts["learned"] + counts["retired"], counts["quarantined"]


def _outcome(
    config: Config,
    options: Options,
    files: Sequence[Followed],
    edits: Sequence[tuple[Edit, Followed]],
) -> Outcome:
    names = dict.fromkeys(name for file in files for name in file.stages)
    rows = [_row(name, [file.stages.get(name, 0.0) for file in files]) for name in names]
    rows.append(_row("total", [file.total for file in files if file.total]))
    asked, right = sum(file.asked for file in files), sum(file.right for file in files)
    shares = {
        "files_answered": sum(bool(file.right) for file in files) / len(files),
        "questions_right": right / asked,
    }
    if edits:
        rows.append(_row("edit_total", [file.total for _, file in edits if file.total]))
        shares["edits_followed"] = sum(file.right for _, file in edits) / len(edits)
        shares["edits_stale"] = sum(_stale(*pair) for pair in edits) / len(edits)
    settings = {**asdict(options), "model": config.model, "train": asdict(config.train)}
    return Outcome("fresh", settings, machine(), tuple(rows), shares)


def _stale(edit: Edit, file: Followed) -> bool:
    return not file.right and scoring.recall(file.said[0], edit.old) > 0


def _row(name: str, seconds: Sequence[float]) -> Row:
    """None where no file came so far."""
    return {
        "method": name,
        "median_s": median(seconds) if seconds else None,
        "p90_s": _ninetieth(seconds) if seconds else None,
        "files": len(seconds),
        "seconds": list(seconds),
    }


def _ninetieth(seconds: Sequence[float]) -> float:
    return quantiles(seconds, n=10, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
