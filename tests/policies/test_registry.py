import subprocess
import sys

import pytest

import policies
from memory.errors import UnknownPolicy
from policies.base import Policy


def test_every_policy_has_its_name_and_a_role() -> None:
    for name in policies.POLICIES:
        policy = policies.load(name)
        assert isinstance(policy, Policy) and policy.name == name
        assert policy.role and policy.control
        assert isinstance(policies.load(name + policies.CONTROL), Policy)
    assert set(policies.POLICIES) <= set(policies.known())


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownPolicy, match="there are: al"):
        policies.load("nothing")


def test_policies_load_nothing_heavy() -> None:
    heavy = "('torch', 'faiss', 'transformers')"
    check = f"import sys, policies; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
