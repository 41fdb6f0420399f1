from collections.abc import Sequence
from dataclasses import replace
from math import nan

import pytest

from memory.records import Chunk, StudyItem
from policies.base import NO_DIRECTIVES, Candidate, Directives
from policies.pipeline import Pipeline, Studied
from policies.seal import BOUNDS, FORMATS, SelfEdits, directed, lines, prompt
from tests.helpers.tools import FakeTools, Generate

CHUNK = Chunk(3, 1, 0, "Servers", "The server Tarrick listens on port 9362. It has six lamps.")
ASKED = [
    Candidate(CHUNK, "The server Tarrick listens on port 9362.", "qa", f"Which {n}?", "9362", "al")
    for n in range(5)
]
WRITTEN = {
    "rewrite": "Tarrick is the server that listens on port 9362.",
    "implications": "- Port 9362 belongs to the server Tarrick.\n- Whales sing of love.",
}
VALUE = {"is the server that": -1.0, "belongs to the server": -0.5}  # what each teaches


def writing(prompt: str, temperature: float, seed: int) -> str:
    if "JSON" in prompt:
        return '{"learning_rate": 10, "epochs": 10000}'
    return WRITTEN["rewrite" if FORMATS["rewrite"] in prompt else "implications"]


def teaching(items: Sequence[StudyItem], examined: Sequence[StudyItem], seed: int) -> list[float]:
    value = sum(v for key, v in VALUE.items() if any(key in item.answer for item in items))
    return [value + 0.01 * seed] * len(examined)


def run(policy: SelfEdits, tools: FakeTools, given: Sequence[Candidate] = ASKED) -> Studied:
    class Others(SelfEdits):
        name = "al"

        def propose(self, chunks: object, tools: object, seed: int) -> list[Candidate]:
            return list(given)

        def diversify(
            self, candidates: Sequence[Candidate], tools: object, seed: int
        ) -> list[Candidate]:
            return list(candidates)

    return Pipeline([Others(), policy]).run([CHUNK], tools, 0)


def said(studied: Studied) -> list[str]:
    return [one.said for one in studied.trusted if one.policy == "seal"]


def test_the_format_that_taught_most_is_chosen() -> None:
    """Means -.995 and -.495 over two trainings that differ by .01: nothing of it is chance."""
    tools = FakeTools(writing, trial=teaching)
    studied = run(SelfEdits(("rewrite", "implications")), tools)
    assert said(studied) == ["Port 9362 belongs to the server Tarrick."]
    health = studied.health["seal"]
    assert health.reliability == pytest.approx(1 - (0.01**2 / 2 / 2) / (0.5**2 / 2))
    assert health.figures["gain"] == pytest.approx(0.25)
    assert health.coverage == 1.0 and health.abstained is None


def test_directives_out_of_bounds_are_bounded_and_kept_only_if_they_teach_more() -> None:
    tools = FakeTools(writing, trial=teaching)
    studied = run(SelfEdits(("rewrite", "implications")), tools)
    assert tools.trials[-1][3] == Directives(BOUNDS["learning_rate"][1], 16)
    assert studied.directives == NO_DIRECTIVES  # they changed nothing
    notes = " ".join(studied.health["seal"].notes)
    assert "learning_rate of 10 is out of bounds: 0.01" in notes
    assert "epochs of 10000 is out of bounds: 16" in notes and "not heeded" in notes


def test_directives_that_teach_more_are_heeded() -> None:
    class Better(FakeTools):
        def trial(
            self,
            items: Sequence[StudyItem],
            examined: Sequence[StudyItem],
            seed: int,
            directives: Directives = NO_DIRECTIVES,
        ) -> list[float]:
            gain = 0.1 if directives != NO_DIRECTIVES else 0.0
            return [one + gain for one in teaching(items, examined, seed)]

    studied = run(SelfEdits(("rewrite", "implications")), Better(writing))
    assert studied.directives == Directives(0.01, 16)
    assert studied.health["seal"].figures["directives_gain"] == pytest.approx(0.1)


@pytest.mark.parametrize("size", [1.0, nan])
def test_where_chance_decides_nothing_is_chosen(size: float) -> None:
    calls: list[int] = []

    def chance(items: object, examined: Sequence[StudyItem], seed: int) -> list[float]:
        calls.append(seed)
        return [[-size, size, size, -size][len(calls) - 1]] * len(examined)

    studied = run(SelfEdits(("rewrite", "implications")), FakeTools(writing, trial=chance))
    health = studied.health["seal"]
    assert health.reliability == 0.0 and "below" in (health.abstained or "")
    assert said(studied) == [WRITTEN["rewrite"]]  # the usual format, as its control
    assert studied.directives == NO_DIRECTIVES and len(calls) == 4


def test_without_questions_by_others_there_is_no_reward() -> None:
    tools = FakeTools(writing, trial=teaching)
    studied = run(SelfEdits(), tools, [replace(ASKED[0], kind="keywords")])
    assert "no chunk has 4 questions" in (studied.health["seal"].abstained or "")
    assert said(studied) == [WRITTEN["rewrite"]] and not tools.trials


def test_the_control_tries_nothing() -> None:
    tools = FakeTools(writing, trial=teaching)
    control = SelfEdits().controlled()
    assert isinstance(control, SelfEdits)
    assert said(run(control, tools)) == [WRITTEN["rewrite"]] and not tools.trials


@pytest.mark.parametrize("generate", [lambda *given: "", lambda *given: "Whales sing of love."])
def test_a_writer_without_a_grounded_line_adds_nothing(generate: Generate) -> None:
    studied = run(SelfEdits(("rewrite", "long")), FakeTools(generate, trial=teaching))
    assert said(studied) == [] and studied.health["seal"].coverage == 0.0
    assert list(studied.trusted) == ASKED


def test_the_same_line_fifty_times_counts_once() -> None:
    [line] = lines(CHUNK, f"1. {WRITTEN['rewrite']}\n" * 50)
    assert line.said == WRITTEN["rewrite"] and line.kind == "text"
    assert line.evidence == "The server Tarrick listens on port 9362."


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Tarrick is a server. The server listens on port 9362 for us.", 2),
        ("Which port has Tarrick? Port 9362 of the server.", 1),
        ("Which port has the server Tarrick?", 0),  # without an answer
        ("It has six lamps.", 0),  # as the text says it itself
        ("* The server Tarrick has port 9361.", 0),
        ("Port 9362.", 0),
    ],
)
def test_statements_in_new_words_are_kept(written: str, kept: int) -> None:
    assert len(list(lines(CHUNK, written))) == kept


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"learning_rate": 0.002, "epochs": 4}', Directives(0.002, 4)),
        ('Sure! {"learning_rate": 1e-9, "epochs": -3} Good luck.', Directives(1e-3, 2)),
        ('{"epochs": 4}', Directives(None, 4)),
        ('{"learning_rate": "fast", "epochs": true}', NO_DIRECTIVES),
        ('{"learning_rate": NaN, "epochs": Infinity}', NO_DIRECTIVES),
        ('{"learning_rate": 0.002, "epochs"', NO_DIRECTIVES),
        ("[1, 2]", NO_DIRECTIVES),
        ("", NO_DIRECTIVES),
    ],
)
def test_directives_are_read_out_of_what_was_said(text: str, found: Directives) -> None:
    directives, notes = directed(text)
    assert directives == found
    assert bool(notes) == (text != '{"learning_rate": 0.002, "epochs": 4}')


def test_each_format_has_its_prompt_with_the_passage() -> None:
    prompts = {prompt(CHUNK, one) for one in FORMATS}
    assert len(prompts) == 5 and all(CHUNK.text in one for one in prompts)
