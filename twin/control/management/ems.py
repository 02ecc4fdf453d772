"""The energy management system of each home (EMS): chooses the set-points of its batteries inside what it is handed.

In this order:

1. A home without valid guidance does what :class:`twin.control.rules.SelfConsumption` does, to the last bit.
2. Device limits hold always: :func:`models.battery.power_limits_kw`.
3. The reserve of the user: a battery ends a step below it only as far as the home's own rule would take it there.
   The share ``member_reserve_share`` of the window from ``soc_min`` to ``soc_max`` is thus never used for others.
4. The state of charge that a level above holds: above the user's reserve a battery is not discharged below it, not
   for the own home either. A battery at or below the user's reserve serves the own home freely.
5. The bounds at the meter, as far as the batteries can keep to them. PV is not curtailed.
6. The proposed set-point; where the guidance says which load and PV it was planned for, the batteries make up for the
   difference, so that the meter stays as planned.
7. Without a proposed set-point: self-consumption.

Bonuses are for homes that plan; this EMS follows set-points and bounds. H homes, B batteries.
"""

import numpy as np

from models.battery import power_limits_kw, retention
from twin.control.base import FloatArray, Observation, Site
from twin.control.management.guidance import Guidance, Priority
from twin.control.rules import self_consumption_kw
from twin.control.sharing import share_out_kw
from twin.plant import total_by
from twin.units import hours

__all__ = ["Ems", "keeping_kw", "own_rule_kw", "reserve_soc"]


def reserve_soc(site: Site) -> FloatArray:
    """Return the state of charge at which the reserve of the user begins, shape (B,); ``soc_min`` for no reserve."""
    share = np.zeros(site.n_homes)
    share[site.communities.member_home] = site.communities.member_reserve_share
    fleet = site.battery
    reserve: FloatArray = fleet.soc_min + share[site.battery_home] * (fleet.soc_max - fleet.soc_min)
    return reserve


def keeping_kw(site: Site, soc: FloatArray, *, keep_soc: FloatArray) -> FloatArray:
    """Return the lowest power that leaves each battery at ``keep_soc`` at the end of the step, shape (B,).

    Positive where a battery is below and has to be charged to get there; limited by the rated powers only.
    """
    fleet, dt_h = site.battery, hours(site.dt_s)
    over_kwh = (retention(fleet, site.dt_s) * soc - keep_soc) * fleet.capacity_kwh
    give_kw = np.minimum(fleet.discharge_kw, np.maximum(over_kwh, 0.0) * fleet.eta_discharge / dt_h)
    take_kw = np.minimum(fleet.charge_kw, np.maximum(-over_kwh, 0.0) / (fleet.eta_charge * dt_h))
    return take_kw - give_kw


def own_rule_kw(
    site: Site, net_kw: FloatArray, *, soc: FloatArray, hold_soc: FloatArray | None
) -> FloatArray:
    """Return what each battery does for its own home, shape (B,), while ``hold_soc`` is kept for others.

    Args:
        site: the plant.
        net_kw: load + PV of each home, shape (H,).
        soc: state of charge of each battery, shape (B,).
        hold_soc: state of charge to hold, shape (B,); None for none.
    """
    own_kw = self_consumption_kw(site, net_kw, soc=soc)
    return own_kw if hold_soc is None else np.maximum(own_kw, _held_kw(site, soc, hold_soc))


def _held_kw(site: Site, soc: FloatArray, hold_soc: FloatArray) -> FloatArray:
    """Return the lowest power that the state of charge to hold leaves, shape (B,), at most 0."""
    lowest_kw = np.minimum(keeping_kw(site, soc, keep_soc=hold_soc), 0.0)
    bound = (hold_soc > 0.0) & (soc > reserve_soc(site))
    return np.where(bound, lowest_kw, -site.battery.discharge_kw)


class Ems:
    """All homes' EMS at once."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._reserve_soc = reserve_soc(site)

    def choose_kw(self, seen: Observation, guidance: Guidance) -> FloatArray:
        """Return the set-point of each battery, shape (B,).

        Args:
            seen: the home's own readings of this step.
            guidance: what each home has been handed and has not expired.
        """
        own_kw = self_consumption_kw(self._site, seen.load_kw + seen.pv_kw, soc=seen.soc)
        return self._chosen_kw(seen, guidance, own_kw=own_kw, unasked_kw=own_kw)

    def _chosen_kw(
        self, seen: Observation, guidance: Guidance, *, own_kw: FloatArray, unasked_kw: FloatArray
    ) -> FloatArray:
        """Return the set-point of each battery, shape (B,).

        Args:
            seen: the home's own readings of this step.
            guidance: what each home has been handed and has not expired.
            own_kw: what self-consumption would do, shape (B,); the user's reserve is not used beyond it.
            unasked_kw: what batteries without a proposed set-point do, shape (B,).
        """
        guided = (guidance.priority > Priority.NONE)[self._site.battery_home]
        if not guided.any():
            return unasked_kw
        net_kw = seen.load_kw + seen.pv_kw
        lowest_kw, highest_kw = self._range_kw(own_kw, seen.soc, guidance)
        wished_kw = self._wished_kw(unasked_kw, net_kw, guidance, limits_kw=(lowest_kw, highest_kw))
        inside_kw = self._inside_bounds_kw(wished_kw, net_kw, guidance, limits_kw=(lowest_kw, highest_kw))
        chosen_kw: FloatArray = np.where(guided, inside_kw, unasked_kw)
        return chosen_kw

    def _range_kw(
        self, own_kw: FloatArray, soc: FloatArray, guidance: Guidance
    ) -> tuple[FloatArray, FloatArray]:
        """Return the lowest and highest power that device, user and the held state of charge leave, shape (B,) each."""
        site = self._site
        device_kw, highest_kw = power_limits_kw(site.battery, soc, site.dt_s)
        reserve_kw = np.minimum(keeping_kw(site, soc, keep_soc=self._reserve_soc), own_kw)
        lowest_kw = np.maximum(device_kw, reserve_kw)
        if guidance.hold_soc is not None:
            lowest_kw = np.maximum(lowest_kw, _held_kw(site, soc, guidance.hold_soc))
        return np.minimum(lowest_kw, highest_kw), highest_kw

    def _wished_kw(
        self,
        unasked_kw: FloatArray,
        net_kw: FloatArray,
        guidance: Guidance,
        *,
        limits_kw: tuple[FloatArray, FloatArray],
    ) -> FloatArray:
        """Return the proposed power, or ``unasked_kw``, moved so that the meter is as planned, shape (B,)."""
        lowest_kw, highest_kw = limits_kw
        unasked = np.isnan(guidance.battery_kw)
        asked_kw = np.where(unasked, unasked_kw, guidance.battery_kw)
        wished_kw = np.clip(asked_kw, lowest_kw, highest_kw)
        if guidance.planned_net_kw is None:
            return wished_kw
        home, n_homes = self._site.battery_home, self._site.n_homes
        planned = ~np.isnan(guidance.planned_net_kw) & (
            total_by(home, unasked.astype(np.float64), n_homes) == 0.0
        )
        planned_meter_kw = guidance.planned_net_kw + total_by(home, asked_kw, n_homes)
        meter_kw = net_kw + total_by(home, wished_kw, n_homes)
        missed_kw = np.where(planned, meter_kw - planned_meter_kw, 0.0)
        return self._moved_kw(wished_kw, missed_kw, limits_kw=limits_kw)

    def _inside_bounds_kw(
        self,
        wished_kw: FloatArray,
        net_kw: FloatArray,
        guidance: Guidance,
        *,
        limits_kw: tuple[FloatArray, FloatArray],
    ) -> FloatArray:
        meter_kw = net_kw + total_by(self._site.battery_home, wished_kw, self._site.n_homes)
        outside_kw = meter_kw - np.clip(meter_kw, guidance.grid_min_kw, guidance.grid_max_kw)
        return self._moved_kw(wished_kw, outside_kw, limits_kw=limits_kw)

    def _moved_kw(
        self, p_kw: FloatArray, excess_kw: FloatArray, *, limits_kw: tuple[FloatArray, FloatArray]
    ) -> FloatArray:
        """Return ``p_kw``, shape (B,), lowered by what each home's meter has too much, shape (H,), within limits."""
        lowest_kw, highest_kw = limits_kw
        home = self._site.battery_home
        less_kw = share_out_kw(np.maximum(excess_kw, 0.0), np.maximum(p_kw - lowest_kw, 0.0), home=home)
        more_kw = share_out_kw(np.maximum(-excess_kw, 0.0), np.maximum(highest_kw - p_kw, 0.0), home=home)
        moved_kw: FloatArray = np.clip(p_kw - less_kw + more_kw, lowest_kw, highest_kw)
        return moved_kw
