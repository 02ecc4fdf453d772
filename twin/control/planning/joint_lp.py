"""Plan a pool as one program: the witness of the decomposition, and the exact plan for small pools.

Columns and rows of the homes (:mod:`twin.control.planning.home_lp`) side by side, then for each term and hour the shared energy s:

    s_gh <= constant injected_gh + dt * sum of the exports of its homes with a plant
    s_gh <= constant withdrawn_gh + dt * sum of the imports of its homes

``value`` minimises the homes' objectives less the value of s: a linear program. ``shared`` maximises the sum of s of the
first term, the pool as a whole, then minimises the homes' objectives at that sum; as a home could otherwise gain by
importing and exporting at the same time, a binary for each home and step lets its meter do one of the two, and the value
of s does not matter.

For hundreds of homes planned again every hour use :mod:`twin.control.planning.decomposition`.
"""

from collections.abc import Sequence
from typing import Any, Literal

import highspy
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_diag, coo_array, csc_array, eye_array, vstack
from scipy.sparse import hstack as join_columns

from twin.control.base import FloatArray, IntArray
from twin.control.planning.home_lp import HomeLp
from twin.control.planning.pooling import PoolPlan, PoolWindow, planned_shared_kwh
from twin.errors import ControllerError
from twin.units import hours

__all__ = ["Objective", "solve_jointly"]

BoolArray = NDArray[np.bool_]
Objective = Literal["value", "shared"]

_SLACK = 1e-5


_MOST_NODES = 5000
"""Nodes of the search with integers: a bound that is the same on every machine, where a time limit is not."""


def solve_jointly(
    window: PoolWindow, programs: Sequence[HomeLp], *, dt_s: float, objective: Objective = "value"
) -> PoolPlan:
    """Return the best plan for ``window``.

    Args:
        window: the problem; at least one home.
        programs: program of each home of the window, in the same order.
        dt_s: step length [s].
        objective: what is best.

    Raises:
        ControllerError: the solver found no optimum.
    """
    joint = _Joint(window, programs, dt_h=hours(dt_s))
    if objective == "value":
        joint.minimise(joint.cost - joint.shared(window.value_eur_kwh))
        return joint.plan(-joint.row_dual()[: window.value_eur_kwh.size].reshape(window.value_eur_kwh.shape))
    joint.one_way_meters()
    one = np.zeros_like(window.value_eur_kwh)
    one[0] = 1.0
    most_kwh = -joint.minimise(-joint.shared(one))
    joint.share_at_least(most_kwh - _SLACK * (1.0 + abs(most_kwh)))  # the solver keeps rows to a tolerance
    joint.minimise(joint.cost)
    return joint.plan(np.zeros_like(window.value_eur_kwh))


class _Joint:
    """All homes of a window in one solver."""

    def __init__(self, window: PoolWindow, programs: Sequence[HomeLp], *, dt_h: float) -> None:
        self._window, self._programs, self._dt_h = window, programs, dt_h
        terms = [program.terms(home) for program, home in zip(programs, window.homes, strict=True)]
        sizes = [program.matrix.shape[1] for program in programs]
        self._first = np.concatenate([[0], np.cumsum(sizes)])
        n_columns, n_shared = int(self._first[-1]), window.value_eur_kwh.size
        self.cost = np.concatenate([*(term.cost for term in terms), np.zeros(n_shared)])
        infinite = np.full(n_shared, highspy.kHighsInf)
        self._column_lower = np.concatenate([*(term.column_lower for term in terms), -infinite])
        self._column_upper = np.concatenate([*(term.column_upper for term in terms), infinite])
        shared = eye_array(n_shared)
        withdrawn = self._hourly(0, window.counted, n_columns=n_columns)
        injected = self._hourly(1, window.counted & window.has_plant, n_columns=n_columns)
        matrix = vstack(
            [
                join_columns([-injected, shared]),
                join_columns([-withdrawn, shared]),
                join_columns(
                    [
                        block_diag([program.matrix for program in programs]),
                        csc_array((sum(program.matrix.shape[0] for program in programs), n_shared)),
                    ]
                ),
            ]
        )
        row_lower = np.concatenate([-infinite, -infinite, *(term.row_lower for term in terms)])
        row_upper = np.concatenate(
            [
                window.injected_kwh.ravel(),
                window.withdrawn_kwh.ravel(),
                *(term.row_upper for term in terms),
            ]
        )
        self._highs = self._solver(csc_array(matrix), row_lower, row_upper)

    def _meter_columns(self, j: int, side: int) -> IntArray:
        """Return the columns of import (side 0) or export (side 1) of home ``j`` in each step, shape (n,)."""
        program, n = self._programs[j], len(self._window.hour)
        first = int(self._first[j]) + program.first_meter_column + side * program.horizon
        return np.arange(first, first + n)

    def _hourly(self, side: int, counted: BoolArray, *, n_columns: int) -> Any:
        """Return the coefficients that sum up the meters of counted homes by term and hour, shape (G * N, columns)."""
        term, home = np.nonzero(counted)
        meters = np.array([self._meter_columns(j, side) for j in range(len(self._programs))])
        rows = term[:, None] * self._window.n_hours + self._window.hour
        values = np.full(rows.size, self._dt_h)
        shape = (self._window.value_eur_kwh.size, n_columns)
        return coo_array((values, (rows.ravel(), meters[home].ravel())), shape=shape)

    def _solver(self, matrix: csc_array, row_lower: FloatArray, row_upper: FloatArray) -> Any:
        lp = highspy.HighsLp()
        lp.num_row_, lp.num_col_ = matrix.shape
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = self.cost, self._column_lower, self._column_upper
        lp.row_lower_, lp.row_upper_ = row_lower, row_upper
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = matrix.indptr.astype(np.int32)
        lp.a_matrix_.index_ = matrix.indices.astype(np.int32)
        lp.a_matrix_.value_ = matrix.data
        highs = highspy.Highs()
        for option, setting in (
            ("output_flag", False),
            ("threads", 1),
            ("mip_rel_gap", 0.0),
            ("mip_max_nodes", _MOST_NODES),
        ):
            highs.setOptionValue(option, setting)
        highs.passModel(lp)
        return highs

    def shared(self, weight: FloatArray) -> FloatArray:
        """Return costs that weigh the shared energy, ``weight`` of shape (G, N), in the order of the columns."""
        return np.concatenate([np.zeros(len(self.cost) - weight.size), weight.ravel()])

    def minimise(self, cost: FloatArray) -> float:
        """Solve with other costs and return the objective."""
        highs = self._highs
        highs.changeColsCost(len(cost), np.arange(len(cost), dtype=np.int32), cost)
        highs.run()
        status = highs.getModelStatus()
        if status == highspy.HighsModelStatus.kSolutionLimit:
            raise ControllerError(
                f"step {self._window.step}: most shared energy for {len(self._programs)} homes is not found within "
                f"{_MOST_NODES} nodes of the search; shorten horizon_h, or use objective: value"
            )
        if status != highspy.HighsModelStatus.kOptimal:
            raise ControllerError(
                f"step {self._window.step}: the joint program of {len(self._programs)} homes ended with status "
                f"{highs.modelStatusToString(status)!r} instead of an optimum; check prices and battery parameters, or "
                "use another strategy"
            )
        return float(highs.getInfo().objective_function_value)

    def one_way_meters(self) -> None:
        """Let the meter of a home import or export in a step, not both."""
        for j, (program, home) in enumerate(zip(self._programs, self._window.homes, strict=True)):
            most_import_kw = np.maximum(home.net_kw + program.fleet.charge_kw.sum(), 0.0)
            most_export_kw = np.maximum(program.fleet.discharge_kw.sum() - home.net_kw, 0.0)
            imports, exports = self._meter_columns(j, 0), self._meter_columns(j, 1)
            for t in range(len(home.net_kw)):
                self._one_way(int(imports[t]), int(exports[t]), (most_import_kw[t], most_export_kw[t]))

    def _one_way(self, imported: int, exported: int, most_kw: tuple[float, float]) -> None:
        """Keep column ``imported`` at or below z * most_kw[0] and ``exported`` at or below (1 - z) * most_kw[1]."""
        binary, infinite = self._highs.getNumCol(), highspy.kHighsInf
        self._highs.addCol(0.0, 0.0, 1.0, 0, np.zeros(0, dtype=np.int32), np.zeros(0))
        self._highs.changeColIntegrality(binary, highspy.HighsVarType.kInteger)
        for column, upper_kw, slope_kw in ((imported, 0.0, -most_kw[0]), (exported, most_kw[1], most_kw[1])):
            index = np.array([column, binary], dtype=np.int32)
            self._highs.addRow(-infinite, upper_kw, 2, index, np.array([1.0, slope_kw]))

    def share_at_least(self, least_kwh: float) -> None:
        """Keep the sum of the energy that the first term shares."""
        n_hours, first = self._window.n_hours, len(self.cost) - self._window.value_eur_kwh.size
        columns = np.arange(first, first + n_hours, dtype=np.int32)
        self._highs.addRow(least_kwh, highspy.kHighsInf, n_hours, columns, np.ones(n_hours))

    def row_dual(self) -> FloatArray:
        """Return the duals of the last linear program."""
        return np.asarray(self._highs.getSolution().row_dual)

    def plan(self, injection_dual: FloatArray) -> PoolPlan:
        """Return the plan of the last solution."""
        window = self._window
        solution = np.asarray(self._highs.getSolution().col_value)
        objective_eur = float(self._highs.getInfo().objective_function_value)
        battery_kw = [
            program.plan(home, solution[first : first + program.matrix.shape[1]], cost_eur=0.0).battery_kw
            for program, home, first in zip(self._programs, window.homes, self._first[:-1], strict=True)
        ]
        value = window.value_eur_kwh
        weight = np.divide(injection_dual, value, out=np.zeros_like(value), where=value > 0.0)
        return PoolPlan(
            battery_kw=tuple(battery_kw),
            shared_kwh=planned_shared_kwh(window, battery_kw, dt_h=self._dt_h),
            injection_weight=np.clip(weight, 0.0, 1.0),
            objective_eur=objective_eur,
            bound_eur=objective_eur,
            rounds=1,
        )
