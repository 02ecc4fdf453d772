"""A fleet of heat-pump water heaters, each with a tank of two nodes."""

from dataclasses import dataclass

import numpy as np

from models.devices.base import DeviceKind, FloatArray, Variable
from models.devices.tables import Rule, Values, check_rules, given, mean_decay, parameter, result

__all__ = ["KIND", "STATES", "WATER_KWH_L_K", "Model"]

WATER_KWH_L_K = 1.163e-3
"""Heat that warms a litre of water by 1 K [kWh/(l K)]."""

KIND = DeviceKind(
    name="water_heater",
    text="Heat-pump water heater with a tank of two nodes and an electric element",
    variables=(
        parameter("volume_l", "l", 200.0, "Volume of the tank.", low=1.0),
        parameter("top_share", "1", 0.4, "Share of the volume that the upper node has.", low=0.05, high=0.95),
        parameter("loss_kw_k", "kW/K", 0.0015, "Standing loss for each kelvin above the room.", low=0.0),
        parameter("p_rated_kw", "kW", 0.5, "Electric power of the heat pump.", low=0.0),
        parameter("p_min_kw", "kW", 0.0, "The heat pump does not run below this power.", low=0.0),
        parameter("p_element_kw", "kW", 0.0, "Power of the electric element in the upper node.", low=0.0),
        parameter("temp_set_degc", "degC", 53.0, "Set-point of the thermostat in the upper node."),
        parameter("hysteresis_k", "K", 5.0, "Heating starts this far below the set-point.", low=0.0),
        parameter("temp_element_degc", "degC", 40.0, "Set-point of the element."),
        parameter("cop_a", "1", 6.81, "Coefficient of performance: constant term."),
        parameter("cop_b", "1/K", -0.121, "Coefficient of performance: term of the lift."),
        parameter("cop_c", "1/K2", 0.000630, "Coefficient of performance: term of the square of the lift."),
        parameter("lift_low_k", "K", 15.0, "Below this lift the coefficient of performance stays."),
        parameter("lift_high_k", "K", 60.0, "Above this lift the coefficient of performance stays."),
        parameter("temp_air_min_degc", "degC", -7.0, "The heat pump does not run in colder air."),
        parameter("temp_start_degc", "degC", 50.0, "Temperature of the tank at the start."),
        parameter("temp_use_degc", "degC", 40.0, "Temperature wanted at the tap."),
        parameter("temp_cold_degc", "degC", 15.0, "Temperature of the cold water."),
        given("draw_l_min", "l/min", 0.0, "Water drawn at the tap, hot and cold mixed.", low=0.0),
        given("temp_air_degc", "degC", 15.0, "Temperature of the air the heat pump takes heat from."),
        given("temp_room_degc", "degC", 20.0, "Temperature of the air around the tank."),
        given("p_limit_kw", "kW", 1e9, "Largest electric power allowed; large: no limit.", low=0.0),
        result("p_kw", "kW", 0.0, "Electric power, mean of the step."),
        result("temp_top_degc", "degC", 50.0, "Temperature of the upper node."),
        result("temp_bottom_degc", "degC", 50.0, "Temperature of the lower node."),
        result("cop", "1", 1.0, "Coefficient of performance at the end of the step, also while off."),
        result("heat_kw", "kW", 0.0, "Heat given to the tank, mean of the step."),
        result("unmet_kwh", "kWh", 0.0, "Heat missing at the tap in the step."),
        result("drawn_kwh", "kWh", 0.0, "Heat drawn at the tap in the step, above cold water."),
        result("lost_kwh", "kWh", 0.0, "Heat lost to the room in the step."),
    ),
)
STATES: tuple[Variable, ...] = (
    result("pump_on", "1", 0.0, "1 while the thermostat asks for the heat pump."),
    result("element_on", "1", 0.0, "1 while the thermostat asks for the element."),
)

_SECONDS_PER_HOUR = 3600.0
_SUB_STEP_S = 10.0
_NEWTON_STEPS = 4
_ROUNDING = 1e-9
"""Heat missing at the tap below this share of the heat wanted is rounding."""


@dataclass(frozen=True, eq=False)
class _Tank:
    """Temperatures [degC] of the upper and the lower node, shape (N,) each."""

    top_degc: FloatArray
    bottom_degc: FloatArray


class Model:
    """N water heaters with given parameters; no state of its own. Equations: docs/devices.md."""

    def __init__(self, parameters: Values) -> None:
        check_rules(KIND.name, parameters, _rules(parameters))
        self._p = parameters
        self._top_l: FloatArray = parameters["volume_l"] * parameters["top_share"]
        self._bottom_l: FloatArray = parameters["volume_l"] * (1.0 - parameters["top_share"])
        self._top_kwh_k: FloatArray = WATER_KWH_L_K * self._top_l
        self._bottom_kwh_k: FloatArray = WATER_KWH_L_K * self._bottom_l

    def start(self, inputs: Values) -> dict[str, FloatArray]:
        """Return outputs and states before the first step, shape (N,) each."""
        warm_degc = self._p["temp_start_degc"]
        names = ("p_kw", "heat_kw", "unmet_kwh", "drawn_kwh", "lost_kwh", "pump_on", "element_on")
        return {
            "temp_top_degc": warm_degc.copy(),
            "temp_bottom_degc": warm_degc.copy(),
            "cop": self._cop(warm_degc, inputs["temp_air_degc"]),
            **{name: np.zeros_like(warm_degc) for name in names},
        }

    def step(self, state: Values, inputs: Values, *, dt_s: float) -> dict[str, FloatArray]:
        """Return outputs and states after ``dt_s`` [s], shape (N,) each; computed in sub-steps of at most 10 s.

        ``heat_kw * dt`` is the change of the stored heat plus ``drawn_kwh`` plus ``lost_kwh``.
        """
        count = max(int(np.ceil(dt_s / _SUB_STEP_S - _ROUNDING)), 1)
        part_s = dt_s / count
        tank = _Tank(state["temp_top_degc"], state["temp_bottom_degc"])
        pump_on, element_on = state["pump_on"], state["element_on"]
        electric_kwh, heat_kwh, unmet_kwh, drawn_kwh, lost_kwh = np.zeros((5, len(pump_on)))
        share = self._lost_share(part_s)
        drawing = bool(inputs["draw_l_min"].any())
        for _ in range(count):
            pump_on, element_on = self._thermostats(tank, pump_on, element_on)
            if drawing:
                tank, drawn, unmet = self._draw(tank, inputs["draw_l_min"], part_s=part_s)
                drawn_kwh, unmet_kwh = drawn_kwh + drawn, unmet_kwh + unmet
            tank, lost = self._cool(tank, inputs["temp_room_degc"], share)
            lost_kwh = lost_kwh + lost
            tank, element_on, element = self._heat_top(tank, pump_on, element_on, inputs, part_s=part_s)
            tank, pump_on, pump, used = self._heat_bottom(tank, pump_on, inputs, part_s=part_s)
            electric_kwh = electric_kwh + (element + used)
            heat_kwh = heat_kwh + (element + pump)
            tank = self._mix(tank)
        dt_h = dt_s / _SECONDS_PER_HOUR
        return {
            "p_kw": electric_kwh / dt_h,
            "temp_top_degc": tank.top_degc,
            "temp_bottom_degc": tank.bottom_degc,
            "cop": self._cop(tank.bottom_degc, inputs["temp_air_degc"]),
            "heat_kw": heat_kwh / dt_h,
            "unmet_kwh": unmet_kwh,
            "drawn_kwh": drawn_kwh,
            "lost_kwh": lost_kwh,
            "pump_on": pump_on,
            "element_on": element_on,
        }

    def _cop(self, tank_degc: FloatArray, air_degc: FloatArray) -> FloatArray:
        p = self._p
        lift_k = np.minimum(np.maximum(tank_degc - air_degc, p["lift_low_k"]), p["lift_high_k"])
        cop: FloatArray = np.maximum(p["cop_a"] + p["cop_b"] * lift_k + p["cop_c"] * lift_k * lift_k, 1.0)
        return cop

    def _thermostats(
        self, tank: _Tank, pump_on: FloatArray, element_on: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        p = self._p
        return (
            _thermostat(tank.top_degc, pump_on, p["temp_set_degc"], p["hysteresis_k"]),
            _thermostat(tank.top_degc, element_on, p["temp_element_degc"], p["hysteresis_k"]),
        )

    def _draw(
        self, tank: _Tank, draw_l_min: FloatArray, *, part_s: float
    ) -> tuple[_Tank, FloatArray, FloatArray]:
        """Return the tank after hot water is drawn from the top, the heat drawn and the heat missing [kWh].

        Two mixed volumes in series, exact for the hot volume drawn; that volume is found by Newton steps, which
        approach it from below because the heat drawn is a concave function of it.
        """
        cold_degc = self._p["temp_cold_degc"]
        tap_l = draw_l_min * (part_s / 60.0)
        span_k = np.maximum(self._p["temp_use_degc"] - cold_degc, 0.0)
        wanted_kwh = WATER_KWH_L_K * tap_l * span_k
        wanted = wanted_kwh > 0.0
        top_k, bottom_k = tank.top_degc - cold_degc, tank.bottom_degc - cold_degc
        drawn_kwh, hot_l = np.zeros_like(tap_l), np.zeros_like(tap_l)
        after_top_k, after_bottom_k = top_k, bottom_k
        for _ in range(_NEWTON_STEPS):
            slope_kwh_l = WATER_KWH_L_K * np.maximum(after_top_k, np.where(wanted, span_k, 1.0))
            hot_l = np.minimum(hot_l + (wanted_kwh - drawn_kwh) / slope_kwh_l, tap_l)
            x_top, x_bottom = hot_l / self._top_l, hot_l / self._bottom_l
            x_low, x_gap = np.minimum(x_top, x_bottom), np.abs(x_top - x_bottom)
            after_bottom_k = bottom_k * np.exp(-x_bottom)
            after_top_k = top_k * np.exp(-x_top) + bottom_k * x_top * np.exp(-x_low) * mean_decay(x_gap)
            drawn_kwh = np.where(
                wanted,
                self._top_kwh_k * (top_k - after_top_k) + self._bottom_kwh_k * (bottom_k - after_bottom_k),
                0.0,
            )
        missing_kwh = wanted_kwh - drawn_kwh
        missing_kwh = np.where(missing_kwh > _ROUNDING * wanted_kwh, missing_kwh, 0.0)
        after = _Tank(
            np.where(wanted, cold_degc + after_top_k, tank.top_degc),
            np.where(wanted, cold_degc + after_bottom_k, tank.bottom_degc),
        )
        return after, drawn_kwh, missing_kwh

    def _lost_share(self, part_s: float) -> FloatArray:
        """Return the share of the warmth above the room that is lost in a sub-step: exact."""
        p = self._p
        x = p["loss_kw_k"] * (part_s / _SECONDS_PER_HOUR) / (WATER_KWH_L_K * p["volume_l"])
        share: FloatArray = -np.expm1(-x)
        return share

    def _cool(self, tank: _Tank, room_degc: FloatArray, share: FloatArray) -> tuple[_Tank, FloatArray]:
        """Return the tank after standing loss and the heat lost [kWh]."""
        top_k = (tank.top_degc - room_degc) * share
        bottom_k = (tank.bottom_degc - room_degc) * share
        lost_kwh = self._top_kwh_k * top_k + self._bottom_kwh_k * bottom_k
        return _Tank(tank.top_degc - top_k, tank.bottom_degc - bottom_k), lost_kwh

    def _pump_kw(self, pump_on: FloatArray, inputs: Values) -> FloatArray:
        """Return the electric power that the heat pump runs at, 0 where it is off."""
        p = self._p
        allowed_kw = np.minimum(p["p_rated_kw"], np.maximum(inputs["p_limit_kw"], 0.0))
        runs = (
            (pump_on > 0.0)
            & (allowed_kw >= p["p_min_kw"])
            & (inputs["temp_air_degc"] >= p["temp_air_min_degc"])
        )
        power_kw: FloatArray = np.where(runs, allowed_kw, 0.0)
        return power_kw

    def _heat_top(
        self, tank: _Tank, pump_on: FloatArray, element_on: FloatArray, inputs: Values, *, part_s: float
    ) -> tuple[_Tank, FloatArray, FloatArray]:
        """Return the tank after the element, whether it stays on, and its heat [kWh]; the heat pump goes first."""
        p = self._p
        room_kw = np.maximum(inputs["p_limit_kw"] - self._pump_kw(pump_on, inputs), 0.0)
        power_kw = np.where(element_on > 0.0, np.minimum(p["p_element_kw"], room_kw), 0.0)
        full_kwh = power_kw * (part_s / _SECONDS_PER_HOUR)
        need_kwh = np.maximum(self._top_kwh_k * (p["temp_element_degc"] - tank.top_degc), 0.0)
        heat_kwh = np.minimum(full_kwh, need_kwh)
        on = np.where(full_kwh >= need_kwh, 0.0, element_on)
        return _Tank(tank.top_degc + heat_kwh / self._top_kwh_k, tank.bottom_degc), on, heat_kwh

    def _heat_bottom(
        self, tank: _Tank, pump_on: FloatArray, inputs: Values, *, part_s: float
    ) -> tuple[_Tank, FloatArray, FloatArray, FloatArray]:
        """Return the tank after the heat pump, whether it stays on, its heat and its electric energy [kWh].

        It stops within the sub-step when the whole tank has reached the set-point.
        """
        p = self._p
        cop = self._cop(tank.bottom_degc, inputs["temp_air_degc"])
        full_kwh = self._pump_kw(pump_on, inputs) * cop * (part_s / _SECONDS_PER_HOUR)
        need_kwh = np.maximum(
            self._bottom_kwh_k * (p["temp_set_degc"] - tank.bottom_degc)
            + self._top_kwh_k * (p["temp_set_degc"] - tank.top_degc),
            0.0,
        )
        heat_kwh = np.minimum(full_kwh, need_kwh)
        on = np.where(full_kwh >= need_kwh, 0.0, pump_on)
        warmer = _Tank(tank.top_degc, tank.bottom_degc + heat_kwh / self._bottom_kwh_k)
        return warmer, on, heat_kwh, heat_kwh / cop

    def _mix(self, tank: _Tank) -> _Tank:
        """Return the tank with both nodes at one temperature where the lower one is warmer."""
        top_share = self._p["top_share"]
        mixed_degc = top_share * tank.top_degc + (1.0 - top_share) * tank.bottom_degc
        turns = tank.bottom_degc > tank.top_degc
        return _Tank(
            np.where(turns, mixed_degc, tank.top_degc), np.where(turns, mixed_degc, tank.bottom_degc)
        )


def _thermostat(
    top_degc: FloatArray, on: FloatArray, set_degc: FloatArray, width_k: FloatArray
) -> FloatArray:
    switched: FloatArray = np.where(
        top_degc < set_degc - width_k, 1.0, np.where(top_degc >= set_degc, 0.0, on)
    )
    return switched


def _rules(p: Values) -> tuple[Rule, ...]:
    return (
        ("p_min_kw", p["p_min_kw"] <= p["p_rated_kw"], "must be at most p_rated_kw"),
        ("lift_low_k", p["lift_low_k"] <= p["lift_high_k"], "must be at most lift_high_k"),
        ("temp_cold_degc", p["temp_cold_degc"] <= p["temp_use_degc"], "must be at most temp_use_degc"),
    )
