"""Several policies in one batch, and what becomes of those that misbehave."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan

import pytest

from memory.errors import GaveWay, PoliciesFailed
from memory.records import Chunk, Health
from policies import load
from policies.base import Candidate, Directives, Policy, Scored, Tools
from policies.pipeline import Pipeline, Studied
from policies.selection import select
from tests.helpers.tools import FakeTools

CHUNK = Chunk(3, 1, 0, "Systems > Servers", "There is one server. It listens on port 9362.")
ONE = Candidate(CHUNK, "It listens on port 9362.", "qa", "Which port?", "9362", "fixed")
TWO = replace(ONE, question="What number has its port?")


class Fixed(Policy):
    """Proposes, scores, chooses and says what it was told to."""

    def __init__(
        self,
        name: str = "fixed",
        proposed: Sequence[Candidate] = (),
        scores: Sequence[float] | None = None,
        health: Health | None = None,
        chosen: Sequence[Candidate] | None = None,
    ) -> None:
        self.name = name
        self.proposed, self.scores, self.chosen = proposed, scores, chosen
        self.health = health or Health()

    def propose(self, chunks: Sequence[Chunk], tools: Tools, seed: int) -> list[Candidate]:
        return list(self.proposed)

    def score(self, candidates: Sequence[Candidate], tools: Tools, seed: int) -> list[float]:
        return [1.0] * len(candidates) if self.scores is None else list(self.scores)

    def select(self, trusted: Scored, tools: Tools, seed: int) -> Scored:
        return trusted if self.chosen is None else dict.fromkeys(self.chosen, 1.0)

    def diagnose(self, candidates: Sequence[Candidate], trusted: Scored) -> Health:
        return self.health


class Broken(Fixed):
    """Raises in one step."""

    def __init__(self, step: str, error: Exception | None = None, name: str = "broken") -> None:
        super().__init__(name, [replace(TWO, policy=name)])
        setattr(self, step, self._break)
        self._error = error or ZeroDivisionError("by its own fault")

    def _break(self, *given: object) -> None:
        raise self._error


def run(*policies: Policy) -> Studied:
    return Pipeline(policies).run([CHUNK], FakeTools(), 0)


def test_the_strictest_score_counts() -> None:
    studied = run(Fixed(proposed=[ONE, TWO], scores=[0.9, 0.5]), Fixed("other", scores=[0.4, 2.0]))
    assert studied.trusted == {ONE: 0.4, TWO: 0.5}
    assert list(studied.health) == ["fixed", "other"]


def test_nothing_is_judged_twice() -> None:
    assert run(Fixed(proposed=[ONE] * 50, scores=[0.5])).trusted == {ONE: 0.5}


STEPS = ("propose", "diversify", "score", "select", "directives", "diagnose")


@pytest.mark.parametrize("step", STEPS)
def test_the_batch_goes_on_without_a_policy_that_raises(step: str) -> None:
    studied = run(Broken(step), Fixed(proposed=[ONE]))
    assert studied.trusted == {ONE: 1.0}
    trace = studied.health["broken"].failed
    assert trace and "by its own fault" in trace and "_break" in trace
    assert studied.health["fixed"].failed is None


def test_if_none_is_left_that_is_said() -> None:
    with pytest.raises(PoliciesFailed, match="one: ZeroDivisionError: by its own fault"):
        run(Broken("propose", name="one"), Broken("score", name="other"))


@pytest.mark.parametrize("error", [GaveWay(), OSError("No space left on device")])
def test_what_is_not_its_fault_stops_the_batch(error: Exception) -> None:
    with pytest.raises(type(error)):
        run(Broken("propose", error), Fixed(proposed=[ONE]))


@pytest.mark.parametrize(
    ("scores", "trusted"),
    [
        ([nan, 0.5], {TWO: 0.5}),
        ([inf, -inf], {ONE: 1.0}),
        ([0.0, 0.0], {}),
        ([nan, nan], {ONE: 1.0, TWO: 1.0}),  # it judged nothing: it failed
        ([0.5], {ONE: 1.0, TWO: 1.0}),
    ],
)
def test_scores_that_are_none(scores: Sequence[float], trusted: Scored) -> None:
    studied = run(Fixed(proposed=[ONE, TWO]), Fixed("judge", scores=scores))
    assert studied.trusted == trusted
    judge = studied.health["judge"]
    assert bool(judge.failed) == (len(trusted) == 2)


def test_what_is_dropped_is_said() -> None:
    notes = run(Fixed(proposed=[ONE, TWO]), Fixed("judge", scores=[nan, 0.0])).health["judge"].notes
    assert notes == ("1 scores were no numbers: not trusted", "trusts none of 2 candidates")


def test_with_no_candidate_left_the_text_is_studied_as_it_stands() -> None:
    plan = select([CHUNK], run(Fixed(proposed=[ONE], scores=[0.0])).trusted, 1, 0)
    assert [item.kind for item in plan.items] == ["text", "text"]
    assert not plan.probes


@pytest.mark.parametrize("reliability", [0.29, nan, -inf])
def test_an_unreliable_reward_is_not_heeded(reliability: float) -> None:
    health = Health(reliability=reliability)
    studied = run(Fixed(proposed=[ONE, TWO], scores=[0.2, 0.0], health=health, chosen=[ONE]))
    assert studied.trusted == {ONE: 1.0, TWO: 1.0}
    assert "is below 0.3" in (studied.health["fixed"].abstained or "")


def test_a_reliable_one_is() -> None:
    studied = run(Fixed(proposed=[ONE, TWO], health=Health(reliability=0.3), chosen=[ONE]))
    assert studied.trusted == {ONE: 1.0}


def test_a_choice_of_nothing_or_of_strangers_is_not_heeded() -> None:
    stranger = replace(ONE, question="Who?")
    for chosen in ([], [stranger]):
        studied = run(Fixed(proposed=[ONE]), Fixed("chooser", chosen=chosen))
        assert studied.trusted == {ONE: 1.0}
        assert studied.health["chooser"].notes == ("chose none of 1: not heeded",)


def test_the_first_directives_count_but_not_of_one_that_abstained() -> None:
    class Directing(Fixed):
        def directives(self) -> Directives:
            return Directives(epochs=len(self.name))

    silent = Directing("silent", health=Health(abstained="too little"))
    assert run(silent, Directing("five5"), Directing("six666")).directives == Directives(epochs=5)
    assert run(silent).directives == Directives()


def test_figures_that_are_not_finite_are_left_out() -> None:
    given = Health(entropy=nan, coverage=0.5, figures={"gain": inf, "kept": 2.0})
    health = run(Fixed(proposed=[ONE], health=given)).health["fixed"]
    assert health == Health(coverage=0.5, figures={"kept": 2.0})


def test_an_empty_writer_leaves_what_rules_make() -> None:
    studied = Pipeline([load("al")]).run([CHUNK], FakeTools(), 0)
    assert {one.kind for one in studied.trusted} == {"keywords"}
    assert Pipeline([load("al")]).run([], FakeTools(), 0).trusted == {}
