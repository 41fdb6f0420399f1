"""Files of examples: each bad line is named."""

import json

import pytest

from memory.errors import BadDocument
from policies.examples import LEAST, Example, parse, read, written

GOOD = [Example(f"input {n}", f"output {n}") for n in range(LEAST)]


def test_what_is_written_is_read() -> None:
    tricky = [*GOOD, Example('a "b"\nc\u2028d', "é\\n"), Example("tab\there", "{}")]
    assert parse(written(tricky)) == read(written(tricky)) == tricky


def test_blank_lines_and_repetitions_are_no_examples() -> None:
    lines = written([*GOOD, *GOOD[:3]]).replace("\n", "\n\n")
    assert parse(lines + "\n") == GOOD


def test_spaces_around_are_nobodys_answer() -> None:
    spaced = Example(" input 0 ", "output 0\n")
    assert parse(written([spaced, *GOOD[1:]])) == GOOD


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 13 is no JSON"),
        ("[" * 100_000, "line 13 is no JSON"),
        ("[1, 2]", "line 13 is not of the form"),
        ('{"input": "a", "output": "b", "n": ' + "1" * 5_000 + "}", "line 13 is no JSON"),
        ('{"input": "a"}', "line 13 is not of the form"),
        ('{"input": "a", "output": 5}', "line 13 is not of the form"),
        ('{"input": " ", "output": "b"}', "line 13 is not of the form"),
        ('{"input": "input 3", "output": "another"}', "lines 4 and 13 answer the same input"),
        (json.dumps({"input": "a" * 2_000, "output": "b"}), "line 13 is longer than 2,000"),
    ],
)
def test_bad_lines(line: str, reason: str) -> None:
    with pytest.raises(BadDocument, match=reason):
        parse(f"{written(GOOD)}\n{line}")


@pytest.mark.parametrize("count", [0, LEAST - 1, 2_001])
def test_too_few_and_too_many(count: int) -> None:
    examples = [Example(f"input {n}", "output") for n in range(count)]
    with pytest.raises(BadDocument, match=f"^{count:,} different examples; .* 12 to 2,000"):
        parse(written(examples))


def test_there_is_a_limit_to_all_of_them() -> None:
    examples = [Example(f"{n} " + "word " * 300, "output") for n in range(140)]
    with pytest.raises(BadDocument, match="characters of examples; 200,000 are the most"):
        parse(written(examples))
