"""Rules: strategies that look at the present step only.

Every proposal lies within :func:`models.battery.power_limits_kw`, so a battery can follow it for the whole step.
"""

from dataclasses import replace
from typing import ClassVar

import numpy as np

from models.battery import power_limits_kw
from twin.control.base import FloatArray, Observation, Proposal, Site
from twin.control.management.levels import Settles
from twin.control.sharing import share_out_kw
from twin.plant import total_by

__all__ = ["NoControl", "PeakShaving", "SelfConsumption", "self_consumption_kw"]


class NoControl:
    """Batteries rest; PV feeds in all it can."""

    level: ClassVar[int] = 0
    settles: ClassVar[Settles] = "community"

    def __init__(self, site: Site) -> None:
        self._battery_kw = np.zeros(len(site.battery_home))

    def decide(self, seen: Observation) -> Proposal:
        """Return 0 kW for every battery."""
        del seen
        return Proposal(battery_kw=self._battery_kw.copy())


class SelfConsumption:
    """Each home for itself: the battery takes the home's surplus and covers its deficit, as far as it can.

    The meter of a home rests at 0 kW while its batteries have room and energy. Several batteries of a home share
    in proportion to the power they have available.
    """

    level: ClassVar[int] = 1
    settles: ClassVar[Settles] = "community"

    def __init__(self, site: Site) -> None:
        self._site = site

    def decide(self, seen: Observation) -> Proposal:
        """Return charging from surplus and discharging into deficit."""
        return Proposal(battery_kw=self_consumption_kw(self._site, seen.load_kw + seen.pv_kw, soc=seen.soc))


def self_consumption_kw(site: Site, net_kw: FloatArray, *, soc: FloatArray) -> FloatArray:
    """Return the power of each battery, shape (B,), that takes the surplus and covers the deficit of its home.

    Args:
        site: the plant.
        net_kw: load + PV of each home, shape (H,).
        soc: state of charge of each battery, shape (B,).
    """
    lowest_kw, highest_kw = power_limits_kw(site.battery, soc, site.dt_s)
    charge_kw = share_out_kw(np.maximum(-net_kw, 0.0), highest_kw, home=site.battery_home)
    discharge_kw = share_out_kw(np.maximum(net_kw, 0.0), -lowest_kw, home=site.battery_home)
    return charge_kw - discharge_kw


class PeakShaving:
    """Each home for itself: hold the meter between ``-export_limit_kw`` and ``limit_kw``.

    With ``net = load + PV`` of the home and a reserve in the middle of the battery's window, in this order:

    1. ``net > limit_kw``: discharge the excess, also out of the reserve.
    2. ``0 < net``: energy above the reserve covers what is left of the home's load. This makes room for the next
       feed-in peak.
    3. ``net < -export_limit_kw``: charge the excess feed-in up to full. Without an export limit all surplus counts
       as excess.
    4. Below the reserve: charge up to the reserve, from surplus and from the grid, as long as the meter stays at or
       below ``charge_limit_kw``. With ``charge_limit_kw=0`` only surplus refills the reserve.

    Args:
        site: the plant.
        limit_kw: import that a home should not exceed [kW], at least 0.
        charge_limit_kw: import up to which the grid refills the reserve [kW], at most ``limit_kw``; half of
            ``limit_kw`` unless given, because all homes of a feeder refill at the same time.
        export_limit_kw: feed-in that a home should not exceed [kW], at least 0.
        reserve_share: size of the reserve as a share of the window from ``soc_min`` to ``soc_max``, above 0 and
            below 1.

    Raises:
        ValueError: a parameter is outside its range.
    """

    level: ClassVar[int] = 1
    settles: ClassVar[Settles] = "community"

    def __init__(
        self,
        site: Site,
        *,
        limit_kw: float,
        charge_limit_kw: float | None = None,
        export_limit_kw: float | None = None,
        reserve_share: float = 0.5,
    ) -> None:
        self._site = site
        self._limit_kw = _at_least_zero("limit_kw", limit_kw)
        self._charge_limit_kw = (
            0.5 * limit_kw if charge_limit_kw is None else _at_least_zero("charge_limit_kw", charge_limit_kw)
        )
        if self._charge_limit_kw > limit_kw:
            raise ValueError(
                f"charge_limit_kw must be at most limit_kw {limit_kw:g} (got {charge_limit_kw:g})"
            )
        # without an export limit every kW of surplus is worth storing
        self._stored_above_kw = (
            0.0 if export_limit_kw is None else _at_least_zero("export_limit_kw", export_limit_kw)
        )
        if not 0.0 < reserve_share < 1.0:
            raise ValueError(f"reserve_share must be above 0 and below 1 (got {reserve_share:g})")
        fleet = site.battery
        reserve_soc = fleet.soc_min + reserve_share * (fleet.soc_max - fleet.soc_min)
        self._above_reserve = replace(fleet, soc_min=reserve_soc)
        self._below_reserve = replace(fleet, soc_max=reserve_soc)

    def decide(self, seen: Observation) -> Proposal:
        """Return the set-points of the rule."""
        net_kw = seen.load_kw + seen.pv_kw
        return Proposal(battery_kw=self._charge_kw(net_kw, seen.soc) - self._discharge_kw(net_kw, seen.soc))

    def _discharge_kw(self, net_kw: FloatArray, soc: FloatArray) -> FloatArray:
        site = self._site
        lowest_kw, _ = power_limits_kw(site.battery, soc, site.dt_s)
        lowest_spare_kw, _ = power_limits_kw(self._above_reserve, soc, site.dt_s)
        peak_kw = share_out_kw(np.maximum(net_kw - self._limit_kw, 0.0), -lowest_kw, home=site.battery_home)
        left_kw = np.maximum(net_kw - total_by(site.battery_home, peak_kw, site.n_homes), 0.0)
        spare_kw = np.maximum(-lowest_spare_kw - peak_kw, 0.0)
        return peak_kw + share_out_kw(left_kw, spare_kw, home=site.battery_home)

    def _charge_kw(self, net_kw: FloatArray, soc: FloatArray) -> FloatArray:
        site = self._site
        _, highest_kw = power_limits_kw(site.battery, soc, site.dt_s)
        _, highest_refill_kw = power_limits_kw(self._below_reserve, soc, site.dt_s)
        excess_kw = np.maximum(-net_kw - self._stored_above_kw, 0.0)
        stored_kw = share_out_kw(excess_kw, highest_kw, home=site.battery_home)
        taken_kw = total_by(site.battery_home, stored_kw, site.n_homes)
        refill_kw = np.maximum(self._charge_limit_kw - net_kw - taken_kw, 0.0)
        room_kw = np.maximum(highest_refill_kw - stored_kw, 0.0)
        return stored_kw + share_out_kw(refill_kw, room_kw, home=site.battery_home)


def _at_least_zero(name: str, value: float) -> float:
    if not 0.0 <= value < np.inf:
        raise ValueError(f"{name} must be at least 0 and finite (got {value:g})")
    return float(value)
