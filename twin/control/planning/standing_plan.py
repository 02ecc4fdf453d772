"""The plan that a level stands by until the next one: where it takes the batteries, and what of it can be carried on.

H homes, B batteries, n steps.
"""

from dataclasses import dataclass

import numpy as np

from twin.control.base import FloatArray, IntArray, Site
from twin.control.planning.outlook import Outlook
from twin.control.planning.rollout import rolled_out

__all__ = ["Carried", "StandingPlan", "carried_on", "standing"]


@dataclass(frozen=True, kw_only=True, eq=False)
class StandingPlan:
    """A plan for all pools."""

    step: int
    """Step it begins in."""
    battery_kw: FloatArray
    """Shape (n, B); NaN for batteries that are not planned."""
    net_kw: FloatArray
    """Load + PV that it was made for, shape (n, H)."""
    soc: FloatArray
    """Shape (n + 1, B); NaN for batteries that are not planned."""
    import_bonus_eur_kwh: FloatArray
    """What a kWh drawn by each home is worth to its pool, shape (n, H); 0 for homes that are not planned."""
    export_bonus_eur_kwh: FloatArray
    """What a kWh fed in by each home is worth to its pool, shape (n, H)."""

    @property
    def n_steps(self) -> int:
        """Number of steps n."""
        return len(self.battery_kw)

    def soc_by(self, site: Site, step: int, *, soc: FloatArray, age_steps: IntArray) -> FloatArray:
        """Return the state of charge at the start of ``step``, shape (B,), from readings that are late.

        Args:
            site: the plant.
            step: present step.
            soc: state of charge as read, shape (B,).
            age_steps: age of the readings of each home, shape (H,).
        """
        fleet = site.battery
        end = min(step - self.step, self.n_steps)
        age = np.clip(age_steps[site.battery_home], 0, end)
        change = self.soc[end] - self.soc[end - age, np.arange(fleet.n)]
        unknown = np.isnan(change) | (age == 0)
        by_then: FloatArray = np.where(unknown, soc, np.clip(soc + change, fleet.soc_min, fleet.soc_max))
        return by_then


@dataclass(frozen=True, kw_only=True, eq=False)
class Carried:
    """The last plan as it can be carried on from where the batteries are, at rest after its end."""

    battery_kw: FloatArray
    """Shape (n, B); NaN for batteries it had not planned."""
    left_kwh: FloatArray
    """Energy left in each battery at the end, shape (B,)."""


def standing(
    outlook: Outlook, battery_kw: FloatArray, bonuses_eur_kwh: tuple[FloatArray, FloatArray]
) -> StandingPlan:
    """Return the plan that runs the batteries as given.

    Args:
        outlook: what it was made for.
        battery_kw: power of each battery, shape (n, B); NaN where not planned.
        bonuses_eur_kwh: what a kWh drawn and one fed in is worth, shape (n, H) each.
    """
    still_kw = np.where(np.isnan(battery_kw), 0.0, battery_kw)
    _, soc = rolled_out(outlook.site, outlook.soc, still_kw, keep_soc=outlook.keep_soc)
    soc[:, np.isnan(battery_kw[0])] = np.nan
    import_bonus, export_bonus = bonuses_eur_kwh
    return StandingPlan(
        step=outlook.step,
        battery_kw=battery_kw,
        net_kw=outlook.net_kw,
        soc=soc,
        import_bonus_eur_kwh=import_bonus,
        export_bonus_eur_kwh=export_bonus,
    )


def carried_on(plan: StandingPlan | None, outlook: Outlook) -> Carried:
    """Return what of the last plan can be carried on into the window of ``outlook``; None for no plan so far."""
    fleet = outlook.site.battery
    wished_kw = np.zeros((len(outlook.hour), fleet.n))
    if plan is None:
        return Carried(battery_kw=np.full_like(wished_kw, np.nan), left_kwh=np.zeros(fleet.n))
    coming_kw = plan.battery_kw[outlook.step - plan.step :][: len(wished_kw)]
    wished_kw[: len(coming_kw)] = coming_kw
    wished_kw[:, np.isnan(plan.battery_kw[0])] = np.nan
    carried_kw, soc = rolled_out(outlook.site, outlook.soc, wished_kw, keep_soc=outlook.keep_soc)
    return Carried(battery_kw=carried_kw, left_kwh=soc[-1] * fleet.capacity_kwh)
