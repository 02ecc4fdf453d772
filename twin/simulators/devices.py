"""The device fleets: what each device really gives for what it is asked."""

from collections.abc import Mapping

import numpy as np

from models import battery
from models.errors import DeviceError
from twin.plant import Plant
from twin.signals import Axis
from twin.simulators.blocks import AS_MUCH_AS_POSSIBLE_KW, Blocks, BlockStepper, live_at_home
from twin.simulators.plausible import generator_fault, storage_fault, strikes_after, strikes_allowed
from twin.simulators.ports import Array, ports

__all__ = ["DevicesCore"]


class DevicesCore:
    """PV generators and batteries. Keeps the state of charge.

    The feeder may still reduce what a battery feeds in (P(V)), so the state of charge is advanced at the start
    of a step with the power that was reached in the step before. Devices with a state of their own (blocks) step here and
    take the place of the arrays' result; their power is final. A power with the wrong sign stops the run.
    """

    name = "devices"

    def __init__(self, plant: Plant, sizes: Mapping[Axis, int], *, blocks: Blocks) -> None:
        self.dt_s = plant.dt_s
        self._fleet = plant.battery
        self._soc = plant.battery_soc_start.astype(np.float64)
        self._pv_blocks, self._battery_blocks = blocks.on(Axis.PV), blocks.on(Axis.BATTERY)
        self._strikes = [np.zeros(len(stepper.plan.position), np.int64) for stepper in self._battery_blocks]
        self._strikes_allowed = strikes_allowed(plant.dt_s)
        self._pv_rated_kw = plant.pv_inverter.p_rated_kw
        self._n_pv = sizes[Axis.PV]
        self.inputs = ports(
            (
                "pv.p_available_kw",
                "battery.p_set_kw",
                "pv.p_limit_kw",
                "battery.p_kw",
                "home.vm_pu",
                "home.p_kw",
                "state.load_value",
            ),
            sizes,
            plant.dt_s,
        )
        self.outputs = ports(
            (
                "pv.p_ask_kw",
                "pv.q_ask_kvar",
                "battery.p_ask_kw",
                "battery.soc",
                "battery.soc_end",
                "state.value",
            ),
            sizes,
            plant.dt_s,
        )

    def advance(self, step: int, values: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the power each device gives before voltage-dependent functions, and the states of charge.

        Raises:
            DeviceError: a generator draws power, or the energy of a battery moves against its power.
        """
        if step > 0:
            self._soc, _ = battery.advance(self._fleet, self._soc, values["battery.p_kw"], self.dt_s)
        p_battery_kw = battery.clip_power_kw(self._fleet, self._soc, values["battery.p_set_kw"], self.dt_s)
        soc_end, _ = battery.advance(self._fleet, self._soc, p_battery_kw, self.dt_s)
        given = {
            "pv.p_ask_kw": np.maximum(values["pv.p_available_kw"], -values["pv.p_limit_kw"]),
            "pv.q_ask_kvar": np.zeros(self._n_pv),
            "battery.p_ask_kw": p_battery_kw,
            "battery.soc": self._soc.copy(),
            "battery.soc_end": soc_end,
            "state.value": values["state.load_value"].copy(),
        }
        self._step_generators(step, values, given)
        self._step_batteries(step, values, given)
        return given

    def _step_generators(self, step: int, values: Mapping[str, Array], given: dict[str, Array]) -> None:
        for stepper in self._pv_blocks:
            at = stepper.plan.position
            live = live_at_home(stepper.plan, values)
            live["p_available_kw"] = values["pv.p_available_kw"][at]
            live["p_limit_kw"] = np.minimum(values["pv.p_limit_kw"][at], AS_MUCH_AS_POSSIBLE_KW)
            stepper.step(step, live)
            p_kw = stepper.output("p_kw")
            fault = generator_fault(p_kw, rated_kw=self._pv_rated_kw[at], names=stepper.names)
            if fault is not None:
                raise DeviceError(f"{stepper.plan.label}: {fault}")
            given["pv.p_ask_kw"][at] = p_kw
            if stepper.gives("q_kvar"):
                given["pv.q_ask_kvar"][at] = stepper.output("q_kvar")
            given["state.value"][stepper.state_slots] = stepper.states()

    def _step_batteries(self, step: int, values: Mapping[str, Array], given: dict[str, Array]) -> None:
        for number, stepper in enumerate(self._battery_blocks):
            at = stepper.plan.position
            soc = stepper.output("soc")
            given["battery.soc"][at] = soc
            live = live_at_home(stepper.plan, values)
            live["p_set_kw"] = values["battery.p_set_kw"][at]
            stepper.step(step, live)
            given["battery.p_ask_kw"][at] = stepper.output("p_kw")
            given["battery.soc_end"][at] = stepper.output("soc")
            given["state.value"][stepper.state_slots] = stepper.states()
            self._check_storage(number, stepper, stepper.output("soc") - soc)

    def _check_storage(self, number: int, stepper: BlockStepper, gained: Array) -> None:
        """Compare the powers of a block with the share of its capacity that each battery gained."""
        fleet, at, p_kw = self._fleet, stepper.plan.position, stepper.output("p_kw")
        gained_kwh = gained * fleet.capacity_kwh[at]
        rated_kw = np.maximum(fleet.charge_kw[at], fleet.discharge_kw[at])
        strikes = strikes_after(
            self._strikes[number], p_kw, gained_kwh=gained_kwh, rated_kw=rated_kw, dt_s=self.dt_s
        )
        fault = storage_fault(
            strikes, p_kw, gained_kwh=gained_kwh, names=stepper.names, allowed=self._strikes_allowed
        )
        if fault is not None:
            raise DeviceError(f"{stepper.plan.label}: {fault}")
        self._strikes[number] = strikes
