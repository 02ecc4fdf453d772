"""A fleet of EV chargers, each with the battery of its car."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.devices.base import DeviceKind, FloatArray, Variable
from models.devices.tables import Rule, Values, check_rules, given, parameter, result

__all__ = ["CHARGE_AT_ONCE_KW", "DEPARTURE_UNKNOWN_H", "KIND", "STATES", "Model"]

CHARGE_AT_ONCE_KW: Final = 1e9
"""``p_set_kw`` for as much as possible."""
DEPARTURE_UNKNOWN_H: Final = 1e9
"""``departure_h`` where the departure is not known."""

KIND = DeviceKind(
    name="ev_charger",
    text="Charger with the battery of its car, minimum current and vehicle to grid",
    variables=(
        parameter("capacity_kwh", "kWh", 50.0, "Capacity of the car's battery.", low=1e-6),
        parameter("p_max_kw", "kW", 7.4, "Largest charging power.", low=0.0),
        parameter("p_min_kw", "kW", 1.38, "Smallest charging power: 6 A.", low=0.0),
        parameter("p_v2g_kw", "kW", 0.0, "Largest discharging power; 0: no vehicle to grid.", low=0.0),
        parameter("eta_charge", "1", 0.9, "Stored over taken energy.", low=1e-3, high=1.0),
        parameter("eta_discharge", "1", 0.9, "Delivered over released energy.", low=1e-3, high=1.0),
        parameter("soc_min", "1", 0.2, "Vehicle to grid stops at this state of charge.", low=0.0, high=1.0),
        parameter("soc_start", "1", 0.5, "State of charge at the start.", low=0.0, high=1.0),
        given("plugged", "1", 1.0, "1 while the car is plugged in.", low=0.0, high=1.0),
        given("used_kwh", "kWh", 0.0, "Energy driven since the step before.", low=0.0),
        given("departure_h", "h", DEPARTURE_UNKNOWN_H, "Hours until departure; large: not known."),
        given("soc_need", "1", 0.0, "State of charge needed at departure.", low=0.0, high=1.0),
        given("p_set_kw", "kW", CHARGE_AT_ONCE_KW, "Power asked for; 1e9: as much as possible."),
        result("p_kw", "kW", 0.0, "Power at the terminal, mean of the step; charging is positive."),
        result("soc", "1", 0.5, "State of charge."),
        result("p_needed_kw", "kW", 0.0, "Least mean power from now that meets the need, at most p_max_kw."),
        result("unmet_kwh", "kWh", 0.0, "Energy missing to the need in the step in which the car unplugs."),
        result("driven_kwh", "kWh", 0.0, "Energy taken by driving in the step: used_kwh or what was left."),
        result("lost_kwh", "kWh", 0.0, "Energy lost in the step."),
    ),
)
STATES: tuple[Variable, ...] = (
    result("was_plugged", "1", 0.0, "1 where the car was plugged in in the step before."),
    result("need_held", "1", 0.0, "State of charge needed, of the step before."),
)

_SECONDS_PER_HOUR = 3600.0
_PLUGGED = 0.5


class Model:
    """N chargers with given parameters; no state of its own. Equations: docs/devices.md."""

    def __init__(self, parameters: Values) -> None:
        check_rules(KIND.name, parameters, _rules(parameters))
        self._p = parameters

    def start(self, inputs: Values) -> dict[str, FloatArray]:
        """Return outputs and states before the first step, shape (N,) each."""
        soc = self._p["soc_start"]
        plugged = inputs["plugged"] >= _PLUGGED
        zero = np.zeros_like(soc)
        return {
            "p_kw": zero,
            "soc": soc.copy(),
            "p_needed_kw": self._needed_kw(
                soc * self._p["capacity_kwh"], plugged, inputs["soc_need"], left_h=inputs["departure_h"]
            ),
            "unmet_kwh": zero.copy(),
            "driven_kwh": zero.copy(),
            "lost_kwh": zero.copy(),
            "was_plugged": np.where(plugged, 1.0, 0.0),
            "need_held": np.where(plugged, inputs["soc_need"], 0.0),
        }

    def step(self, state: Values, inputs: Values, *, dt_s: float) -> dict[str, FloatArray]:
        """Return outputs and states after ``dt_s`` [s], shape (N,) each: exact.

        Unplugging and driving come first. ``p_kw * dt`` is the change of ``soc * capacity_kwh`` plus ``driven_kwh``
        plus ``lost_kwh``.
        """
        p = self._p
        dt_h = dt_s / _SECONDS_PER_HOUR
        plugged = inputs["plugged"] >= _PLUGGED
        stored_kwh = state["soc"] * p["capacity_kwh"]
        unplugs = (state["was_plugged"] > 0.0) & ~plugged
        short_kwh = np.maximum(state["need_held"] * p["capacity_kwh"] - stored_kwh, 0.0)
        driven_kwh = np.minimum(np.maximum(inputs["used_kwh"], 0.0), stored_kwh)
        stored_kwh = stored_kwh - driven_kwh
        p_kw = np.where(plugged, self._power_kw(stored_kwh, inputs["p_set_kw"], dt_h=dt_h), 0.0)
        charged_kwh = np.maximum(p_kw, 0.0) * dt_h
        delivered_kwh = np.maximum(-p_kw, 0.0) * dt_h
        after_kwh = stored_kwh + p["eta_charge"] * charged_kwh - delivered_kwh / p["eta_discharge"]
        lost_kwh = (1.0 - p["eta_charge"]) * charged_kwh + (1.0 / p["eta_discharge"] - 1.0) * delivered_kwh
        left_h = inputs["departure_h"] - dt_h
        return {
            "p_kw": p_kw,
            "soc": after_kwh / p["capacity_kwh"],
            "p_needed_kw": self._needed_kw(after_kwh, plugged, inputs["soc_need"], left_h=left_h),
            "unmet_kwh": np.where(unplugs, short_kwh, 0.0),
            "driven_kwh": driven_kwh,
            "lost_kwh": lost_kwh,
            "was_plugged": np.where(plugged, 1.0, 0.0),
            "need_held": np.where(plugged, inputs["soc_need"], 0.0),
        }

    def _power_kw(self, stored_kwh: FloatArray, p_set_kw: FloatArray, *, dt_h: float) -> FloatArray:
        """Return the mean power over a step of a car that is plugged in."""
        p = self._p
        room_kwh = np.maximum(p["capacity_kwh"] - stored_kwh, 0.0)
        spare_kwh = np.maximum(stored_kwh - p["soc_min"] * p["capacity_kwh"], 0.0)
        highest_kw = np.minimum(p["p_max_kw"], room_kwh / (p["eta_charge"] * dt_h))
        lowest_kw = -np.minimum(p["p_v2g_kw"], spare_kwh * p["eta_discharge"] / dt_h)
        # the pilot signal cannot ask for less than the minimum current: below it the car does not charge
        ask_kw = np.where((p_set_kw > 0.0) & (p_set_kw < p["p_min_kw"]), 0.0, p_set_kw)
        power_kw: FloatArray = np.minimum(np.maximum(ask_kw, lowest_kw), highest_kw)
        return power_kw

    def _needed_kw(
        self, stored_kwh: FloatArray, plugged: NDArray[np.bool_], soc_need: FloatArray, *, left_h: FloatArray
    ) -> FloatArray:
        """Return the least mean power that meets the need in the time left; ``p_max_kw`` where none is left."""
        p = self._p
        short_kwh = np.maximum(soc_need * p["capacity_kwh"] - stored_kwh, 0.0)
        in_time = left_h > 0.0
        mean_kw = short_kwh / (p["eta_charge"] * np.where(in_time, left_h, 1.0))
        capped_kw = np.where(in_time, np.minimum(mean_kw, p["p_max_kw"]), p["p_max_kw"])
        needed_kw: FloatArray = np.where(plugged & (short_kwh > 0.0), capped_kw, 0.0)
        return needed_kw


def _rules(p: Values) -> tuple[Rule, ...]:
    return (("p_min_kw", p["p_min_kw"] <= p["p_max_kw"], "must be at most p_max_kw"),)
