"""The fast engine: power-grid-model (doi:10.5281/zenodo.8054429) on the arrays of the feeder's grid.

Every branch of the grid is a ``generic_branch`` with its impedance on the voltage base of its to side, every node has one
load of constant power, every slack is a source that is stiff enough to have no internal voltage drop. Agrees with
pandapower to 1e-9 pu. The losses are summed over branches and shunts, not taken from the balance, so that import = bus
powers + losses is a check of the solution.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from power_grid_model import CalculationMethod, PowerGridModel, initialize_array
from power_grid_model.errors import PowerGridError

from models.errors import FeederError, PowerFlowError
from models.feeder.base import Feeder, FloatArray, Flow, Grid, IntArray
from models.feeder.powers import check_carried, check_flow, check_powers, heaviest

__all__ = ["PgmEngine"]

_STIFF_VA = 1e20
_TOLERANCE_PU = 1e-9
_W_PER_KW = 1e3
_W_PER_MW = 1e6
_V_PER_KV = 1e3
_A_PER_KA = 1e3
_PERCENT = 100.0
_OUTPUTS = {
    "node": ["u_pu"],
    "generic_branch": ["p_from", "q_from", "i_from", "p_to", "i_to"],
    "source": ["p", "q"],
}
_SHUNT_OUTPUTS = {"shunt": ["p"]}
_METHODS = (CalculationMethod.iterative_current, CalculationMethod.newton_raphson)


class PgmEngine:
    """Solves one feeder with power-grid-model."""

    name = "pgm"

    def __init__(self, feeder: Feeder) -> None:
        """Build the model of ``feeder``.

        Raises:
            FeederError: the feeder holds something the arrays cannot carry, or power-grid-model refuses the data.
        """
        check_carried(feeder, self.name)
        self._feeder = feeder
        self._n_nodes = len(feeder.grid.node_vn_kv)
        data, load_id = _input(feeder.grid)
        try:
            self._model = PowerGridModel(data)
        except PowerGridError as error:
            raise FeederError(f"{feeder.name}: power-grid-model refuses the network ({error})") from error
        update = initialize_array("update", "sym_load", self._n_nodes)
        update["id"] = load_id
        self._update = {"sym_load": update}
        self._has_shunts = len(data["shunt"]) > 0
        self._outputs = _OUTPUTS | (_SHUNT_OUTPUTS if self._has_shunts else {})
        self._p_w = update["p_specified"]
        self._q_var = update["q_specified"]
        windings = feeder.windings
        self._from_windings = windings.branch[windings.at_from]
        self._to_windings = windings.branch[~windings.at_from]
        self._percent_per_a_line = _PERCENT / (feeder.line_rating_ka * _A_PER_KA)
        self._percent_per_a_winding = _PERCENT / (windings.rating_ka * _A_PER_KA)
        self._first_winding = np.searchsorted(windings.trafo, np.arange(len(feeder.trafo_name)))

    def solve(self, p_kw: FloatArray, q_kvar: FloatArray) -> Flow:
        """Solve for the powers drawn at each bus, shape (NB,) each, consumption positive."""
        feeder = self._feeder
        check_powers(feeder, p_kw, q_kvar)
        self._p_w[:] = np.bincount(feeder.bus_node, weights=p_kw, minlength=self._n_nodes)
        self._p_w *= _W_PER_KW
        self._q_var[:] = np.bincount(feeder.bus_node, weights=q_kvar, minlength=self._n_nodes)
        self._q_var *= _W_PER_KW
        self._model.update(update_data=self._update)
        result = self._calculate(p_kw, q_kvar)
        branch, source = result["generic_branch"], result["source"]
        p_from, i_from, i_to = branch["p_from"], branch["i_from"], branch["i_to"]
        line, trafo = feeder.line_branch, feeder.trafo_branch
        loss_w = p_from.sum() + branch["p_to"].sum()
        if self._has_shunts:
            loss_w += result["shunt"]["p"].sum()
        flow = Flow(
            vm_pu=result["node"]["u_pu"][feeder.bus_node],
            line_loading_percent=np.maximum(i_from[line], i_to[line]) * self._percent_per_a_line,
            trafo_loading_percent=self._trafo_loading(i_from, i_to),
            trafo_p_kw=p_from[trafo] / _W_PER_KW,
            trafo_q_kvar=branch["q_from"][trafo] / _W_PER_KW,
            p_import_kw=float(source["p"].sum()) / _W_PER_KW,
            q_import_kvar=float(source["q"].sum()) / _W_PER_KW,
            p_loss_kw=float(loss_w) / _W_PER_KW,
        )
        return check_flow(feeder, flow, p_kw, q_kvar)

    def _calculate(self, p_kw: FloatArray, q_kvar: FloatArray) -> Any:
        """Return the result arrays; Newton-Raphson where the faster method finds no solution."""
        failure: PowerGridError | None = None
        for method in _METHODS:
            try:
                return self._model.calculate_power_flow(
                    calculation_method=method,
                    error_tolerance=_TOLERANCE_PU,
                    output_component_types=self._outputs,
                )
            except PowerGridError as error:
                failure = error
        raise PowerFlowError(
            f"{self._feeder.name}: the power flow (pgm) did not converge; {heaviest(self._feeder, p_kw, q_kvar)}; the "
            "feeder cannot carry this power, check device sizes and units"
        ) from failure

    def _trafo_loading(self, i_from: FloatArray, i_to: FloatArray) -> FloatArray:
        windings = self._feeder.windings
        if len(windings.trafo) == 0:
            return np.zeros(0)
        share = np.empty(len(windings.trafo))
        share[windings.at_from] = i_from[self._from_windings]
        share[~windings.at_from] = i_to[self._to_windings]
        share *= self._percent_per_a_winding
        loading: FloatArray = np.maximum.reduceat(share, self._first_winding)
        return loading


def _input(grid: Grid) -> tuple[dict[str, Any], IntArray]:
    """Return power-grid-model's input and the identities of the loads, one per node in order."""
    n_nodes, n_branches, n_sources = len(grid.node_vn_kv), len(grid.branch_from), len(grid.slack_node)
    shunt_node = np.flatnonzero((grid.node_g_mw != 0.0) | (grid.node_b_mvar != 0.0))
    counts = np.cumsum([0, n_nodes, n_branches, n_sources, len(shunt_node), n_nodes])
    node_id, branch_id, source_id, shunt_id, load_id = (
        np.arange(first, last) for first, last in pairwise(counts)
    )
    node = initialize_array("input", "node", n_nodes)
    node["id"], node["u_rated"] = node_id, grid.node_vn_kv * _V_PER_KV
    source = initialize_array("input", "source", n_sources)
    source["id"], source["node"], source["status"] = source_id, grid.slack_node, 1
    source["u_ref"], source["u_ref_angle"] = grid.slack_vm_pu, np.deg2rad(grid.slack_va_degree)
    source["sk"] = _STIFF_VA
    load = initialize_array("input", "sym_load", n_nodes)
    load["id"], load["node"], load["status"] = load_id, node_id, 1
    load["type"], load["p_specified"], load["q_specified"] = 0, 0.0, 0.0
    data = {
        "node": node,
        "generic_branch": _branches(grid, branch_id),
        "source": source,
        "shunt": _shunts(grid, shunt_id, shunt_node),
        "sym_load": load,
    }
    return data, load_id


def _branches(grid: Grid, identity: IntArray) -> Any:
    branch = initialize_array("input", "generic_branch", len(identity))
    base_ohm = grid.node_vn_kv[grid.branch_to] ** 2 / grid.base_mva
    branch["id"], branch["from_node"], branch["to_node"] = identity, grid.branch_from, grid.branch_to
    branch["from_status"], branch["to_status"] = 1, 1
    branch["r1"], branch["x1"] = grid.r_pu * base_ohm, grid.x_pu * base_ohm
    branch["g1"], branch["b1"] = grid.g_pu / base_ohm, grid.b_pu / base_ohm
    branch["k"], branch["theta"] = grid.tap, np.deg2rad(grid.shift_degree)
    branch["sn"] = _W_PER_MW  # only for power-grid-model's own loading, which is not used
    return branch


def _shunts(grid: Grid, identity: IntArray, node: IntArray) -> Any:
    shunt = initialize_array("input", "shunt", len(identity))
    siemens_per_mw = 1.0 / grid.node_vn_kv[node] ** 2
    shunt["id"], shunt["node"], shunt["status"] = identity, node, 1
    shunt["g1"] = grid.node_g_mw[node] * siemens_per_mw
    shunt["b1"] = grid.node_b_mvar[node] * siemens_per_mw
    shunt["g0"], shunt["b0"] = 0.0, 0.0
    return shunt
