"""The device fleets: what each device really gives for what it is asked."""

from collections.abc import Mapping

import numpy as np

from models import battery
from twin.plant import Plant
from twin.signals import Axis
from twin.simulators.ports import Array, ports

__all__ = ["DevicesCore"]


class DevicesCore:
    """PV generators and batteries. Keeps the state of charge.

    The feeder may still reduce what a battery feeds in (P(V)), so the state of charge is advanced at the start
    of a step with the power that was reached in the step before.
    """

    name = "devices"

    def __init__(self, plant: Plant, sizes: Mapping[Axis, int]) -> None:
        self.dt_s = plant.dt_s
        self._fleet = plant.battery
        self._soc = plant.battery_soc_start.astype(np.float64)
        self.inputs = ports(
            ("pv.p_available_kw", "battery.p_set_kw", "pv.p_limit_kw", "battery.p_kw"), sizes, plant.dt_s
        )
        self.outputs = ports(
            ("pv.p_ask_kw", "battery.p_ask_kw", "battery.soc", "battery.soc_end"), sizes, plant.dt_s
        )

    def advance(self, step: int, values: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the power each device gives before voltage-dependent functions, and the states of charge."""
        if step > 0:
            self._soc, _ = battery.advance(self._fleet, self._soc, values["battery.p_kw"], self.dt_s)
        p_battery_kw = battery.clip_power_kw(self._fleet, self._soc, values["battery.p_set_kw"], self.dt_s)
        soc_end, _ = battery.advance(self._fleet, self._soc, p_battery_kw, self.dt_s)
        return {
            "pv.p_ask_kw": np.maximum(values["pv.p_available_kw"], -values["pv.p_limit_kw"]),
            "battery.p_ask_kw": p_battery_kw,
            "battery.soc": self._soc.copy(),
            "battery.soc_end": soc_end,
        }
