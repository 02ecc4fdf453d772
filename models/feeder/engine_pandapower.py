"""The reference engine: every step is a Newton-Raphson power flow by ``pandapower.runpp``. Slow, and always available."""

import copy

import numpy as np
import pandapower
from pandapower.pypower import idx_brch, idx_bus

from models.errors import PowerFlowError
from models.feeder.base import Feeder, FloatArray, Flow
from models.feeder.powers import check_flow, check_powers, heaviest
from models.feeder.sources import library_warnings_ignored

__all__ = ["PandapowerEngine"]

_KW_PER_MW = 1e3
_ROWS_WORTH_COMPILING = 1000


class PandapowerEngine:
    """Solves one feeder with pandapower, on a copy of its network with one load per bus."""

    name = "pandapower"

    def __init__(self, feeder: Feeder) -> None:
        """Copy the network of ``feeder`` and switch its own loads, static generators and storages off."""
        self._feeder = feeder
        self._net = copy.deepcopy(feeder.net)
        for table in ("load", "sgen", "storage"):
            self._net[table] = self._net[table].iloc[0:0].copy()
        pandapower.create_loads(self._net, feeder.index.bus, p_mw=0.0, q_mvar=0.0)

    def solve(self, p_kw: FloatArray, q_kvar: FloatArray) -> Flow:
        """Solve for the powers drawn at each bus, shape (NB,) each, consumption positive."""
        check_powers(self._feeder, p_kw, q_kvar)
        net = self._net
        net.load["p_mw"] = p_kw / _KW_PER_MW
        net.load["q_mvar"] = q_kvar / _KW_PER_MW
        try:
            with library_warnings_ignored():
                pandapower.runpp(net, numba=len(net.bus) > _ROWS_WORTH_COMPILING)
        except pandapower.LoadflowNotConverged as error:
            raise PowerFlowError(
                f"{self._feeder.name}: the power flow (pandapower) did not converge; "
                f"{heaviest(self._feeder, p_kw, q_kvar)}; the feeder cannot carry this power, check device sizes and units"
            ) from error
        return check_flow(self._feeder, self._flow(p_kw), p_kw, q_kvar)

    def _flow(self, p_kw: FloatArray) -> Flow:
        net, index = self._net, self._feeder.index
        two, three = net.res_trafo.loc[index.trafo], net.res_trafo3w.loc[index.trafo3w]
        p_import_kw = self._import("p_mw")
        branch_loss_kw, shunt_kw = self._losses()
        p_other_kw = 0.0
        if self._feeder.grid.unsupported:
            # pandapower sums, per bus, all elements connected to it, the slack among them
            p_other_kw = (
                float(net.res_bus.p_mw.sum()) * _KW_PER_MW + p_import_kw - float(p_kw.sum()) - shunt_kw
            )
        return Flow(
            vm_pu=net.res_bus.vm_pu.loc[index.bus].to_numpy(dtype=np.float64, copy=True),
            line_loading_percent=net.res_line.loading_percent.loc[index.line].to_numpy(
                dtype=np.float64, copy=True
            ),
            trafo_loading_percent=np.concatenate([two.loading_percent, three.loading_percent]).astype(
                np.float64
            ),
            trafo_p_kw=np.concatenate([two.p_hv_mw, three.p_hv_mw]).astype(np.float64) * _KW_PER_MW,
            trafo_q_kvar=np.concatenate([two.q_hv_mvar, three.q_hv_mvar]).astype(np.float64) * _KW_PER_MW,
            p_import_kw=p_import_kw,
            q_import_kvar=self._import("q_mvar"),
            p_loss_kw=branch_loss_kw + shunt_kw,
            p_other_kw=p_other_kw,
        )

    def _import(self, column: str) -> float:
        net = self._net
        total = float(net.res_ext_grid[column].sum())
        if len(net.gen):
            total += float(net.res_gen.loc[net.gen.slack.astype(bool), column].sum())
        return total * _KW_PER_MW

    def _losses(self) -> tuple[float, float]:
        """Return active losses of branches and of shunts [kW]."""
        branch, bus = self._net["_ppc"]["branch"].real, self._net["_ppc"]["bus"].real
        loss_mw = branch[:, idx_brch.PF] + branch[:, idx_brch.PT]
        carries = (branch[:, idx_brch.BR_STATUS] == 1) & np.isfinite(loss_mw)
        shunt_mw = np.nansum(bus[:, idx_bus.GS] * bus[:, idx_bus.VM] ** 2)
        return float(loss_mw[carries].sum()) * _KW_PER_MW, float(shunt_mw) * _KW_PER_MW
