"""pandapower's own compiled model (its "ppc" arrays) as a :class:`~models.feeder.base.Grid`.

pandapower turns a network into the branch and bus matrices of MATPOWER (Zimmerman et al. 2011,
doi:10.1109/TPWRS.2010.2051168), with switches, taps, parallel elements and star points of three-winding transformers
resolved. Taking those arrays means that every engine solves exactly the model of the reference.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandapower
from pandapower.pypower import idx_brch, idx_bus

from models.errors import FeederError
from models.feeder.base import BoolArray, FloatArray, Grid, IntArray
from models.feeder.preparation import unsupported_elements
from models.feeder.sources import library_warnings_ignored

__all__ = ["Extraction", "extract"]

_SLACK = 3
_NOT_IN_SERVICE = 4
# what pandapower raises about inconsistent data; an ArithmeticError is a branch without reactance
_PANDAPOWER_FAILURES = (
    UserWarning,
    ArithmeticError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    NotImplementedError,
)
_ASYMMETRIC = [idx_brch.BR_R_ASYM, idx_brch.BR_X_ASYM, idx_brch.BR_G_ASYM, idx_brch.BR_B_ASYM]


@dataclass(frozen=True, kw_only=True, eq=False)
class Extraction:
    """A grid and where the network's elements are in it."""

    grid: Grid
    bus_index: IntArray
    """Rows of ``net.bus`` that are in service and supplied, in the table's order."""
    bus_node: IntArray
    """Node of each of these buses."""
    branch_of: dict[str, IntArray]
    """Per table (``line``, ``trafo``, ``trafo3w``): branch of each row, -1 where it carries no current. For ``trafo3w`` the
    high voltage windings of all rows, then the middle, then the low voltage ones."""


def extract(net: Any, source: str) -> Extraction:
    """Return the node-branch model of ``net``, without its loads, static generators and storages.

    Raises:
        FeederError: pandapower cannot solve the network even with nothing connected.
    """
    ppc, lookups = _solve_without_devices(net, source)
    bus, branch = ppc["bus"].real, ppc["branch"].real
    kept_node = bus[:, idx_bus.BUS_TYPE] != _NOT_IN_SERVICE
    node_of = np.where(kept_node, np.cumsum(kept_node) - 1, -1)
    ends = branch[:, [idx_brch.F_BUS, idx_brch.T_BUS]].astype(np.int64)
    kept_branch = (branch[:, idx_brch.BR_STATUS] == 1) & kept_node[ends].all(axis=1)
    grid = _grid(net, ppc, kept_node=kept_node, kept_branch=kept_branch)
    branch_of = np.where(kept_branch, np.cumsum(kept_branch) - 1, -1)
    ranges = lookups["branch"]
    bus_row = lookups["bus"][net.bus.index.to_numpy()]
    supplied = net.bus.in_service.to_numpy(dtype=bool) & (bus_row >= 0) & kept_node[bus_row]
    return Extraction(
        grid=grid,
        bus_index=net.bus.index.to_numpy(dtype=np.int64)[supplied],
        bus_node=node_of[bus_row[supplied]].astype(np.int64),
        branch_of={
            table: branch_of[slice(*ranges[table])] if table in ranges else np.zeros(0, dtype=np.int64)
            for table in ("line", "trafo", "trafo3w")
        },
    )


def _solve_without_devices(net: Any, source: str) -> tuple[Any, Any]:
    tables = ("load", "sgen", "storage")
    in_service = {table: net[table].in_service.copy() for table in tables}
    try:
        for table in tables:
            net[table]["in_service"] = False
        with library_warnings_ignored():
            pandapower.runpp(net, numba=False)
    except pandapower.LoadflowNotConverged as error:
        raise FeederError(
            f"{source}: pandapower finds no solution even with all loads and generators off ({error}); "
            "check impedances, voltage levels and transformer data with pandapower.diagnostic"
        ) from error
    except _PANDAPOWER_FAILURES as error:
        raise FeederError(
            f"{source}: pandapower cannot compile the network ({type(error).__name__}: {error}); a "
            "branch without impedance or inconsistent data? Check it with pandapower.diagnostic"
        ) from error
    finally:
        for table in tables:
            net[table]["in_service"] = in_service[table]
    return net["_ppc"], net["_pd2ppc_lookups"]


def _grid(net: Any, ppc: Any, *, kept_node: BoolArray, kept_branch: BoolArray) -> Grid:
    bus, branch = ppc["bus"].real[kept_node], ppc["branch"].real[kept_branch]
    renumber = np.cumsum(kept_node) - 1
    slack = np.flatnonzero(bus[:, idx_bus.BUS_TYPE] == _SLACK)
    tap = branch[:, idx_brch.TAP]
    unsupported = list(unsupported_elements(net))
    if np.abs(branch[:, _ASYMMETRIC]).max(initial=0.0) > 0.0:
        unsupported.append("branches that differ between their two ends")
    if not unsupported and np.abs(bus[:, [idx_bus.PD, idx_bus.QD]]).max(initial=0.0) > 0.0:
        unsupported.append("constant powers that are no load, static generator or storage")
    return Grid(
        base_mva=float(ppc["baseMVA"]),
        node_vn_kv=_column(bus, idx_bus.BASE_KV),
        node_g_mw=_column(bus, idx_bus.GS),
        node_b_mvar=_column(bus, idx_bus.BS),
        branch_from=renumber[branch[:, idx_brch.F_BUS].astype(np.int64)].astype(np.int64),
        branch_to=renumber[branch[:, idx_brch.T_BUS].astype(np.int64)].astype(np.int64),
        r_pu=_column(branch, idx_brch.BR_R),
        x_pu=_column(branch, idx_brch.BR_X),
        g_pu=_column(branch, idx_brch.BR_G),
        b_pu=_column(branch, idx_brch.BR_B),
        tap=np.where(tap == 0.0, 1.0, tap),  # MATPOWER writes 0 for "no transformer"
        shift_degree=_column(branch, idx_brch.SHIFT),
        slack_node=slack.astype(np.int64),
        slack_vm_pu=_column(bus[slack], idx_bus.VM),
        slack_va_degree=_column(bus[slack], idx_bus.VA),
        unsupported=tuple(unsupported),
    )


def _column(matrix: Any, column: int) -> FloatArray:
    return np.array(matrix[:, column], dtype=np.float64)
