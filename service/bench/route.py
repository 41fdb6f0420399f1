"""`learnd bench route`: are questions about the documents told from all others?

Passages are studied, group after group, but not trained: routing looks at what was studied (see
agent/routing.py).

kept     of people's questions about the passages so far, the part that the taught weights are asked
left     of the general questions given, the part that is left to the base
known    general questions that the base answers right
at_risk  of those, how many the taught weights are asked: so many can be lost, whatever was trained
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.executor import Executor, LocalExecutor
from memory.errors import BadInput
from memory.records import Progress
from memory.taught import Taught
from service.bench import absorb, rivals, scoring
from service.bench.absorb import Show
from service.bench.outcome import Outcome, Row, machine
from service.bench.rivals import Bench, Embed
from service.bench.served import router
from service.config import Config

if TYPE_CHECKING:  # it loads faiss
    from agent.routing import Router


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure."""

    data: Path
    general: Path  # JSON: [{question, answer}]
    n: int = 100  # passages
    together: int = 5  # passages of a group
    questions: int = 3  # of a passage, at most
    seed: int = 0


def run(config: Config, options: Options, show: Show) -> Iterator[Outcome]:
    """Measure in a child process, see route()."""
    from agent.models import Embedder

    with LocalExecutor(config.train.threads) as executor:
        yield from route(config, options, executor, Embedder(config.embedder), show)


def route(
    config: Config, options: Options, executor: Executor, embed: Embed, show: Show
) -> Iterator[Outcome]:
    """A row after each group, whether or not routing is on. Raises BadInput for unusable data."""
    routed = replace(config.engine, route=True)
    asked = absorb.Options(
        options.data,
        ("learnd",),
        options.n,
        options.questions,
        options.seed,
        options.together,
        options.general,
    )
    bench = absorb.prepared(config.model_copy(update={"engine": routed}), asked, executor, embed)
    if not bench.control:
        raise BadInput(f"{options.general} holds no question")
    show(Progress("bench", 0, len(bench.groups), "what the base knows"))
    known, studied, rows = _known(bench), Taught(), list[Row]()
    opened = router(embed, studied)
    for number, group in enumerate(bench.groups, 1):
        show(Progress("bench", number - 1, len(bench.groups), "study"))
        studied += rivals.lesson(bench, "learnd", group).studied
        opened.refresh(studied, save=False)
        rows.append(_row(bench, number, opened, known))
        yield Outcome("route", absorb.settings(config, asked), machine(), tuple(rows), {})


def _known(bench: Bench) -> list[bool]:
    """Of each general question whether the base answers it right."""
    from agent.trial import RespondRequest, respond

    prompts = tuple(one.text for one in bench.control)
    request = RespondRequest(bench.base, None, (prompts,), rivals.SENTENCE_TOKENS)
    [replies] = bench.executor.run(respond, request, lambda progress: None)
    graded = zip(replies.texts, bench.control, strict=True)
    return [scoring.recall(text, one.answer) == 1 for text, one in graded]


def _row(bench: Bench, groups: int, opened: "Router", known: Sequence[bool]) -> Row:
    passages = [passage for group in bench.groups[:groups] for passage in group]
    people = [opened.is_studied([one.text]) for each in passages for one in each.questions]
    general = [opened.is_studied([one.text]) for one in bench.control]
    return {
        "method": f"{len(passages)} passages",
        "kept": sum(people) / len(people),
        "left": 1 - sum(general) / len(general),
        "at_risk": sum(asked and right for asked, right in zip(general, known, strict=True)),
        "known": sum(known),
    }
