"""Every error says something on its own, and the docstring's tree is the real one."""

import re

import pytest

from memory import errors
from memory.errors import LearndError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_docstring_is_the_message(kind: type[LearndError]) -> None:
    assert str(kind()) == (kind.__doc__ or "").strip() != ""
    assert str(kind("disk 7 is on fire")) == "disk 7 is on fire"


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    drawn: dict[str, str] = {}
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"([│├└─ ]*)([A-Z]\w+)(?:\s{2,}|$)", line):
            depth = len(found[1]) // 4
            above[depth] = found[2]
            if depth:
                drawn[found[2]] = above[depth - 1]
    real = {kind.__name__: kind.__base__.__name__ for kind in KINDS if kind.__base__ is not None}
    real.pop("LearndError")
    assert drawn == real
