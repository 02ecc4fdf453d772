"""Batteries run ahead through a window: what becomes of a plan, and what homes without a plan will do by themselves."""

import numpy as np
from numpy.typing import NDArray

from models.battery import advance, power_limits_kw
from twin.control.base import FloatArray, Site
from twin.control.management.ems import keeping_kw
from twin.control.rules import self_consumption_kw
from twin.plant import total_by

__all__ = ["own_rule_ahead_kw", "rolled_out", "unplanned_meter_kw"]


def rolled_out(
    site: Site, soc: FloatArray, wished_kw: FloatArray, *, keep_soc: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the power that batteries reach over n steps, shape (n, B), and their state of charge, shape (n + 1, B).

    Args:
        site: the plant.
        soc: state of charge at the start, shape (B,).
        wished_kw: power asked of each battery, shape (n, B).
        keep_soc: state of charge below which a battery is not discharged in each step, shape (n, B).
    """
    reached_kw = np.empty_like(wished_kw)
    course = np.empty((len(wished_kw) + 1, site.battery.n))
    course[0] = soc
    for t, wish_kw in enumerate(wished_kw):
        lowest_kw, highest_kw = power_limits_kw(site.battery, course[t], site.dt_s)
        lowest_kw = np.maximum(lowest_kw, np.minimum(keeping_kw(site, course[t], keep_soc=keep_soc[t]), 0.0))
        reached_kw[t] = np.clip(wish_kw, lowest_kw, highest_kw)
        course[t + 1], _ = advance(site.battery, course[t], reached_kw[t], site.dt_s)
    return reached_kw, course


def own_rule_ahead_kw(site: Site, soc: FloatArray, net_kw: FloatArray) -> FloatArray:
    """Return what batteries will do if each home serves itself, shape (n, B).

    Args:
        site: the plant.
        soc: state of charge at the start, shape (B,); NaN where not known, and the result is NaN there.
        net_kw: load + PV of each home, shape (n, H).
    """
    power_kw = np.empty((len(net_kw), site.battery.n))
    for t, now_kw in enumerate(net_kw):
        power_kw[t] = self_consumption_kw(site, now_kw, soc=soc)
        soc, _ = advance(site.battery, soc, power_kw[t], site.dt_s)
    return power_kw


def unplanned_meter_kw(
    site: Site, soc: FloatArray, net_kw: FloatArray, *, planned: NDArray[np.bool_]
) -> FloatArray:
    """Return the meters of homes that no plan is made for, if each serves itself, shape (n, H).

    Args:
        site: the plant.
        soc: state of charge at the start, shape (B,); a battery whose state is not known counts as none.
        net_kw: load + PV of each home, shape (n, H); a home with NaN in it counts as 0.
        planned: homes that a plan is made for, shape (H,); 0 in the result.
    """
    there = ~planned & np.isfinite(net_kw).all(axis=0)
    meter_kw = np.where(there, net_kw, 0.0)
    if there[site.battery_home].any():
        own_kw = own_rule_ahead_kw(site, soc, net_kw)
        own_kw = np.where(there[site.battery_home] & np.isfinite(own_kw), own_kw, 0.0)
        meter_kw += np.array([total_by(site.battery_home, now_kw, site.n_homes) for now_kw in own_kw])
    return meter_kw
