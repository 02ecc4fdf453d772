"""A scenario as an environment of Gymnasium, and strategies in it.

    from twin.environment import ControllerPolicy, TwinEnv

:class:`TwinEnv` and :class:`ControllerPolicy` need ``pip install 'gemello[gym]'``; :class:`PolicyController`, which
runs a trained policy as a strategy, does not.
"""

import importlib
from typing import TYPE_CHECKING, Any

from twin.environment.actions import ActionLayout, Actions
from twin.environment.observations import ObservationLayout
from twin.environment.policy import PolicyController
from twin.environment.reward import CostAndVoltage, Reward, StepOutcome
from twin.environment.window import part_of

if TYPE_CHECKING:
    from twin.environment.env import ControllerPolicy, TwinEnv

__all__ = [
    "ActionLayout",
    "Actions",
    "ControllerPolicy",
    "CostAndVoltage",
    "ObservationLayout",
    "PolicyController",
    "Reward",
    "StepOutcome",
    "TwinEnv",
    "part_of",
]


def __getattr__(name: str) -> Any:
    """Import what needs gymnasium only when it is asked for."""
    if name in {"ControllerPolicy", "TwinEnv"}:
        return getattr(importlib.import_module("twin.environment.env"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
