"""A trained policy as a strategy."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from twin.control import Observation, Proposal, Site
from twin.environment.actions import ActionLayout, Actions
from twin.environment.observations import ObservationLayout

__all__ = ["PolicyController"]

Float32Array = NDArray[np.float32]


class PolicyController:
    """Runs a policy that was trained in :class:`twin.environment.TwinEnv` wherever a strategy runs.

    Args:
        site: the plant; its devices and their order must be those of the training.
        policy: from an observation to an action, both flat float32 arrays as in the environment.
        actions: as in the environment.
    """

    def __init__(
        self, site: Site, policy: Callable[[Float32Array], Float32Array], *, actions: Actions = "battery"
    ) -> None:
        self._policy = policy
        self._observations, self._actions = ObservationLayout(site), ActionLayout(site, actions)

    def decide(self, seen: Observation) -> Proposal:
        """Return what the policy asks for."""
        return self._actions.proposal(self._policy(self._observations.values(seen)))
