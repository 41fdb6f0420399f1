from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agent.activations import Activations
from agent.losses import Example

EXAMPLES = [Example((5, 6, 7), 1), Example((5, 6, 8), 1), Example((9, 9), 1)]
SEEN = [replace(one, states=torch.randn(len(one), 4)) for one in EXAMPLES]


@pytest.fixture
def kept(tmp_path: Path) -> Activations:
    return Activations(tmp_path / "kept", "these layers")


def test_what_was_kept_is_found_by_its_tokens(kept: Activations) -> None:
    kept.add(SEEN[:1])
    kept.add(SEEN[2:])
    found = kept.find(EXAMPLES)
    assert sorted(found) == [0, 2]
    for place, states in found.items():
        expected = SEEN[place].states
        assert expected is not None and torch.equal(states, expected)


def test_the_same_tokens_twice_are_found_twice(kept: Activations) -> None:
    kept.add(SEEN[:1])
    assert sorted(kept.find([EXAMPLES[0], EXAMPLES[0]])) == [0, 1]


def test_other_layers_know_nothing_of_it(kept: Activations) -> None:
    kept.add(SEEN)
    assert replace(kept, about="other layers").find(EXAMPLES) == {}


def test_the_oldest_make_room(kept: Activations) -> None:
    for one in SEEN:
        kept.add([one])
    assert kept.directory is not None
    size = max(file.stat().st_size for file in kept.directory.iterdir())
    replace(kept, most=2 * size).add([replace(SEEN[0], tokens=(1, 1, 1))])
    assert sorted(kept.find(EXAMPLES)) == [2]


def test_a_damaged_file_is_overlooked(kept: Activations) -> None:
    kept.add(SEEN)
    assert kept.directory is not None
    [file] = kept.directory.iterdir()
    file.write_bytes(file.read_bytes()[:40])
    assert kept.find(EXAMPLES) == {}
    kept.add(SEEN)
    assert len(kept.find(EXAMPLES)) == 3


def test_without_a_directory_nothing_is_kept() -> None:
    kept = Activations(None, "these layers")
    kept.add(SEEN)
    assert kept.find(EXAMPLES) == {}
