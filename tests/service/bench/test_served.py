from pathlib import Path
from typing import Any

from agent.executor import Report
from agent.trial import Replies, Trial
from memory.taught import Taught
from service.bench.served import served
from tests.helpers.embedding import embed

NEAR, FAR = "what does the ferry Tarrick carries to Ruhm", "who painted that ceiling"
SAID = "the ferry Tarrick carries 12 goats to Ruhm."
STUDIED = Taught((f"Ferries: {SAID}",), (SAID,), (NEAR,))


class Base:
    """An executor whose model always says the same."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def run(self, job: Any, request: Any, report: Report) -> Any:
        self.asked += request.batches
        return [Replies(("the base",) * len(request.batches[0]), 5, 0.1)]

    def free(self) -> None: ...

    def close(self) -> None: ...


def trial_of(*texts: str) -> Trial:
    return Trial(Replies(texts, 9, 1.5), 2.0, 30, ("control",))


def test_far_questions_get_the_answer_of_the_base() -> None:
    base = Base()
    tried = trial_of("near", "far")
    found = served(base, Path("base"), embed, STUDIED, ((NEAR, FAR), (FAR,)), tried, 24)
    assert (found.replies.texts, found.control) == (("near", "the base"), ("the base",))
    assert base.asked == [(FAR, FAR)]
    assert (found.seconds, found.tokens, found.replies.seconds) == (2.0, 30, 1.5)


def test_where_all_is_near_the_base_is_not_asked() -> None:
    base = Base()
    tried = trial_of("near")
    assert served(base, Path("base"), embed, STUDIED, ((NEAR,), (NEAR,)), tried, 24) == tried
    assert not base.asked
