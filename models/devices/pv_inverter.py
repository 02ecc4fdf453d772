"""A fleet of PV inverters: the functions of ``models.inverter`` with a response time and a ramp."""

from typing import Final

import numpy as np

from models.devices.base import DeviceKind, FloatArray, Variable
from models.devices.tables import Rule, Values, check_rules, given, mean_decay, parameter, result
from models.inverter import InverterFleet, feed_in_limit_kw, reactive_kvar, start_locks, update_locks

__all__ = ["KIND", "P_V_OFF_PU", "STATES", "Model"]

P_V_OFF_PU: Final = 1e9
"""``p_v_start_pu`` at and above this value: P(V) is off (an FMU has no infinite start values)."""

KIND = DeviceKind(
    name="pv_inverter",
    text="PV inverter with the functions of CEI 0-21, a response time and a ramp",
    variables=(
        parameter("s_rated_kva", "kVA", 10.0 / 0.9, "Rated apparent power.", low=1e-6),
        parameter("p_rated_kw", "kW", 10.0, "Rated active power.", low=1e-6),
        parameter("mode", "1", 0.0, "Reactive power: 0 fixed, 1 cos phi(P), 2 Q(V).", low=0.0, high=2.0),
        parameter("cos_phi", "1", 1.0, "Fixed power factor.", low=1e-3, high=1.0),
        parameter(
            "absorbs", "1", 1.0, "1: the fixed power factor absorbs, 0: it injects.", low=0.0, high=1.0
        ),
        parameter("cos_phi_min", "1", 0.90, "cos phi(P): power factor at rated power.", low=1e-3, high=1.0),
        parameter(
            "cos_phi_p_start", "1", 0.5, "cos phi(P): 1 up to this share of rated power.", low=0.0, high=0.999
        ),
        parameter("cos_phi_lock_in_pu", "pu", 1.05, "cos phi(P): active above this voltage.", low=0.0),
        parameter("cos_phi_lock_out_pu", "pu", 1.00, "cos phi(P): inactive below this voltage.", low=0.0),
        parameter("v2i_pu", "pu", 0.90, "Q(V): full injection at and below this voltage.", low=1e-3),
        parameter("v1i_pu", "pu", 0.92, "Q(V): no injection at and above this voltage.", low=1e-3),
        parameter("v1s_pu", "pu", 1.08, "Q(V): no absorption at and below this voltage.", low=1e-3),
        parameter("v2s_pu", "pu", 1.10, "Q(V): full absorption at and above this voltage.", low=1e-3),
        parameter("q_max_share", "1", 0.436, "Q(V): largest share of rated active power.", low=0.0),
        parameter("q_v_lock_in_share", "1", 0.20, "Q(V): active above this share of rated power.", low=0.0),
        parameter(
            "q_v_lock_out_share", "1", 0.05, "Q(V): inactive below this share of rated power.", low=0.0
        ),
        parameter(
            "p_v_start_pu",
            "pu",
            P_V_OFF_PU,
            "P(V): feed-in is reduced above this voltage; 1e9: off.",
            low=0.0,
        ),
        parameter("p_v_end_pu", "pu", P_V_OFF_PU, "P(V): down to p_v_min_share at this voltage.", low=0.0),
        parameter("p_v_min_share", "1", 0.0, "P(V): share of rated power always allowed.", low=0.0, high=1.0),
        parameter("response_s", "s", 0.0, "Time constant of active and reactive power; 0: at once.", low=0.0),
        parameter(
            "ramp_up_share_s",
            "1/s",
            0.0,
            "Largest increase of feed-in in a second as a share of rated power; 0: no limit.",
            low=0.0,
        ),
        given("p_available_kw", "kW", 0.0, "Power the sun allows, at most 0.", high=0.0),
        given("p_limit_kw", "kW", 1e9, "Largest feed-in allowed from outside; large: no limit.", low=0.0),
        given("vm_pu", "pu", 1.0, "Voltage at the terminal.", low=0.0),
        result("p_kw", "kW", 0.0, "Active power, mean of the step; feed-in is negative."),
        result("q_kvar", "kvar", 0.0, "Reactive power, mean of the step; absorption is positive."),
        result("locked", "1", 0.0, "1 where the reactive function is active."),
    ),
)
STATES: tuple[Variable, ...] = (
    result("p_end_kw", "kW", 0.0, "Active power at the end of the step."),
    result("q_end_kvar", "kvar", 0.0, "Reactive power at the end of the step."),
)


class Model:
    """N inverters with given parameters; no state of its own. Equations: docs/devices.md."""

    def __init__(self, parameters: Values) -> None:
        check_rules(KIND.name, parameters, _rules(parameters))
        self._fleet = _fleet(parameters)
        self._response_s = parameters["response_s"]
        self._ramp_kw_s: FloatArray = parameters["ramp_up_share_s"] * parameters["p_rated_kw"]
        self._at_once = not (self._response_s.any() or self._ramp_kw_s.any())

    def start(self, inputs: Values) -> dict[str, FloatArray]:
        """Return outputs and states before the first step, shape (N,) each."""
        zero = np.zeros_like(inputs["vm_pu"])
        return {
            "p_kw": zero,
            "q_kvar": zero.copy(),
            "locked": start_locks(self._fleet).astype(np.float64),
            "p_end_kw": zero.copy(),
            "q_end_kvar": zero.copy(),
        }

    def step(self, state: Values, inputs: Values, *, dt_s: float) -> dict[str, FloatArray]:
        """Return outputs and states after ``dt_s`` [s], shape (N,) each.

        With neither response time nor ramp this is ``models.inverter.apply_functions`` after ``update_locks``.
        """
        fleet, vm_pu = self._fleet, inputs["vm_pu"]
        available_kw = np.minimum(inputs["p_available_kw"], 0.0)
        ask_kw = np.maximum(available_kw, -np.maximum(inputs["p_limit_kw"], 0.0))
        locked = update_locks(fleet, ask_kw, vm_pu, state["locked"] > 0.0)
        aim_kw = np.minimum(np.maximum(ask_kw, -feed_in_limit_kw(fleet, vm_pu)), fleet.p_rated_kw)
        if self._at_once:
            p_kw = p_end_kw = aim_kw
        else:
            p_kw, p_end_kw = self._follow_kw(np.maximum(state["p_end_kw"], available_kw), aim_kw, dt_s=dt_s)
        wish_kvar = _within(fleet, p_kw, reactive_kvar(fleet, p_kw, vm_pu, locked))
        if self._at_once:
            q_kvar = q_end_kvar = wish_kvar
        else:
            gap_kvar = state["q_end_kvar"] - wish_kvar
            delayed = self._response_s > 0.0
            x = dt_s / np.where(delayed, self._response_s, 1.0)
            mean_kvar = wish_kvar + np.where(delayed, gap_kvar * mean_decay(x), 0.0)
            late_kvar = wish_kvar + np.where(delayed, gap_kvar * np.exp(-x), 0.0)
            q_kvar, q_end_kvar = _within(fleet, p_kw, mean_kvar), _within(fleet, p_end_kw, late_kvar)
        return {
            "p_kw": p_kw,
            "q_kvar": q_kvar,
            "locked": locked.astype(np.float64),
            "p_end_kw": p_end_kw,
            "q_end_kvar": q_end_kvar,
        }

    def _follow_kw(
        self, from_kw: FloatArray, aim_kw: FloatArray, *, dt_s: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return mean and last power of a first-order approach to ``aim_kw`` with limited growth of feed-in: exact."""
        response_s, ramp_kw_s = self._response_s, self._ramp_kw_s
        ramped, delayed = ramp_kw_s > 0.0, response_s > 0.0
        start_kw, goal_kw = -from_kw, -aim_kw
        slow_kw = np.where(ramped, goal_kw - start_kw - ramp_kw_s * response_s, 0.0)
        ramp_s = np.minimum(np.maximum(slow_kw, 0.0) / np.where(ramped, ramp_kw_s, 1.0), dt_s)
        knee_kw = start_kw + ramp_kw_s * ramp_s
        rest_s = dt_s - ramp_s
        x = rest_s / np.where(delayed, response_s, 1.0)
        kept = np.where(delayed, np.exp(-x), np.where(rest_s > 0.0, 0.0, 1.0))
        mean_kept = np.where(delayed, mean_decay(x), 0.0)
        gap_kw = knee_kw - goal_kw
        area_kws = ramp_s * 0.5 * (start_kw + knee_kw) + rest_s * (goal_kw + gap_kw * mean_kept)
        at_once = ~delayed & (ramp_s == 0.0)
        mean_kw = np.where(at_once, goal_kw, area_kws / dt_s)
        return -mean_kw, -np.where(at_once, goal_kw, goal_kw + gap_kw * kept)


def _within(fleet: InverterFleet, p_kw: FloatArray, q_kvar: FloatArray) -> FloatArray:
    """Return reactive power limited to what the rating leaves, as ``models.inverter.apply_functions`` does."""
    room_kvar = np.sqrt(np.maximum(fleet.s_rated_kva**2 - p_kw**2, 0.0))
    limited: FloatArray = np.minimum(np.maximum(q_kvar, -room_kvar), room_kvar)
    return limited


def _fleet(p: Values) -> InverterFleet:
    off = p["p_v_start_pu"] >= P_V_OFF_PU
    same = {
        field: p[field]
        for field in (
            "s_rated_kva",
            "p_rated_kw",
            "cos_phi",
            "cos_phi_min",
            "cos_phi_p_start",
            "cos_phi_lock_in_pu",
            "cos_phi_lock_out_pu",
            "v2i_pu",
            "v1i_pu",
            "v1s_pu",
            "v2s_pu",
            "q_max_share",
            "q_v_lock_in_share",
            "q_v_lock_out_share",
            "p_v_min_share",
        )
    }
    return InverterFleet(
        **same,
        mode=p["mode"].astype(np.int64),
        absorbs=p["absorbs"] > 0.0,
        p_v_start_pu=np.where(off, np.inf, p["p_v_start_pu"]),
        p_v_end_pu=np.where(off, np.inf, p["p_v_end_pu"]),
    )


def _rules(p: Values) -> tuple[Rule, ...]:
    """Return what ``InverterFleet`` cannot see in whole numbers and truths; it checks the rest."""
    return (
        ("mode", np.isin(p["mode"], [0.0, 1.0, 2.0]), "must be 0, 1 or 2"),
        ("absorbs", np.isin(p["absorbs"], [0.0, 1.0]), "must be 0 or 1"),
    )
