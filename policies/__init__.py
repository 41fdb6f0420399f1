"""The registry: built-in policies by name, then the entry-point group "learnd.policies"."""

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Final

from memory.errors import UnknownPolicy
from policies.al import AutonomousLearning
from policies.alas import Alas
from policies.base import Policy
from policies.daar import DiversitySelector
from policies.entst import EntailmentVerifier
from policies.evol_instruct import EvolInstruct
from policies.icm import InternalCoherence
from policies.lmsi import SelfImprovement
from policies.r_zero import RZero
from policies.seal import SelfEdits

__all__ = ["CONTROL", "POLICIES", "Policy", "known", "load"]

CONTROL: Final = "/control"  # after the name of a policy: its control
POLICIES: Mapping[str, Callable[[], Policy]] = {
    "al": AutonomousLearning,
    "alas": Alas,
    "daar": DiversitySelector,
    "entst": EntailmentVerifier,
    "evol_instruct": EvolInstruct,
    "icm": InternalCoherence,
    "lmsi": SelfImprovement,
    "r_zero": RZero,
    "seal": SelfEdits,
}


def known() -> list[str]:
    """The names of all policies that are installed."""
    return sorted({*POLICIES, *entry_points(group="learnd.policies").names})


def load(name: str) -> Policy:
    """A policy by name, or its control. Raises UnknownPolicy, which lists the known ones."""
    if name.endswith(CONTROL):
        return load(name.removesuffix(CONTROL)).controlled()
    if name in POLICIES:
        return POLICIES[name]()
    others = entry_points(group="learnd.policies")
    if name in others.names:
        policy: Policy = others[name].load()()
        return policy
    raise UnknownPolicy(f"no policy {name!r}; there are: {', '.join(known())}")
