"""Plan a pool home by home: column generation with prices for shared energy (Dantzig and Wolfe, doi:10.1287/opre.8.1.101).

The value of shared energy is V * min(I, W) = the smallest of V * (w * I + (1 - w) * W) over weights w from 0 to 1. With
a weight for each term and hour every home has a problem of its own: a kWh exported earns V * w more, if there is a plant
behind the meter, and a kWh imported costs V * (1 - w) less, over all terms that count the home. The sum of the homes, less
the constant part, is a lower bound of what any plan can reach.

A master program mixes the schedules that the homes have answered with so far; a home's mix is again a schedule it can
run, because its set of schedules is convex. The duals of the master are the next weights, drawn halfway back to the
weights of the best bound, which keeps them from jumping (Wentges, doi:10.1016/S0969-6016(97)00001-4). It ends when the
mix and the bound meet within ``gap``.

Homes are asked on ``workers`` threads, as the solver runs outside Python's lock. Each home has a solver of its own and
the answers are put together in the order of the homes, so the result does not depend on which thread is faster.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import MappingProxyType

import highspy
import numpy as np

from twin.control.base import FloatArray, IntArray
from twin.control.planning.home_lp import HomeLp, HomePlan
from twin.control.planning.pooling import PoolPlan, PoolWindow, bonuses_eur_kwh, planned_shared_kwh
from twin.errors import ControllerError
from twin.units import hours

__all__ = ["NOTHING_KNOWN", "Effort", "Schedule", "decompose", "schedule_of"]

_PULL_TO_BEST = 0.5
_HOMES_WORTH_A_THREAD = 8


@dataclass(frozen=True, kw_only=True)
class Effort:
    """When to stop, and with how many hands."""

    gap: float = 1e-3
    """Largest relative gap, see :meth:`PoolPlan.gap`."""
    max_rounds: int = 60
    workers: int = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """One way for one home to run its batteries through a window."""

    battery_kw: FloatArray
    """Shape (n, K)."""
    cost_eur: float
    """The home's objective at its own prices."""
    injected_kwh: FloatArray
    """As far as it can be shared, shape (N,)."""
    withdrawn_kwh: FloatArray
    """Shape (N,)."""


NOTHING_KNOWN: Mapping[int, Schedule] = MappingProxyType({})


def decompose(
    window: PoolWindow,
    programs: Sequence[HomeLp],
    *,
    dt_s: float,
    injection_weight: FloatArray,
    known: Mapping[int, Schedule] = NOTHING_KNOWN,
    effort: Effort | None = None,
) -> PoolPlan:
    """Return a plan for ``window`` within the gap, or the best one after ``max_rounds``.

    Args:
        window: the problem.
        programs: program of each home of the window, in the same order.
        dt_s: step length [s].
        injection_weight: weights to begin with, shape (G, N), 0 to 1.
        known: schedules to begin with, by position of the home. Without any, each home begins with its own cheapest
            plan. The plan is never worse than all of these together.
        effort: when to stop.

    Raises:
        ControllerError: a home or the master has no optimum.
    """
    effort = Effort() if effort is None else effort
    master = _Master(window, dt_s=dt_s)
    homes = _Homes(window, programs, dt_s=dt_s, workers=effort.workers)
    begin = known or dict(enumerate(homes.own()))
    master.add(tuple(begin), tuple(begin.values()))
    asked = best_weight = np.clip(injection_weight, 0.0, 1.0)
    bound_eur, rounds = -np.inf, 0
    while True:
        answers, answer_eur = homes.ask(asked)
        rounds += 1
        if answer_eur > bound_eur:
            bound_eur, best_weight = answer_eur, asked
        master.add(range(len(answers)), answers)
        objective_eur, weight = master.solve()
        plan = master.plan(
            injection_weight=best_weight, objective_eur=objective_eur, bound_eur=bound_eur, rounds=rounds
        )
        if plan.gap(window.value_eur_kwh) <= effort.gap or rounds >= effort.max_rounds:
            return plan
        asked = _PULL_TO_BEST * best_weight + (1.0 - _PULL_TO_BEST) * weight


def schedule_of(
    window: PoolWindow, j: int, battery_kw: FloatArray, *, left_kwh: FloatArray, dt_h: float
) -> Schedule:
    """Return what it means for home ``j`` to run its batteries as given.

    Args:
        window: the problem.
        j: position of the home.
        battery_kw: power of its batteries, shape (n, K), which they can hold.
        left_kwh: energy left in them at the end of the window, shape (K,).
        dt_h: step length [h].
    """
    home = window.homes[j]
    meter_kw = home.net_kw + battery_kw.sum(axis=1)
    injected, withdrawn = window.meter_kwh(j, battery_kw, dt_h=dt_h)
    sold_at = np.minimum(home.price_export_eur_kwh, home.price_import_eur_kwh)
    price = np.where(meter_kw > 0.0, home.price_import_eur_kwh, sold_at)
    cost_eur = float(dt_h * (price @ meter_kw) - home.stored_value_eur_kwh @ left_kwh)
    return Schedule(battery_kw=battery_kw, cost_eur=cost_eur, injected_kwh=injected, withdrawn_kwh=withdrawn)


class _Homes:
    """The homes of a window, asked for their cheapest schedules."""

    def __init__(self, window: PoolWindow, programs: Sequence[HomeLp], *, dt_s: float, workers: int) -> None:
        self._window, self._programs = window, programs
        self._dt_h = hours(dt_s)
        self._workers = workers if len(programs) >= _HOMES_WORTH_A_THREAD * workers else 1
        self._in_solver = False

    def own(self) -> list[Schedule]:
        """Return each home's cheapest schedule at its own prices, as without a community."""
        nothing = np.zeros((len(self._programs), self._window.n_hours))
        return self._schedules(self._plans(nothing, nothing), nothing, nothing)

    def ask(self, weight: FloatArray) -> tuple[list[Schedule], float]:
        """Return each home's cheapest schedule at these weights, and the lower bound they give [EUR]."""
        window = self._window
        injected_bonus, withdrawn_bonus = bonuses_eur_kwh(window, weight)
        plans = self._plans(injected_bonus, withdrawn_bonus)
        constant_kwh = weight * window.injected_kwh + (1.0 - weight) * window.withdrawn_kwh
        constant_eur = float((window.value_eur_kwh * constant_kwh).sum())
        bound_eur = sum(plan.cost_eur for plan in plans) - constant_eur
        return self._schedules(plans, injected_bonus, withdrawn_bonus), bound_eur

    def _plans(self, injected_bonus: FloatArray, withdrawn_bonus: FloatArray) -> list[HomePlan]:
        def part_of(homes: IntArray) -> list[HomePlan]:
            return [self._plan(int(j), injected_bonus, withdrawn_bonus) for j in homes]

        everybody = np.arange(len(self._programs))
        if self._workers > 1:
            with ThreadPoolExecutor(self._workers) as threads:
                parts = list(threads.map(part_of, np.array_split(everybody, self._workers)))
            plans = [plan for part in parts for plan in part]
        else:
            plans = part_of(everybody)
        self._in_solver = True
        return plans

    def _plan(self, j: int, injected_bonus: FloatArray, withdrawn_bonus: FloatArray) -> HomePlan:
        home, hour = self._window.homes[j], self._window.hour
        price_import = home.price_import_eur_kwh - withdrawn_bonus[j, hour]
        price_export = home.price_export_eur_kwh + injected_bonus[j, hour]
        if self._in_solver:
            return self._programs[j].reprice(price_import, price_export)
        return self._programs[j].solve(
            replace(home, price_import_eur_kwh=price_import, price_export_eur_kwh=price_export)
        )

    def _schedules(
        self, plans: Sequence[HomePlan], injected_bonus: FloatArray, withdrawn_bonus: FloatArray
    ) -> list[Schedule]:
        """Return the plans with what they do to the shared energy, at the homes' own prices."""
        schedules = []
        for j, plan in enumerate(plans):
            injected, withdrawn = self._window.meter_kwh(j, plan.battery_kw, dt_h=self._dt_h)
            bonus_eur = float(injected_bonus[j] @ injected + withdrawn_bonus[j] @ withdrawn)
            schedules.append(
                Schedule(
                    battery_kw=plan.battery_kw,
                    cost_eur=plan.cost_eur + bonus_eur,
                    injected_kwh=injected,
                    withdrawn_kwh=withdrawn,
                )
            )
        return schedules


class _Master:
    """Mixes schedules: columns are the shared energy of each term and hour, then one for each schedule.

    Rows are what each term injects in each hour, what it withdraws, then the sum of the shares of each home.
    """

    def __init__(self, window: PoolWindow, *, dt_s: float) -> None:
        self._window = window
        self._home, self._schedule = list[int](), list[Schedule]()
        self._dt_h = hours(dt_s)
        n_shared, n_homes = window.value_eur_kwh.size, len(window.homes)
        shared = np.vstack([np.eye(n_shared), np.eye(n_shared), np.zeros((n_homes, n_shared))])
        self._highs = highspy.Highs()
        self._highs.setOptionValue("output_flag", False)
        self._highs.setOptionValue("threads", 1)
        self._highs.setOptionValue("solver", "simplex")
        infinite = highspy.kHighsInf
        energy = np.concatenate([window.injected_kwh.ravel(), window.withdrawn_kwh.ravel()])
        lower = np.concatenate([np.full(2 * n_shared, -infinite), np.ones(n_homes)])
        upper = np.concatenate([energy, np.ones(n_homes)])
        nothing = np.zeros(0, dtype=np.int32)
        self._highs.addRows(
            len(lower), lower, upper, 0, np.zeros(len(lower), dtype=np.int32), nothing, np.zeros(0)
        )
        self._add_columns(shared, -window.value_eur_kwh.ravel(), lower=-infinite)

    def add(self, homes: Sequence[int], schedules: Sequence[Schedule]) -> None:
        """Add a schedule of each of some homes."""
        self._home.extend(homes)
        self._schedule.extend(schedules)
        counted = self._window.counted[:, np.array(homes)].T
        sides = [
            np.array([s.injected_kwh for s in schedules]),
            np.array([s.withdrawn_kwh for s in schedules]),
        ]
        energy = [np.einsum("sg,sh->ghs", counted, -side).reshape(-1, len(homes)) for side in sides]
        whose = np.arange(len(self._window.homes))[:, None] == np.array(homes)
        block = np.vstack([*energy, whose])
        self._add_columns(block, np.array([s.cost_eur for s in schedules]), lower=0.0)

    def _add_columns(self, block: FloatArray, cost: FloatArray, *, lower: float) -> None:
        column, row = np.nonzero(block.T)
        start = np.searchsorted(column, np.arange(len(cost)))
        self._highs.addCols(
            len(cost),
            cost,
            np.full(len(cost), lower),
            np.full(len(cost), highspy.kHighsInf),
            len(row),
            start.astype(np.int32),
            row.astype(np.int32),
            block.T[column, row],
        )

    def solve(self) -> tuple[float, FloatArray]:
        """Return the objective of the best mix [EUR] and the weights its duals mean, shape (G, N)."""
        self._highs.run()
        status = self._highs.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            raise ControllerError(
                f"step {self._window.step}: the program that mixes the homes' schedules ended with status "
                f"{self._highs.modelStatusToString(status)!r} instead of an optimum; check the value of shared energy"
            )
        value = self._window.value_eur_kwh
        dual = -np.asarray(self._highs.getSolution().row_dual)[: value.size].reshape(value.shape)
        weight = np.divide(dual, value, out=np.zeros_like(value), where=value > 0.0)
        return float(self._highs.getInfo().objective_function_value), np.clip(weight, 0.0, 1.0)

    def plan(
        self, *, injection_weight: FloatArray, objective_eur: float, bound_eur: float, rounds: int
    ) -> PoolPlan:
        """Return the mix of the last solution."""
        window = self._window
        columns = np.asarray(self._highs.getSolution().col_value)
        share = np.maximum(columns[window.value_eur_kwh.size :], 0.0)
        home = np.array(self._home)
        share /= np.bincount(home, weights=share)[home]
        mixed = [np.zeros_like(self._schedule[j].battery_kw) for j in np.unique(home, return_index=True)[1]]
        for column in np.flatnonzero(share):
            mixed[self._home[column]] += share[column] * self._schedule[column].battery_kw
        return PoolPlan(
            battery_kw=tuple(mixed),
            shared_kwh=planned_shared_kwh(window, mixed, dt_h=self._dt_h),
            injection_weight=injection_weight,
            objective_eur=objective_eur,
            bound_eur=bound_eur,
            rounds=rounds,
        )
