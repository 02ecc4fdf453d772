"""What comes from outside the strategy's reach in a step: loads, sun, prices, third-party simulators, appliances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from twin.errors import RunError
from twin.plant import Plant
from twin.signals import Axis, Sign
from twin.simulators.blocks import AS_MUCH_AS_POSSIBLE_KW, Blocks, live_at_home
from twin.simulators.ports import Array, Port, ports

__all__ = ["ExogenousCore", "ExternalInput"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalInput:
    """A third-party simulator's value that drives one load of the plant."""

    port: str
    """Name of the input port, ``external.<name>``."""
    load: int
    """Position of the load it drives."""
    kw_per_unit: float
    """Factor to kW, consumption positive."""


class ExogenousCore:
    """Publishes the plant's series, with what third-party simulators and appliances draw filled in.

    An appliance is a load with a state of its own (a block). It steps before the strategy, whose meters then show it; a
    set-point reaches it one step later.
    """

    name = "exogenous"

    def __init__(
        self,
        plant: Plant,
        sizes: Mapping[Axis, int],
        external: Sequence[ExternalInput] = (),
        *,
        blocks: Blocks,
    ) -> None:
        self.dt_s = plant.dt_s
        self._plant = plant
        self._external = tuple(external)
        self._appliances = blocks.on(Axis.LOAD)
        self._n_states = sizes[Axis.STATE]
        keys = ("feeder.step_done", "home.vm_pu", "home.p_kw", "load.p_set_kw")
        self.inputs = ports(keys, sizes, plant.dt_s) + tuple(
            Port(name=entry.port, unit="kW", sign=Sign.CONSUMPTION, size=1, dt_s=plant.dt_s)
            for entry in self._external
        )
        self.outputs = ports(
            (
                "load.p_kw",
                "load.q_kvar",
                "pv.p_available_kw",
                "feeder.price_import_eur_kwh",
                "feeder.price_export_eur_kwh",
                "state.load_value",
            ),
            sizes,
            plant.dt_s,
        )

    def advance(self, step: int, values: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the series of this step."""
        plant = self._plant
        if values["feeder.step_done"][0] != step - 1:
            raise RunError(
                f"step {step} starts after step {values['feeder.step_done'][0]:g}; the wiring is out of order"
            )
        load_kw = plant.load_p_kw[step].astype(np.float64)
        for entry in self._external:
            value = float(values[entry.port][0]) * entry.kw_per_unit
            if not np.isfinite(value):
                raise RunError(
                    f"{entry.port}: the simulator delivered {value}; a terminal needs a finite power every step"
                )
            load_kw[entry.load] = value
        load_kvar = plant.load_q_kvar[step].astype(np.float64)
        states = np.zeros(self._n_states)
        for stepper in self._appliances:
            at = stepper.plan.position
            live = live_at_home(stepper.plan, values)
            live["p_set_kw"] = np.minimum(values["load.p_set_kw"][at], AS_MUCH_AS_POSSIBLE_KW)
            live["p_limit_kw"] = np.maximum(live["p_set_kw"], 0.0)
            stepper.step(step, live)
            load_kw[at] = stepper.output("p_kw")
            if stepper.gives("q_kvar"):
                load_kvar[at] = stepper.output("q_kvar")
            states[stepper.state_slots] = stepper.states()
        return {
            "load.p_kw": load_kw,
            "load.q_kvar": load_kvar,
            "pv.p_available_kw": plant.pv_available_kw[step].astype(np.float64),
            "feeder.price_import_eur_kwh": plant.tariff.price_import_eur_kwh[step : step + 1].copy(),
            "feeder.price_export_eur_kwh": plant.tariff.price_export_eur_kwh[step : step + 1].copy(),
            "state.load_value": states,
        }
