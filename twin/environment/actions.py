"""Actions of an agent and proposals of a strategy, one into the other. B batteries, P PV generators."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from twin.control import Proposal, Site
from twin.errors import InputError

__all__ = ["ActionLayout", "Actions"]

FloatArray = NDArray[np.float64]
Actions = Literal["battery", "battery_and_pv"]
"""What an agent decides: set-points of batteries, or these and a feed-in limit of each PV generator."""


class ActionLayout:
    """What each value of an action means, shape (B,) or (B + P,).

    A battery takes -1 to 1: the share of its rated charging power where positive, of its rated discharging power
    where negative. A PV generator takes 0 to 1: the largest feed-in as a share of rated power, 1 for no limit.
    """

    def __init__(self, site: Site, actions: Actions = "battery") -> None:
        """Take the rated powers of the devices.

        Raises:
            InputError: there is no such choice of actions, or no device to act on.
        """
        if actions not in get_args(Actions):
            raise InputError(
                f"actions: {actions!r} is not known; choose one of {', '.join(get_args(Actions))}"
            )
        n_pv = len(site.pv_home) if actions == "battery_and_pv" else 0
        self._n_batteries = site.battery.n
        self._charge_kw, self._discharge_kw = site.battery.charge_kw, site.battery.discharge_kw
        self._pv_kw = site.pv_rated_kw[:n_pv]
        self.low = np.concatenate((np.full(self._n_batteries, -1.0), np.zeros(n_pv)))
        """Smallest value of each action."""
        self.high = np.ones(self._n_batteries + n_pv)
        self.names = (
            *(f"battery {i} of {site.home_name[home]}" for i, home in enumerate(site.battery_home)),
            *(f"PV {i} of {site.home_name[home]}" for i, home in enumerate(site.pv_home[:n_pv])),
        )
        if not self.names:
            raise InputError(
                f"actions {actions!r}: the scenario has no such device, so there is nothing to decide; add batteries"
                " (or PV and actions='battery_and_pv')"
            )

    def proposal(self, action: NDArray[np.floating]) -> Proposal:
        """Return what an action asks for; values outside the bounds count as the bound.

        Raises:
            ValueError: a wrong shape, or a value that is not a number.
        """
        values = np.asarray(action, dtype=np.float64)
        if values.shape != self.low.shape:
            raise ValueError(
                f"an action has shape {self.low.shape}, one value for each of action_names (got {values.shape})"
            )
        if np.isnan(values).any():
            worst = int(np.flatnonzero(np.isnan(values))[0])
            raise ValueError(
                f"action {worst} ({self.names[worst]}) is not a number; look at the policy's output"
            )
        values = np.clip(values, self.low, self.high)
        share = values[: self._n_batteries]
        battery_kw = np.where(share > 0.0, share * self._charge_kw, share * self._discharge_kw)
        if len(values) == self._n_batteries:
            return Proposal(battery_kw=battery_kw)
        allowed = values[self._n_batteries :]
        limit_kw = np.where(allowed < 1.0, allowed * self._pv_kw, np.inf)
        return Proposal(battery_kw=battery_kw, pv_limit_kw=limit_kw)

    def action(self, proposal: Proposal) -> NDArray[np.float32]:
        """Return a proposal as an action, rounded to float32 and cut at the rated powers.

        Limits of PV generators are dropped where only batteries are decided.
        """
        power_kw = proposal.battery_kw
        rated_kw = np.where(power_kw > 0.0, self._charge_kw, self._discharge_kw)
        share = _share(power_kw, rated_kw)
        if len(self.low) == self._n_batteries:
            return _cut(share, self.low)
        limit_kw = np.full(len(self._pv_kw), np.inf) if proposal.pv_limit_kw is None else proposal.pv_limit_kw
        allowed = np.where(np.isinf(limit_kw), 1.0, _share(np.minimum(limit_kw, self._pv_kw), self._pv_kw))
        return _cut(np.concatenate((share, allowed)), self.low)


def _share(power_kw: FloatArray, rated_kw: FloatArray) -> FloatArray:
    share: FloatArray = np.divide(power_kw, rated_kw, out=np.zeros_like(rated_kw), where=rated_kw > 0.0)
    return share


def _cut(values: FloatArray, low: FloatArray) -> NDArray[np.float32]:
    return np.clip(values, low, 1.0).astype(np.float32)
