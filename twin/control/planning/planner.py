"""A level above the homes that plans: CEMS or aggregator by optimisation, receding horizon.

In the first step of every ``replan_every_h`` (counted in UTC, so that plans begin with a settlement hour) each pool of
communities is planned over ``horizon_h``: :mod:`twin.control.planning.pooling` says what for. In between the plan is handed
down step by step with the load and PV it was made for, and the EMS of each home keeps its meter on it.

With ``hand_down="prices"`` the homes get prices instead: what a kWh drawn, and one fed in behind a meter with a plant, is
worth to the community in the present hour, by the plan. They hold to the end of that hour at most, and the homes plan for
themselves. As a price does not say how much, homes with like batteries may all answer it at once, so that less is shared
than with set-points.

Who is planned: batteries of members whose reading is at most ``valid_h`` old and whom no level above asks for a
set-point. The user's reserve and the state of charge that a level above holds are kept, bounds at the meter as far as
the battery can. A reading that is late is carried forward with the plan it was made under; a set-point for a member
with a delay is that of the step it arrives in. Members that have fallen silent count with the forecast from their last
reading and a battery that serves its own home. Members never heard of, or opted out, are not there.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from twin.clock import end_of_steps_s, first_step_from, whole_seconds
from twin.control.base import FloatArray, IntArray, Observation, Site
from twin.control.management.balance import HourBalance, steps_valid
from twin.control.management.ems import reserve_soc
from twin.control.management.guidance import Guidance, Priority, asked_homes, no_guidance
from twin.control.planning.outlook import Outlook
from twin.control.planning.planner_options import PlannerOptions
from twin.control.planning.pool_solver import PlanRecord, PoolSolver
from twin.control.planning.pooling import bonuses_eur_kwh, hour_positions
from twin.control.planning.pools import pools_of
from twin.control.planning.rollout import unplanned_meter_kw
from twin.control.planning.standing_plan import StandingPlan, carried_on, standing
from twin.control.planning.worth import StorageWorth
from twin.units import SECONDS_PER_HOUR, hours

__all__ = ["PlanRecord", "Planner", "PlannerOptions"]

BoolArray = NDArray[np.bool_]

_MOST_CHOICES = 100


class Planner:
    """Plans the batteries of communities, one problem for each pool of them.

    Args:
        site: the plant.
        pool_of_community: pool of each configuration, shape (C,). What a configuration shares by itself is worth its
            ``shared_value_eur_kwh``; what passes between two of a pool, the smallest of the pool, so that no plan counts
            on more than any of them is paid.
        priority: of what is asked.
        options: how to plan.

    Raises:
        ValueError: the window is shorter than a step, a value of shared energy is missing or negative, or
            ``objective`` is ``shared`` and a pool is too large for it.
    """

    def __init__(
        self, site: Site, *, pool_of_community: IntArray, priority: Priority, options: PlannerOptions
    ) -> None:
        self._site, self._priority, self._options = site, priority, options
        self._pool = pool_of_community
        self._horizon = min(round(options.horizon_h / hours(site.dt_s)), site.n_steps)
        if self._horizon < 1:
            raise ValueError(
                f"horizon_h must be at least one step, {hours(site.dt_s):g} h (got {options.horizon_h:g})"
            )
        self._replan_s = max(round(options.replan_every_h * SECONDS_PER_HOUR), end_of_steps_s(1, site.dt_s))
        self._valid_steps = steps_valid(site, options.valid_h)
        pools = pools_of(site, pool_of_community)
        self._pools = pools if options.objective == "value" else tuple(pool.as_a_whole() for pool in pools)
        self._delay_steps = np.zeros(site.n_homes, dtype=np.int64)
        self._delay_steps[site.communities.member_home] = site.communities.member_delay_steps
        self._plannable = np.zeros(site.n_homes, dtype=np.bool_)
        self._plannable[site.battery_home] = True
        self._plannable &= self._delay_steps <= self._valid_steps
        self._reserve_soc = reserve_soc(site)
        self._worth = StorageWorth(site.battery.eta_discharge, price_eur_kwh=options.terminal_price_eur_kwh)
        self._solver = PoolSolver(site, horizon=self._horizon, n_pools=len(pools), options=options)
        self._hour = HourBalance(site)
        self._plan: StandingPlan | None = None
        if options.objective == "shared":
            self._refuse_large_pools()

    @property
    def records(self) -> list[PlanRecord]:
        """One for each plan of each pool so far."""
        return self._solver.records

    @property
    def stored_value_eur_kwh(self) -> FloatArray:
        """Worth of the energy left in each battery at the end of the last window, shape (B,)."""
        return self._worth.eur_kwh

    def guide(self, seen: Observation, above: Guidance) -> Guidance:
        """Return the set-points or prices of the present plan, made in this step if one is due.

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

    def _is_due(self, step: int, plan: StandingPlan) -> bool:
        start, dt_s = self._site.start_utc_s, self._site.dt_s
        period, planned = ((start + whole_seconds(at, dt_s)) // self._replan_s for at in (step, plan.step))
        return period != planned or step - plan.step >= plan.n_steps

    def _advice(self, plan: StandingPlan, step: int) -> Guidance:
        """Return what the plan asks for; each home gets the part for the step it arrives in."""
        site = self._site
        at = step - plan.step + self._delay_steps
        covered = at < plan.n_steps
        at = np.where(covered, at, 0)
        home, homes = site.battery_home, np.arange(site.n_homes)
        battery_kw = np.where(covered[home], plan.battery_kw[at[home], np.arange(site.battery.n)], np.nan)
        asked = np.zeros(site.n_homes, dtype=np.bool_)
        asked[home[~np.isnan(battery_kw)]] = True
        priority = np.where(asked, self._priority, Priority.NONE)
        expires_step = np.where(asked, step + self._valid_steps + 1, 0)
        if self._options.hand_down == "prices":
            return replace(
                no_guidance(site),
                import_bonus_eur_kwh=np.where(asked, plan.import_bonus_eur_kwh[at, homes], 0.0),
                export_bonus_eur_kwh=np.where(asked, plan.export_bonus_eur_kwh[at, homes], 0.0),
                priority=priority,
                expires_step=np.minimum(expires_step, self._next_hour_step(step + self._delay_steps)),
            )
        return replace(
            no_guidance(site),
            battery_kw=battery_kw,
            planned_net_kw=np.where(asked, plan.net_kw[at, homes], np.nan),
            priority=priority,
            expires_step=expires_step,
        )

    def _next_hour_step(self, step: IntArray) -> IntArray:
        """Return the first step of the hour after that of each ``step``, shape as given."""
        start, dt_s = self._site.start_utc_s, self._site.dt_s
        next_hour_s = ((start + whole_seconds(step, dt_s)) // SECONDS_PER_HOUR + 1) * SECONDS_PER_HOUR
        return first_step_from(next_hour_s - start, dt_s)

    def _outlook(
        self, seen: Observation, above: Guidance, *, fresh: BoolArray, age_steps: IntArray
    ) -> Outlook:
        site, step = self._site, seen.step
        load_kw, pv_kw = seen.forecast.window(step, self._horizon)
        price_import, price_export = seen.forecast.prices(step, self._horizon)
        net_kw, n = load_kw + pv_kw, len(price_import)
        soc = seen.soc
        if self._plan is not None:
            soc = self._plan.soc_by(site, step, soc=soc, age_steps=age_steps)
        ordered = asked_homes(above, site.battery_home) & (above.priority >= self._priority)
        planned = fresh & self._plannable & ~ordered
        first_hour, hour = hour_positions(site.start_utc_s, site.dt_s, step=step, n=n)
        bounded = np.arange(step, step + n)[:, None] < above.expires_step
        held_soc = 0.0 if above.hold_soc is None else above.hold_soc
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
            keep_soc=np.maximum(self._reserve_soc, np.where(bounded[:, site.battery_home], held_soc, 0.0)),
            stored_value_eur_kwh=self._worth.see(price_import, price_export),
            planned=planned,
            left_kw=unplanned_meter_kw(site, soc, net_kw, planned=planned),
            grid_min_kw=np.where(bounded, above.grid_min_kw, -np.inf),
            grid_max_kw=np.where(bounded, above.grid_max_kw, np.inf),
        )

    def _plan_all(self, outlook: Outlook, balance_kwh: FloatArray) -> StandingPlan:
        site, solver = self._site, self._solver
        community = site.communities.community_of_home(outlook.step, site.n_homes)
        carried = carried_on(self._plan, outlook)
        n = len(outlook.hour)
        battery_kw = np.full((n, site.battery.n), np.nan)
        import_bonus, export_bonus = np.zeros((n, site.n_homes)), np.zeros((n, site.n_homes))
        for number, pool in enumerate(self._pools):
            homes = np.flatnonzero(pool.counted(community)[0] & outlook.planned)
            if len(homes) == 0:
                continue
            window = outlook.pool_window(pool, homes, community=community, balance_kwh=balance_kwh)
            plan = solver.solve(number, window, homes, first_hour=outlook.first_hour, carried=carried)
            for home, power_kw in zip(homes, plan.battery_kw, strict=True):
                battery_kw[:, solver.batteries(int(home))] = power_kw
            fed_in, drawn = bonuses_eur_kwh(window, plan.injection_weight)
            import_bonus[:, homes], export_bonus[:, homes] = drawn.T[window.hour], fed_in.T[window.hour]
        return standing(outlook, battery_kw, (import_bonus, export_bonus))

    def _refuse_large_pools(self) -> None:
        communities = self._site.communities
        willing = ~communities.member_opted_out & self._plannable[communities.member_home]
        pool = self._pool[communities.member_community[willing]]
        choices = np.bincount(pool, minlength=len(self._pools)) * self._horizon
        if choices.max(initial=0) > _MOST_CHOICES:
            raise ValueError(
                f"objective: shared is planned exactly, for at most {_MOST_CHOICES} homes with batteries times steps "
                f"of the horizon in a pool (got {choices.max()}); use objective: value, a shorter horizon_h or longer "
                "steps"
            )
