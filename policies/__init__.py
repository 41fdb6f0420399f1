"""The registry: built-in policies by name, then the entry-point group "learnd.policies"."""

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points

from memory.errors import UnknownPolicy
from policies.al import AutonomousLearning
from policies.base import Policy

__all__ = ["POLICIES", "Policy", "load"]

POLICIES: Mapping[str, Callable[[], Policy]] = {"al": AutonomousLearning}


def load(name: str) -> Policy:
    """A policy by name. Raises UnknownPolicy, which lists the known ones."""
    if name in POLICIES:
        return POLICIES[name]()
    others = entry_points(group="learnd.policies")
    if name in others.names:
        policy: Policy = others[name].load()()
        return policy
    known = ", ".join(sorted({*POLICIES, *others.names}))
    raise UnknownPolicy(f"no policy {name!r}; there are: {known}")
