"""A fleet of batteries with losses by power, derating near full, empty and hot, and fading capacity."""

import numpy as np

from models.devices.base import DeviceKind, FloatArray, Variable
from models.devices.tables import Rule, Values, check_rules, given, mean_decay, parameter, result

__all__ = ["KIND", "STATES", "Model"]

KIND = DeviceKind(
    name="battery",
    text="Battery with losses by power, derating near full, empty and hot, and fading capacity",
    variables=(
        parameter("capacity_kwh", "kWh", 10.0, "Capacity when healthy.", low=1e-6),
        parameter("charge_kw", "kW", 5.0, "Largest charging power at the terminal.", low=0.0),
        parameter("discharge_kw", "kW", 5.0, "Largest discharging power at the terminal.", low=0.0),
        parameter("eta_charge", "1", 0.95, "Stored over taken energy.", low=1e-3, high=1.0),
        parameter("eta_discharge", "1", 0.95, "Delivered over released energy.", low=1e-3, high=1.0),
        parameter("soc_min", "1", 0.1, "Discharging stops at this state of charge.", low=0.0, high=1.0),
        parameter("soc_max", "1", 0.95, "Charging stops at this state of charge.", low=0.0, high=1.0),
        parameter("soc_start", "1", 0.5, "State of charge at the start.", low=0.0, high=1.0),
        parameter(
            "loss_per_day", "1", 0.0, "Share of the stored energy lost in a day at rest.", low=0.0, high=0.999
        ),
        parameter("standby_kw", "kW", 0.0, "Own consumption, drawn at the terminal at all times.", low=0.0),
        parameter(
            "loss_quadratic",
            "1",
            0.0,
            "Further loss at rated power as a share of it; grows with the square of power.",
            low=0.0,
            high=0.45,
        ),
        parameter(
            "taper_low_soc",
            "1",
            0.0,
            "Width above soc_min over which discharging falls to zero.",
            low=0.0,
            high=1.0,
        ),
        parameter(
            "taper_high_soc",
            "1",
            0.0,
            "Width below soc_max over which charging falls to zero.",
            low=0.0,
            high=1.0,
        ),
        parameter("heat_capacity_kwh_k", "kWh/K", 0.03, "Heat stored for a warming of 1 K.", low=1e-6),
        parameter(
            "conductance_kw_k", "kW/K", 0.005, "Heat given to the air for each kelvin above it.", low=0.0
        ),
        parameter("temp_start_degc", "degC", 20.0, "Temperature at the start."),
        parameter("temp_derate_start_degc", "degC", 1000.0, "Power is reduced above this temperature."),
        parameter("temp_derate_end_degc", "degC", 1001.0, "No power at and above this temperature."),
        parameter(
            "fade_per_cycle", "1", 0.0, "Share of the capacity lost in a full cycle.", low=0.0, high=1.0
        ),
        parameter(
            "fade_per_year", "1", 0.0, "Share of the capacity lost in a year (8760 h).", low=0.0, high=1.0
        ),
        parameter("health_start", "1", 1.0, "Capacity at the start over capacity_kwh.", low=0.01, high=1.0),
        given("p_set_kw", "kW", 0.0, "Power asked for at the terminal; charging is positive."),
        given("temp_ambient_degc", "degC", 20.0, "Temperature of the air around it."),
        result("p_kw", "kW", 0.0, "Power at the terminal, mean of the step."),
        result("soc", "1", 0.5, "State of charge: stored energy over the capacity left."),
        result("temp_degc", "degC", 20.0, "Temperature."),
        result("health", "1", 1.0, "Capacity left over capacity_kwh."),
        result("lost_kwh", "kWh", 0.0, "Energy lost in the step."),
    ),
)
STATES: tuple[Variable, ...] = ()
_SECONDS_PER_HOUR = 3600.0
_SECONDS_PER_DAY = 86400.0
_SECONDS_PER_YEAR = 31536000.0
_HEALTH_LEAST = 0.01
_TINY = 1e-300


class Model:
    """N batteries with given parameters; no state of its own. Equations: docs/devices.md."""

    def __init__(self, parameters: Values) -> None:
        check_rules(KIND.name, parameters, _rules(parameters))
        self._p = parameters
        rated_kw = np.maximum(parameters["charge_kw"], parameters["discharge_kw"])
        self._rated_kw: FloatArray = np.where(rated_kw > 0.0, rated_kw, 1.0)

    def start(self, inputs: Values) -> dict[str, FloatArray]:
        """Return outputs and states before the first step, shape (N,) each."""
        zero = np.zeros_like(inputs["p_set_kw"])
        return {
            "p_kw": zero,
            "soc": self._p["soc_start"].copy(),
            "temp_degc": self._p["temp_start_degc"].copy(),
            "health": self._p["health_start"].copy(),
            "lost_kwh": zero.copy(),
        }

    def step(self, state: Values, inputs: Values, *, dt_s: float) -> dict[str, FloatArray]:
        """Return outputs and states after ``dt_s`` [s], shape (N,) each.

        ``p_kw * dt`` is the change of ``soc * health * capacity_kwh`` plus ``lost_kwh``.
        """
        p = self._p
        dt_h = dt_s / _SECONDS_PER_HOUR
        health = state["health"]
        usable_kwh = p["capacity_kwh"] * health
        stored_kwh = state["soc"] * usable_kwh
        resting_kwh = (1.0 - p["loss_per_day"]) ** (dt_s / _SECONDS_PER_DAY) * stored_kwh
        core_kw = self._core_kw(
            inputs["p_set_kw"], state["temp_degc"], usable_kwh=usable_kwh, resting_kwh=resting_kwh, dt_h=dt_h
        )
        charged_kwh = np.maximum(core_kw, 0.0) * dt_h
        delivered_kwh = np.maximum(-core_kw, 0.0) * dt_h
        extra_kwh = p["loss_quadratic"] * core_kw * (core_kw / self._rated_kw) * dt_h
        in_kwh = p["eta_charge"] * charged_kwh
        out_kwh = delivered_kwh / p["eta_discharge"]
        after_kwh = resting_kwh + in_kwh - out_kwh - extra_kwh
        heat_kwh = (
            (stored_kwh - resting_kwh)
            + (1.0 - p["eta_charge"]) * charged_kwh
            + (1.0 / p["eta_discharge"] - 1.0) * delivered_kwh
            + extra_kwh
            + p["standby_kw"] * dt_h
        )
        cycles = 0.5 * (in_kwh + out_kwh) / p["capacity_kwh"]
        faded = p["fade_per_cycle"] * cycles + p["fade_per_year"] * (dt_s / _SECONDS_PER_YEAR)
        left = np.maximum(health - faded, _HEALTH_LEAST)
        return {
            "p_kw": core_kw + p["standby_kw"],
            "soc": after_kwh / usable_kwh,
            "temp_degc": self._warmer_degc(
                state["temp_degc"], inputs["temp_ambient_degc"], heat_kwh, dt_h=dt_h
            ),
            "health": left,
            # the state of charge stays when capacity fades: what that capacity held is lost, but not as heat
            "lost_kwh": heat_kwh + after_kwh * ((health - left) / health),
        }

    def _core_kw(
        self,
        p_set_kw: FloatArray,
        temp_degc: FloatArray,
        *,
        usable_kwh: FloatArray,
        resting_kwh: FloatArray,
        dt_h: float,
    ) -> FloatArray:
        """Return the power without standby that can be held for the step, with the tapers of its end."""
        p = self._p
        width_k = p["temp_derate_end_degc"] - p["temp_derate_start_degc"]
        cool = _clip((p["temp_derate_end_degc"] - temp_degc) / width_k, 0.0, 1.0)
        most_in_kw = p["charge_kw"] * cool
        most_out_kw = p["discharge_kw"] * cool
        room_kwh = np.maximum(p["soc_max"] * usable_kwh - resting_kwh, 0.0)
        spare_kwh = np.maximum(resting_kwh - p["soc_min"] * usable_kwh, 0.0)
        linear = p["taper_high_soc"] * usable_kwh + p["eta_charge"] * dt_h * most_in_kw
        square = 4.0 * p["loss_quadratic"] * dt_h * most_in_kw * (most_in_kw / self._rated_kw) * room_kwh
        root = linear + np.sqrt(np.maximum(linear * linear - square, 0.0))
        highest_kw = np.minimum(most_in_kw, 2.0 * room_kwh * most_in_kw / np.maximum(root, _TINY))
        linear = p["taper_low_soc"] * usable_kwh + dt_h * most_out_kw / p["eta_discharge"]
        square = 4.0 * p["loss_quadratic"] * dt_h * most_out_kw * (most_out_kw / self._rated_kw) * spare_kwh
        root = linear + np.sqrt(linear * linear + square)
        lowest_kw = -np.minimum(most_out_kw, 2.0 * spare_kwh * most_out_kw / np.maximum(root, _TINY))
        ask_kw = _clip(p_set_kw, -p["discharge_kw"], p["charge_kw"]) - p["standby_kw"]
        return _clip(ask_kw, lowest_kw, highest_kw)

    def _warmer_degc(
        self, temp_degc: FloatArray, ambient_degc: FloatArray, heat_kwh: FloatArray, *, dt_h: float
    ) -> FloatArray:
        """Return the temperature after a step with constant heating: exact."""
        p = self._p
        x = p["conductance_kw_k"] * dt_h / p["heat_capacity_kwh_k"]
        given_kwh = p["conductance_kw_k"] * (temp_degc - ambient_degc) * dt_h
        warmer: FloatArray = temp_degc + (heat_kwh - given_kwh) / p["heat_capacity_kwh_k"] * mean_decay(x)
        return warmer


def _clip(value: FloatArray, low: FloatArray | float, high: FloatArray | float) -> FloatArray:
    # maximum and minimum give what numpy.clip gives in a third of its time
    clipped: FloatArray = np.minimum(np.maximum(value, low), high)
    return clipped


def _rules(p: Values) -> tuple[Rule, ...]:
    inside = (p["soc_min"] <= p["soc_start"]) & (p["soc_start"] <= p["soc_max"])
    return (
        ("soc_min", p["soc_min"] < p["soc_max"], "must be below soc_max"),
        ("soc_start", inside, "must lie between soc_min and soc_max"),
        (
            "temp_derate_start_degc",
            p["temp_derate_start_degc"] < p["temp_derate_end_degc"],
            "must be below temp_derate_end_degc",
        ),
        # else taking more power would store less
        ("loss_quadratic", 2.0 * p["loss_quadratic"] < p["eta_charge"], "must be below eta_charge / 2"),
    )
