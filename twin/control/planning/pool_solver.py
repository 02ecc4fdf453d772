"""Solves one pool after another and keeps what speeds up the next time: the homes' programs and the last weights."""

from dataclasses import dataclass

import numpy as np

from twin.control.base import FloatArray, IntArray, Site
from twin.control.planning.decomposition import Effort, Schedule, decompose, schedule_of
from twin.control.planning.home_lp import HomeLp, battery_subset
from twin.control.planning.joint_lp import solve_jointly
from twin.control.planning.planner_options import PlannerOptions
from twin.control.planning.pooling import PoolPlan, PoolWindow
from twin.control.planning.standing_plan import Carried
from twin.units import HOURS_PER_DAY, hours

__all__ = ["PlanRecord", "PoolSolver"]

_UNDECIDED_WEIGHT = 0.5


@dataclass(frozen=True, kw_only=True)
class PlanRecord:
    """How good a plan was, by its own account."""

    step: int
    pool: int
    homes: int
    """Homes with planned batteries."""
    gap: float
    """Relative optimality gap."""
    rounds: int


class PoolSolver:
    """Solves the pools of a site.

    Args:
        site: the plant.
        horizon: longest window in steps.
        n_pools: number of pools.
        options: how to plan.
    """

    def __init__(self, site: Site, *, horizon: int, n_pools: int, options: PlannerOptions) -> None:
        self._site, self._horizon, self._options = site, horizon, options
        self._effort = Effort(gap=options.gap, max_rounds=options.max_rounds)
        self._programs: dict[int, HomeLp] = {}
        self._weights: list[dict[int, FloatArray]] = [{} for _ in range(n_pools)]
        self._batteries = {
            int(h): np.flatnonzero(site.battery_home == h) for h in np.unique(site.battery_home)
        }
        self.records: list[PlanRecord] = []
        """One for each plan of each pool so far."""

    def batteries(self, home: int) -> IntArray:
        """Return the batteries of a home that has any."""
        return self._batteries[home]

    def solve(
        self, pool: int, window: PoolWindow, homes: IntArray, *, first_hour: int, carried: Carried
    ) -> PoolPlan:
        """Return a plan for a pool.

        Args:
            pool: its number.
            window: the problem.
            homes: the homes of the window, shape (J,).
            first_hour: hour of the first step, since 1970-01-01 UTC.
            carried: what the last plan says.

        Raises:
            ControllerError: a program has no optimum.
        """
        programs = [self._program(int(home)) for home in homes]
        objective, dt_s = self._options.objective, self._site.dt_s
        if objective == "shared" or len(homes) <= self._options.joint_up_to_homes:
            plan = solve_jointly(window, programs, dt_s=dt_s, objective=objective)
        else:
            known, weights = self._weights[pool], np.full(window.n_terms, _UNDECIDED_WEIGHT)
            ahead = range(first_hour, first_hour + window.n_hours)
            start = [known.get(h, known.get(h - HOURS_PER_DAY, weights)) for h in ahead]
            plan = decompose(
                window,
                programs,
                dt_s=dt_s,
                injection_weight=np.column_stack(start),
                known=self._known(window, homes, carried),
                effort=self._effort,
            )
            self._weights[pool] = dict(zip(ahead, plan.injection_weight.T, strict=True))
        gap = plan.gap(window.value_eur_kwh)
        record = PlanRecord(step=window.step, pool=pool, homes=len(homes), gap=gap, rounds=plan.rounds)
        self.records.append(record)
        return plan

    def _known(self, window: PoolWindow, homes: IntArray, carried: Carried) -> dict[int, Schedule]:
        known: dict[int, Schedule] = {}
        for j, home in enumerate(homes):
            own = self._batteries[int(home)]
            power_kw = carried.battery_kw[:, own]
            if np.isfinite(power_kw).all():
                known[j] = schedule_of(
                    window, j, power_kw, left_kwh=carried.left_kwh[own], dt_h=hours(self._site.dt_s)
                )
        return known

    def _program(self, home: int) -> HomeLp:
        if home not in self._programs:
            self._programs[home] = HomeLp(
                self._site.home_name[home],
                battery_subset(self._site.battery, self._batteries[home]),
                dt_s=self._site.dt_s,
                horizon=self._horizon,
            )
        return self._programs[home]
