"""The linear program of one home, kept in the solver and solved again with other numbers.

With step length dt [h] and, for each battery, charge c, discharge d and stored energy e at the end of the step:

    minimise    sum_t dt * (price_import_t * m_t - price_export_t * x_t) - sum value * e_last + weight * u
    subject to  m_t - x_t - sum c_t + sum d_t = net_t                          the meter: import m, export x
                e_t = a * e_(t-1) + eta_charge * dt * c_t - dt / eta_discharge * d_t
                0 <= c_t <= charge_kw, 0 <= d_t <= discharge_kw, soc_min <= e_t / capacity <= soc_max
                m_t + x_t <= u                                                 only with a peak weight

The battery is the one of :mod:`models.battery`, and the power of the first step keeps to its
:func:`~models.battery.power_limits_kw`. A battery that starts outside its window may stay outside as long as its
standing loss keeps it there.

Only bounds, costs and right-hand sides change from solve to solve, so the simplex starts from the last basis.

Limits of a linear program:

* Charging and discharging in the same step wastes energy. It is never optimal at prices of at least 0; at negative
  prices the plan may hold both, and the proposal is their difference.
* A meter counts import or export, not both. Where export pays more than import costs, the program sees the import
  price for both: it then misses some income, but sells no energy it has bought in the same step.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import highspy
import numpy as np
from scipy.sparse import csc_array, eye_array, kron, vstack
from scipy.sparse import hstack as join_columns

from models.battery import BatteryFleet, power_limits_kw, retention
from twin.control.base import FloatArray, IntArray
from twin.errors import ControllerError
from twin.units import hours

__all__ = ["HomeLp", "HomePlan", "HomeTerms", "HomeWindow", "battery_subset"]


@dataclass(frozen=True, kw_only=True, eq=False)
class HomeWindow:
    """What is known of one home for n coming steps; K batteries."""

    step: int
    net_kw: FloatArray
    """Load and PV of the home, shape (n,), consumption positive."""
    price_import_eur_kwh: FloatArray
    price_export_eur_kwh: FloatArray
    soc: FloatArray
    """State of charge of each battery at the start, shape (K,)."""
    stored_value_eur_kwh: FloatArray
    """Worth of the energy left in each battery at the end of the window, shape (K,)."""
    keep_soc: FloatArray | None = None
    """State of charge below which a step does not end, shape (n, K), where above ``soc_min``; None for none."""
    grid_min_kw: FloatArray | None = None
    """Lowest power at the meter in each step, shape (n,); kept as far as resting batteries would; None for none."""
    grid_max_kw: FloatArray | None = None
    """Highest power at the meter in each step, shape (n,); kept as far as resting batteries would; None for none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HomePlan:
    """The cheapest plan for one home."""

    battery_kw: FloatArray
    """Power of each battery, shape (n, K), charging positive."""
    cost_eur: float
    """Objective: energy cost, less the worth of the energy left, plus the peak term."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HomeTerms:
    """What a window puts into the program: costs and bounds in the order of its columns and rows."""

    cost: FloatArray
    column_lower: FloatArray
    column_upper: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray


class HomeLp:
    """One home's program for windows of up to ``horizon`` steps."""

    def __init__(
        self,
        home_name: str,
        fleet: BatteryFleet,
        *,
        dt_s: float,
        horizon: int,
        peak_weight_eur_kw: float = 0.0,
    ) -> None:
        self._home_name = home_name
        self._fleet = fleet
        self._dt_s = dt_s
        self._horizon = horizon
        self._peak_weight_eur_kw = peak_weight_eur_kw
        self._kept = retention(fleet, dt_s)
        self.matrix = self._matrix()
        """Coefficients, in the order of :meth:`terms`."""
        n_rows, n_columns = self.matrix.shape
        self._columns = np.arange(n_columns, dtype=np.int32)
        self._rows = np.arange(n_rows, dtype=np.int32)
        self._highs = _solver(self.matrix)
        self._window: HomeWindow | None = None

    @property
    def horizon(self) -> int:
        """Longest window in steps."""
        return self._horizon

    @property
    def fleet(self) -> BatteryFleet:
        """The batteries of the home."""
        return self._fleet

    @property
    def first_meter_column(self) -> int:
        """Where the import of each step of the horizon begins among the columns; the export follows it."""
        return 3 * self._fleet.n * self._horizon

    def solve(self, window: HomeWindow) -> HomePlan:
        """Return the cheapest plan for ``window``.

        Raises:
            ControllerError: the window holds values that are not numbers, or the solver found no optimum.
        """
        terms = self.terms(window)
        highs = self._highs
        highs.changeColsBounds(len(self._columns), self._columns, terms.column_lower, terms.column_upper)
        highs.changeRowsBounds(len(self._rows), self._rows, terms.row_lower, terms.row_upper)
        self._window = window
        return self._run(window, terms.cost)

    def reprice(self, price_import_eur_kwh: FloatArray, price_export_eur_kwh: FloatArray) -> HomePlan:
        """Return the cheapest plan for the last window at other prices, shape (n,) each.

        Raises:
            ValueError: no window has been solved yet.
            ControllerError: as :meth:`solve`.
        """
        if self._window is None:
            raise ValueError("reprice() changes the prices of a window; call solve() first")
        window = replace(
            self._window, price_import_eur_kwh=price_import_eur_kwh, price_export_eur_kwh=price_export_eur_kwh
        )
        self._refuse_gaps(window)
        return self._run(window, self._costs(window))

    def terms(self, window: HomeWindow) -> HomeTerms:
        """Return costs and bounds for ``window``, in the order of ``matrix``.

        Raises:
            ControllerError: the window holds values that are not numbers.
        """
        self._refuse_gaps(window)
        column_lower, column_upper = self._column_bounds(window)
        row_lower, row_upper = self._row_bounds(window)
        return HomeTerms(
            cost=self._costs(window),
            column_lower=column_lower,
            column_upper=column_upper,
            row_lower=row_lower,
            row_upper=row_upper,
        )

    def plan(self, window: HomeWindow, columns: FloatArray, *, cost_eur: float) -> HomePlan:
        """Return the plan that a solution ``columns`` of the program means, within what the batteries can hold."""
        n = len(window.net_kw)
        blocks = columns[: 2 * self._fleet.n * self._horizon]
        charge_kw, discharge_kw = blocks.reshape(2, self._fleet.n, self._horizon)
        battery_kw = (charge_kw - discharge_kw).T[:n].copy()
        lowest_kw, highest_kw = power_limits_kw(self._fleet, window.soc, self._dt_s)
        battery_kw[0] = np.clip(battery_kw[0], lowest_kw, highest_kw)  # the solver keeps bounds to 1e-7 only
        return HomePlan(battery_kw=battery_kw, cost_eur=cost_eur)

    def _run(self, window: HomeWindow, cost: FloatArray) -> HomePlan:
        highs = self._highs
        highs.changeColsCost(len(cost), self._columns, cost)
        highs.run()
        status = highs.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            raise ControllerError(
                f"home {self._home_name!r}, step {window.step}: the LP over {len(window.net_kw)} steps ended with "
                f"status {highs.modelStatusToString(status)!r} instead of an optimum; check the battery's parameters "
                "and the prices, or use another strategy"
            )
        columns = np.asarray(highs.getSolution().col_value)
        return self.plan(window, columns, cost_eur=float(highs.getInfo().objective_function_value))

    def _matrix(self) -> csc_array:
        """Return the coefficients; columns c, d, e by battery, then m, x, and u; each over the horizon."""
        fleet, n_batteries = self._fleet, self._fleet.n
        dt_h = hours(self._dt_s)
        one = eye_array(self._horizon, format="csc")
        before = eye_array(self._horizon, k=-1, format="csc")
        each = np.ones((1, n_batteries))
        balance = join_columns([kron(-each, one), kron(each, one), kron(0.0 * each, one), one, -one])
        dynamics = join_columns(
            [
                kron(np.diag(-dt_h * fleet.eta_charge), one),
                kron(np.diag(dt_h / fleet.eta_discharge), one),
                kron(np.eye(n_batteries), one) - kron(np.diag(self._kept), before),
                csc_array((n_batteries * self._horizon, 2 * self._horizon)),
            ]
        )
        matrix = vstack([balance, dynamics])
        if self._peak_weight_eur_kw > 0.0:
            nothing = csc_array((self._horizon, 3 * n_batteries * self._horizon))
            peak = join_columns([nothing, one, one, csc_array(-np.ones((self._horizon, 1)))])
            matrix = vstack([join_columns([matrix, csc_array((matrix.shape[0], 1))]), peak])
        matrix = csc_array(matrix)
        matrix.eliminate_zeros()
        return matrix

    def _costs(self, window: HomeWindow) -> FloatArray:
        n, dt_h = len(window.net_kw), hours(self._dt_s)
        stored = np.zeros((self._fleet.n, self._horizon))
        stored[:, n - 1] = -window.stored_value_eur_kwh
        meter = np.zeros((2, self._horizon))
        meter[0, :n] = dt_h * window.price_import_eur_kwh
        meter[1, :n] = -dt_h * np.minimum(window.price_export_eur_kwh, window.price_import_eur_kwh)
        peak = [self._peak_weight_eur_kw] if self._peak_weight_eur_kw > 0.0 else []
        return np.concatenate([np.zeros(2 * stored.size), stored.ravel(), meter.ravel(), peak])

    def _column_bounds(self, window: HomeWindow) -> tuple[FloatArray, FloatArray]:
        """Return the bounds; after the end of a shorter window nothing flows and the battery rests."""
        fleet, n = self._fleet, len(window.net_kw)
        lowest_kw, highest_kw = power_limits_kw(fleet, window.soc, self._dt_s)
        power = np.zeros((2, fleet.n, self._horizon))
        power[0, :, :n], power[1, :, :n] = fleet.charge_kw[:, None], fleet.discharge_kw[:, None]
        power[0, :, 0], power[1, :, 0] = highest_kw, -lowest_kw
        resting_kwh = (window.soc * fleet.capacity_kwh)[:, None] * self._kept[:, None] ** np.arange(1, n + 1)
        e_lower, e_upper = np.zeros((fleet.n, self._horizon)), np.full((fleet.n, self._horizon), np.inf)
        keep_soc = fleet.soc_min if window.keep_soc is None else np.maximum(fleet.soc_min, window.keep_soc)
        keep_kwh = np.broadcast_to(keep_soc * fleet.capacity_kwh, (n, fleet.n))
        e_lower[:, :n] = np.minimum(keep_kwh.T, resting_kwh)
        e_upper[:, :n] = np.maximum((fleet.soc_max * fleet.capacity_kwh)[:, None], resting_kwh)
        meter = np.zeros((2, self._horizon))
        meter[:, :n] = _meter_bounds_kw(window)
        n_peak = len(self._columns) - power.size - e_lower.size - meter.size
        lower = np.concatenate([np.zeros(power.size), e_lower.ravel(), np.zeros(meter.size + n_peak)])
        upper = np.concatenate([power.ravel(), e_upper.ravel(), meter.ravel(), np.full(n_peak, np.inf)])
        return lower, upper

    def _row_bounds(self, window: HomeWindow) -> tuple[FloatArray, FloatArray]:
        fleet, n = self._fleet, len(window.net_kw)
        right = np.zeros((1 + fleet.n, self._horizon))
        right[0, :n] = window.net_kw
        right[1:, 0] = self._kept * window.soc * fleet.capacity_kwh
        n_peak = len(self._rows) - right.size
        lower = np.concatenate([right.ravel(), np.full(n_peak, -np.inf)])
        upper = np.concatenate([right.ravel(), np.zeros(n_peak)])
        return lower, upper

    def _refuse_gaps(self, window: HomeWindow) -> None:
        for name in ("net_kw", "price_import_eur_kwh", "price_export_eur_kwh", "soc", "stored_value_eur_kwh"):
            good = np.isfinite(getattr(window, name))
            if not good.all():
                raise ControllerError(
                    f"home {self._home_name!r}, step {window.step}: {name}[{int(np.flatnonzero(~good)[0])}] of the "
                    "window is not a finite number; fill the gap in the profile, price or measurement it comes from"
                )


def battery_subset(fleet: BatteryFleet, index: IntArray) -> BatteryFleet:
    """Return the batteries at positions ``index`` of a fleet."""
    return BatteryFleet(**{field.name: getattr(fleet, field.name)[index] for field in fields(fleet)})


def _meter_bounds_kw(window: HomeWindow) -> FloatArray:
    """Return the largest import and export of each step, shape (2, n), at least those with batteries at rest."""
    bounds_kw = np.full((2, len(window.net_kw)), np.inf)
    if window.grid_max_kw is not None:
        bounds_kw[0] = np.maximum(window.grid_max_kw, np.maximum(window.net_kw, 0.0))
    if window.grid_min_kw is not None:
        bounds_kw[1] = np.maximum(-window.grid_min_kw, np.maximum(-window.net_kw, 0.0))
    return bounds_kw


def _solver(matrix: csc_array) -> Any:
    """Return a silent single-threaded HiGHS holding the coefficients; the rest is set before each solve."""
    n_rows, n_columns = matrix.shape
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = n_columns, n_rows
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = np.zeros(n_columns), np.zeros(n_columns), np.zeros(n_columns)
    lp.row_lower_, lp.row_upper_ = np.zeros(n_rows), np.zeros(n_rows)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = matrix.indptr.astype(np.int32)
    lp.a_matrix_.index_ = matrix.indices.astype(np.int32)
    lp.a_matrix_.value_ = matrix.data
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    highs.setOptionValue("solver", "simplex")
    highs.passModel(lp)
    return highs
