"""The feeder with the fast functions of its inverters, solved together in every step."""

from collections.abc import Mapping

import numpy as np

from models.coupling import CoupledFlow, CouplingOptions, solve_coupled
from models.feeder.base import Engine, Feeder
from models.inverter import InverterFleet, start_locks, update_locks
from twin.plant import Plant, total_by
from twin.signals import Axis
from twin.simulators.ports import Array, ports

__all__ = ["FeederCore"]


class FeederCore:
    """Power flow of one feeder; PV and battery inverters are one fleet, PV first."""

    name = "feeder"

    def __init__(self, plant: Plant, sizes: Mapping[Axis, int], *, feeder: Feeder, engine: Engine) -> None:
        self.dt_s = plant.dt_s
        self._plant = plant
        self._engine = engine
        self._n_buses = len(feeder.bus_name)
        self._n_pv = len(plant.pv_name)
        self._load_bus = plant.load_bus
        self._pv_bus = plant.pv_bus
        self._inverters = InverterFleet.concatenate((plant.pv_inverter, plant.battery_inverter))
        self._inverter_bus = np.concatenate((plant.pv_bus, plant.battery_bus))
        self._inverter_home = np.concatenate((plant.pv_home, plant.battery_home))
        self._locked = start_locks(self._inverters)
        self._vm_pu = np.ones(self._n_buses)
        self._options = CouplingOptions()
        self.inputs = ports(
            ("load.p_kw", "load.q_kvar", "pv.p_ask_kw", "pv.q_ask_kvar", "battery.p_ask_kw"),
            sizes,
            plant.dt_s,
        )
        self.outputs = ports(
            (
                "bus.vm_pu",
                "line.loading_percent",
                "trafo.p_kw",
                "trafo.q_kvar",
                "trafo.loading_percent",
                "feeder.p_import_kw",
                "feeder.q_import_kvar",
                "feeder.p_loss_kw",
                "feeder.p_other_kw",
                "feeder.residual_kva",
                "feeder.iterations",
                "home.vm_pu",
                "home.p_kw",
                "pv.p_kw",
                "pv.q_kvar",
                "battery.p_kw",
                "battery.q_kvar",
            ),
            sizes,
            plant.dt_s,
        )

    def advance(self, step: int, values: Mapping[str, Array]) -> Mapping[str, Array]:
        """Solve inverter functions and power flow to a common point."""
        load_kw, pv_kvar = values["load.p_kw"], values["pv.q_ask_kvar"]
        p_ask_kw = np.concatenate((values["pv.p_ask_kw"], values["battery.p_ask_kw"]))
        self._locked = update_locks(self._inverters, p_ask_kw, self._vm_pu[self._inverter_bus], self._locked)
        solved = solve_coupled(
            self._engine,
            p_bus_kw=total_by(self._load_bus, load_kw, self._n_buses),
            q_bus_kvar=total_by(self._load_bus, values["load.q_kvar"], self._n_buses)
            + total_by(self._pv_bus, pv_kvar, self._n_buses),
            fleet=self._inverters,
            bus=self._inverter_bus,
            p_ask_kw=p_ask_kw,
            locked=self._locked,
            vm_start_pu=self._vm_pu,
            options=self._options,
        )
        self._vm_pu = solved.flow.vm_pu
        return self._published(solved, load_kw, pv_kvar)

    def _published(self, solved: CoupledFlow, load_kw: Array, pv_kvar: Array) -> Mapping[str, Array]:
        flow, plant, n_pv = solved.flow, self._plant, self._n_pv
        home_kw = total_by(plant.load_home, load_kw, plant.n_homes) + total_by(
            self._inverter_home, solved.p_kw, plant.n_homes
        )
        return {
            "bus.vm_pu": flow.vm_pu,
            "line.loading_percent": flow.line_loading_percent,
            "trafo.p_kw": flow.trafo_p_kw,
            "trafo.q_kvar": flow.trafo_q_kvar,
            "trafo.loading_percent": flow.trafo_loading_percent,
            "feeder.p_import_kw": np.array([flow.p_import_kw]),
            "feeder.q_import_kvar": np.array([flow.q_import_kvar]),
            "feeder.p_loss_kw": np.array([flow.p_loss_kw]),
            "feeder.p_other_kw": np.array([flow.p_other_kw]),
            "feeder.residual_kva": np.array([solved.residual_kva]),
            "feeder.iterations": np.array([float(solved.iterations)]),
            "home.vm_pu": flow.vm_pu[plant.home_bus],
            "home.p_kw": home_kw,
            "pv.p_kw": solved.p_kw[:n_pv],
            "pv.q_kvar": solved.q_kvar[:n_pv] + pv_kvar,
            "battery.p_kw": solved.p_kw[n_pv:],
            "battery.q_kvar": solved.q_kvar[n_pv:],
        }
