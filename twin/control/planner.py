"""A level above the homes that plans: CEMS or aggregator by optimisation, receding horizon.

In the first step of every ``replan_every_h`` (counted in UTC, so that plans begin with a settlement hour) each pool of
communities is planned over ``horizon_h``: :mod:`twin.control.pooling` says what for. In between the plan is handed
down step by step with the load and PV it was made for, and the EMS of each home keeps its meter on it.

Who is planned: batteries of members whose reading is at most ``valid_h`` old and whom no level above asks for a
set-point. The user's reserve and the state of charge that a level above holds are kept, bounds at the meter as far as
the battery can. A reading that is late is carried forward with the plan it was made under; a set-point for a member
with a delay is that of the step it arrives in. Members that have fallen silent count with the forecast from their last
reading and a battery that serves its own home. Members never heard of, or opted out, are not there.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from twin.control.balance import HourBalance, steps_valid
from twin.control.base import FloatArray, IntArray, Observation, Site
from twin.control.decomposition import Effort, Schedule, decompose, schedule_of
from twin.control.ems import reserve_soc
from twin.control.guidance import Guidance, Priority, asked_homes, no_guidance
from twin.control.home_lp import HomeLp, battery_subset
from twin.control.joint_lp import Objective, solve_jointly
from twin.control.outlook import Outlook
from twin.control.pooling import PoolPlan, PoolWindow, hour_positions
from twin.control.rollout import rolled_out, unplanned_meter_kw
from twin.control.worth import StorageWorth
from twin.units import HOURS_PER_DAY, SECONDS_PER_HOUR, hours

__all__ = ["PlanRecord", "Planner", "PlannerOptions"]

BoolArray = NDArray[np.bool_]

_UNDECIDED_WEIGHT = 0.5
_MOST_CHOICES = 100


@dataclass(frozen=True, kw_only=True)
class PlannerOptions:
    """How a level plans."""

    horizon_h: float = 24.0
    """Length of the plan [h]; cut at the end of the run."""
    replan_every_h: float = 1.0
    """Time between two plans [h]."""
    valid_h: float = 0.5
    """How long a reading or a message is good for [h]."""
    objective: Objective = "value"
    """``value``: bills less the value of shared energy; ``shared``: most shared energy, then lowest bills."""
    gap: float = 1e-3
    """Relative optimality gap at which a plan is good enough, see :meth:`twin.control.pooling.PoolPlan.gap`."""
    max_rounds: int = 60
    """Rounds of the decomposition after which the best plan so far is taken, with the gap it has."""
    joint_up_to_homes: int = 32
    """Pools with so many homes to plan or fewer are planned as one program, exactly; that is faster for them, too."""
    terminal_price_eur_kwh: float | None = None
    """Worth of a stored kWh at the end of the window [EUR/kWh]; from the prices unless given."""
    caution_eur_kwh: float = 0.0
    """Distrust of the forecast as in :mod:`twin.control.mpc` [EUR/kWh]."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if not 0.0 < self.replan_every_h <= self.horizon_h < np.inf:
            raise ValueError(
                f"replan_every_h must be above 0 and at most horizon_h (got {self.replan_every_h:g} and "
                f"{self.horizon_h:g})"
            )
        if self.objective not in {"value", "shared"}:
            raise ValueError(f"objective must be value or shared (got {self.objective!r})")
        if not 0.0 <= self.gap < 1.0:
            raise ValueError(f"gap must be from 0 to below 1 (got {self.gap:g})")
        if self.max_rounds < 1:
            raise ValueError(f"max_rounds must be at least 1 (got {self.max_rounds})")
        if self.joint_up_to_homes < 0:
            raise ValueError(f"joint_up_to_homes must be at least 0 (got {self.joint_up_to_homes})")
        if not 0.0 <= self.caution_eur_kwh < np.inf:
            raise ValueError(f"caution_eur_kwh must be at least 0 and finite (got {self.caution_eur_kwh:g})")
        if self.terminal_price_eur_kwh is not None and not np.isfinite(self.terminal_price_eur_kwh):
            raise ValueError(f"terminal_price_eur_kwh must be finite (got {self.terminal_price_eur_kwh:g})")


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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Plan:
    step: int
    battery_kw: FloatArray
    """Shape (n, B); NaN for batteries that are not planned."""
    net_kw: FloatArray
    soc: FloatArray
    """Shape (n + 1, B)."""


class Planner:
    """Plans the batteries of communities, one problem for each pool of them.

    Args:
        site: the plant.
        pool_of_community: pool of each configuration, shape (C,). A kWh shared in a pool is worth the smallest
            ``shared_value_eur_kwh`` of its configurations, so that no plan counts on more than any of them is paid.
        priority: of what is asked.
        options: how to plan.
        effort: how hard to look for the best plan.

    Raises:
        ValueError: the window is shorter than a step, a value of shared energy is missing or negative, or
            ``objective`` is ``shared`` and a pool is too large for it.
    """

    def __init__(
        self, site: Site, *, pool_of_community: IntArray, priority: Priority, options: PlannerOptions
    ) -> None:
        self._site, self._pool, self._priority, self._options = site, pool_of_community, priority, options
        self._horizon = min(round(options.horizon_h / hours(site.dt_s)), site.n_steps)
        if self._horizon < 1:
            raise ValueError(
                f"horizon_h must be at least one step, {hours(site.dt_s):g} h (got {options.horizon_h:g})"
            )
        self._replan_s = max(round(options.replan_every_h * SECONDS_PER_HOUR), site.dt_s)
        self._valid_steps = steps_valid(site, options.valid_h)
        self._value_eur_kwh = _pool_values(site, pool_of_community)
        self._plannable = np.zeros(site.n_homes, dtype=np.bool_)
        self._plannable[site.battery_home] = True
        self._effort = Effort(gap=options.gap, max_rounds=options.max_rounds)
        self._delay_steps = np.zeros(site.n_homes, dtype=np.int64)
        self._delay_steps[site.communities.member_home] = site.communities.member_delay_steps
        self._plannable &= self._delay_steps <= self._valid_steps
        self._reserve_soc = reserve_soc(site)
        self._worth = StorageWorth(site.battery.eta_discharge, price_eur_kwh=options.terminal_price_eur_kwh)
        self._batteries = {
            int(h): np.flatnonzero(site.battery_home == h) for h in np.unique(site.battery_home)
        }
        self._programs: dict[int, HomeLp] = {}
        self._weights: list[dict[int, float]] = [{} for _ in self._value_eur_kwh]
        self._hour = HourBalance(site)
        self._plan: _Plan | None = None
        self.records: list[PlanRecord] = []
        """One for each plan of each pool so far."""
        if options.objective == "shared":
            self._refuse_large_pools()

    @property
    def stored_value_eur_kwh(self) -> FloatArray:
        """Worth of the energy left in each battery at the end of the last window, shape (B,)."""
        return self._worth.eur_kwh

    def guide(self, seen: Observation, above: Guidance) -> Guidance:
        """Return the set-points of the present plan, made in this step if one is due.

        Raises:
            ControllerError: a forecast holds values that are not numbers, or a solver found no optimum.
        """
        site = self._site
        age_steps = np.zeros(site.n_homes, dtype=np.int64) if seen.age_steps is None else seen.age_steps
        member = site.communities.community_of_home(seen.step, site.n_homes) >= 0
        fresh = (age_steps <= self._valid_steps) & member
        balance_kwh = self._hour.so_far_kwh(seen, fresh)
        self._hour.set_aside(above.for_others_kw)
        plan = self._plan
        if plan is None or self._is_due(seen.step, plan):
            plan = self._plan_all(self._outlook(seen, above, fresh=fresh, age_steps=age_steps), balance_kwh)
            self._plan = plan
        return self._advice(plan, seen.step)

    def _is_due(self, step: int, plan: _Plan) -> bool:
        start, dt_s = self._site.start_utc_s, self._site.dt_s
        period = (start + step * dt_s) // self._replan_s
        return period != (start + plan.step * dt_s) // self._replan_s or step - plan.step >= len(
            plan.battery_kw
        )

    def _advice(self, plan: _Plan, step: int) -> Guidance:
        """Return what the plan asks for; each home gets the part for the step it arrives in."""
        site = self._site
        at = step - plan.step + self._delay_steps
        covered = at < len(plan.battery_kw)
        at = np.where(covered, at, 0)
        home = site.battery_home
        battery_kw = np.where(covered[home], plan.battery_kw[at[home], np.arange(site.battery.n)], np.nan)
        asked = np.zeros(site.n_homes, dtype=np.bool_)
        asked[home[~np.isnan(battery_kw)]] = True
        return replace(
            no_guidance(site),
            battery_kw=battery_kw,
            planned_net_kw=np.where(asked, plan.net_kw[at, np.arange(site.n_homes)], np.nan),
            priority=np.where(asked, self._priority, Priority.NONE),
            expires_step=np.where(asked, step + self._valid_steps + 1, 0),
        )

    def _outlook(
        self, seen: Observation, above: Guidance, *, fresh: BoolArray, age_steps: IntArray
    ) -> Outlook:
        site, step = self._site, seen.step
        load_kw, pv_kw = seen.forecast.window(step, self._horizon)
        price_import, price_export = seen.forecast.prices(step, self._horizon)
        net_kw, n = load_kw + pv_kw, len(price_import)
        soc = self._present_soc(seen, age_steps)
        ordered = asked_homes(above, site.battery_home) & (above.priority >= self._priority)
        planned = fresh & self._plannable & ~ordered
        first_hour, hour = hour_positions(site.start_utc_s, site.dt_s, step=step, n=n)
        held_soc = np.zeros(site.battery.n) if above.hold_soc is None else above.hold_soc
        bounded = np.arange(step, step + n)[:, None] < above.expires_step
        return Outlook(
            site=site,
            step=step,
            first_hour=first_hour,
            hour=hour,
            net_kw=net_kw,
            price_import_eur_kwh=price_import,
            price_export_eur_kwh=price_export,
            caution_eur_kwh=self._options.caution_eur_kwh * (1.0 - np.arange(n) / n),
            soc=soc,
            keep_soc=np.maximum(self._reserve_soc, held_soc),
            stored_value_eur_kwh=self._worth.see(price_import, price_export),
            planned=planned,
            left_kw=unplanned_meter_kw(site, soc, net_kw, planned=planned),
            grid_min_kw=np.where(bounded, above.grid_min_kw, -np.inf),
            grid_max_kw=np.where(bounded, above.grid_max_kw, np.inf),
        )

    def _present_soc(self, seen: Observation, age_steps: IntArray) -> FloatArray:
        """Return the state of charge, shape (B,); late readings are carried forward with the plan."""
        plan, fleet = self._plan, self._site.battery
        if plan is None:
            return seen.soc
        end = min(seen.step - plan.step, len(plan.battery_kw))
        age = np.clip(age_steps[self._site.battery_home], 0, end)
        change = plan.soc[end] - plan.soc[end - age, np.arange(fleet.n)]
        unknown = np.isnan(change) | (age == 0)
        soc: FloatArray = np.where(
            unknown, seen.soc, np.clip(seen.soc + change, fleet.soc_min, fleet.soc_max)
        )
        return soc

    def _plan_all(self, outlook: Outlook, balance_kwh: FloatArray) -> _Plan:
        site = self._site
        community = site.communities.community_of_home(outlook.step, site.n_homes)
        pool_of_home = np.where(community >= 0, self._pool[community], -1)
        carried = self._carried(outlook)
        battery_kw = np.full((len(outlook.hour), site.battery.n), np.nan)
        for pool, value_eur_kwh in enumerate(self._value_eur_kwh):
            member = pool_of_home == pool
            homes = np.flatnonzero(member & outlook.planned)
            if len(homes) == 0:
                continue
            window = outlook.pool_window(
                homes,
                member & ~outlook.planned,
                value_eur_kwh=float(value_eur_kwh),
                balance_kwh=float(balance_kwh[self._pool == pool].sum()),
            )
            plan = self._solve(window, pool, homes, first_hour=outlook.first_hour, carried=carried)
            for home, power_kw in zip(homes, plan.battery_kw, strict=True):
                battery_kw[:, self._batteries[int(home)]] = power_kw
        still_kw = np.where(np.isnan(battery_kw), 0.0, battery_kw)
        _, soc = rolled_out(site, outlook.soc, still_kw, keep_soc=outlook.keep_soc)
        soc[:, np.isnan(battery_kw[0])] = np.nan
        return _Plan(step=outlook.step, battery_kw=battery_kw, net_kw=outlook.net_kw, soc=soc)

    def _carried(self, outlook: Outlook) -> tuple[FloatArray, FloatArray]:
        """Return the last plan as it can be carried on from where the batteries are, at rest after its end.

        Shape (n, B), NaN for batteries it had not planned; and the energy left in each at the end, shape (B,) [kWh].
        """
        fleet, plan = self._site.battery, self._plan
        wished_kw = np.zeros((len(outlook.hour), fleet.n))
        if plan is None:
            return np.full_like(wished_kw, np.nan), np.zeros(fleet.n)
        coming_kw = plan.battery_kw[outlook.step - plan.step :][: len(wished_kw)]
        wished_kw[: len(coming_kw)] = coming_kw
        wished_kw[:, np.isnan(plan.battery_kw[0])] = np.nan
        carried_kw, soc = rolled_out(self._site, outlook.soc, wished_kw, keep_soc=outlook.keep_soc)
        return carried_kw, soc[-1] * fleet.capacity_kwh

    def _solve(
        self,
        window: PoolWindow,
        pool: int,
        homes: IntArray,
        *,
        first_hour: int,
        carried: tuple[FloatArray, FloatArray],
    ) -> PoolPlan:
        programs = [self._program(int(home)) for home in homes]
        objective = self._options.objective
        if objective == "shared" or len(homes) <= self._options.joint_up_to_homes:
            plan = solve_jointly(window, programs, dt_s=self._site.dt_s, objective=objective)
        else:
            weights = self._weights[pool]
            ahead = range(first_hour, first_hour + window.n_hours)
            start = [weights.get(h, weights.get(h - HOURS_PER_DAY, _UNDECIDED_WEIGHT)) for h in ahead]
            plan = decompose(
                window,
                programs,
                dt_s=self._site.dt_s,
                injection_weight=np.array(start),
                known=self._known(window, homes, carried),
                effort=self._effort,
            )
            self._weights[pool] = dict(zip(ahead, plan.injection_weight.tolist(), strict=True))
        gap = plan.gap(window.value_eur_kwh)
        record = PlanRecord(step=window.step, pool=pool, homes=len(homes), gap=gap, rounds=plan.rounds)
        self.records.append(record)
        return plan

    def _known(
        self, window: PoolWindow, homes: IntArray, carried: tuple[FloatArray, FloatArray]
    ) -> dict[int, Schedule]:
        carried_kw, left_kwh = carried
        known: dict[int, Schedule] = {}
        for j, home in enumerate(homes):
            own = self._batteries[int(home)]
            if np.isfinite(carried_kw[:, own]).all():
                known[j] = schedule_of(
                    window, j, carried_kw[:, own], left_kwh=left_kwh[own], dt_h=hours(self._site.dt_s)
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

    def _refuse_large_pools(self) -> None:
        communities = self._site.communities
        willing = ~communities.member_opted_out & self._plannable[communities.member_home]
        pool = self._pool[communities.member_community[willing]]
        choices = np.bincount(pool, minlength=len(self._value_eur_kwh)) * self._horizon
        if choices.max(initial=0) > _MOST_CHOICES:
            raise ValueError(
                f"objective: shared is planned exactly, for at most {_MOST_CHOICES} homes with batteries times steps "
                f"of the horizon in a pool (got {choices.max()}); use objective: value, a shorter horizon_h or longer "
                "steps"
            )


def _pool_values(site: Site, pool_of_community: IntArray) -> FloatArray:
    value, n = site.shared_value_eur_kwh, site.communities.n_communities
    if value.shape != (n,) or not (np.isfinite(value) & (value >= 0.0)).all():
        raise ValueError(
            f"shared_value_eur_kwh: must be one number of at least 0 for each of {n} communities (got {value.tolist()})"
        )
    smallest = np.full(int(pool_of_community.max(initial=-1)) + 1, np.inf)
    np.minimum.at(smallest, pool_of_community, value)
    return smallest
