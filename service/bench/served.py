"""What the daemon would say: far questions are left to the base, see agent/routing.py."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from agent.executor import Executor
from memory.taught import Taught

if TYPE_CHECKING:  # these load torch, or faiss
    from agent.routing import Router
    from agent.trial import Trial
    from memory.index import Embed


def served(
    executor: Executor,
    base: Path,
    embed: "Embed",
    studied: Taught,
    asked: tuple[Sequence[str], Sequence[str]],
    tried: "Trial",
    most: int,
) -> "Trial":
    """The trial with the base's answers where it would be asked.

    `asked` are the trial's questions and its control questions, `most` the tokens of an answer.
    """
    questions, said = (*asked[0], *asked[1]), (*tried.replies.texts, *tried.control)
    texts = routed(executor, base, embed, studied, questions, said, most)
    own, control = texts[: len(asked[0])], texts[len(asked[0]) :]
    return replace(tried, replies=replace(tried.replies, texts=own), control=control)


def routed(
    executor: Executor,
    base: Path,
    embed: "Embed",
    studied: Taught,
    questions: Sequence[str],
    said: Sequence[str],
    most: int,
) -> tuple[str, ...]:
    """What taught weights said to the questions, or the base where the question is for it."""
    from agent.trial import RespondRequest, respond

    is_studied = router(embed, studied).is_studied
    far = tuple(one for one in questions if not is_studied([one]))
    if not far:
        return tuple(said)
    request = RespondRequest(base, None, (far,), most)
    [replies] = executor.run(respond, request, lambda progress: None)
    answered = dict(zip(far, replies.texts, strict=True))
    return tuple(answered.get(one, text) for one, text in zip(questions, said, strict=True))


def router(embed: "Embed", studied: Taught) -> "Router":
    """The daemon's, for what was studied."""
    from agent import general
    from agent.routing import Router
    from memory.index import TextIndex

    with TemporaryDirectory(prefix="learnd-bench-") as empty:
        width = embed([""]).shape[1]
        opened = Router(
            lambda name: TextIndex(Path(empty), name, embed, width), embed, general.common()
        )
        opened.refresh(studied, save=False)
    return opened
