"""What the daemon would say: far questions are left to the base, see agent/routing.py."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from agent.executor import Executor

if TYPE_CHECKING:  # these load torch, or faiss
    from agent.routing import Router
    from agent.trial import Trial
    from memory.index import Embed


def served(
    executor: Executor,
    base: Path,
    embed: "Embed",
    studied: Sequence[str],
    asked: tuple[Sequence[str], Sequence[str]],
    tried: "Trial",
    most: int,
) -> "Trial":
    """The trial with the base's answers where it would be asked.

    `asked` are the trial's questions and its control questions, `most` the tokens of an answer.
    """
    from agent.trial import RespondRequest, respond

    router = _router(embed, studied)
    far = tuple(one for part in asked for one in part if not router.is_studied([one]))
    if not far:
        return tried
    request = RespondRequest(base, None, (far,), most)
    [replies] = executor.run(respond, request, lambda progress: None)
    said = dict(zip(far, replies.texts, strict=True))
    texts = _replaced(asked[0], tried.replies.texts, said)
    control = _replaced(asked[1], tried.control, said)
    return replace(tried, replies=replace(tried.replies, texts=texts), control=control)


def _router(embed: "Embed", studied: Sequence[str]) -> "Router":
    from agent.routing import Router
    from memory.index import TextIndex

    with TemporaryDirectory(prefix="learnd-bench-") as empty:
        router = Router(TextIndex(Path(empty), "studied", embed, embed([""]).shape[1]), embed)
        router.refresh(studied, save=False)
    return router


def _replaced(
    asked: Sequence[str], texts: Sequence[str], said: Mapping[str, str]
) -> tuple[str, ...]:
    return tuple(said.get(one, text) for one, text in zip(asked, texts, strict=True))
