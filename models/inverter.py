"""Inverter functions of CEI 0-21 over a fleet of inverters.

Sign: consumption positive. A generator has ``p_kw`` < 0; ``q_kvar`` > 0 absorbs reactive power (under-excited) and
lowers the voltage. All arrays have shape (N,).

Functions (CEI 0-21, active users' section on voltage support; EN 50549-1:2019, 4.7.2 and 4.7.3):

* fixed cos phi: ``q = +-|p| tan(arccos(cos phi))``, in both directions of power;
* cos phi(P): 1 up to a share of rated power, then linear to ``cos_phi_min`` at rated power, absorbing. Defined over
  generated power, so a charging battery has ``q = 0``. Active only while locked in by voltage;
* Q(V): injects at low and absorbs at high voltage along a four-point curve, in both directions of power. Active only
  while locked in by the magnitude of active power;
* P(V): limits feed-in at high voltage. Consumption (a charging battery) is never limited by it.

Priority: active power is served first, reactive power gets what the rating leaves, ``|q| <= sqrt(S^2 - p^2)``. This
is a choice of this model: with ``s_rated_kva >= p_rated_kw / 0.9``, the size CEI 0-21 asks for, it never binds for the
standard's curves. Some makers give reactive power the priority instead, which would cut active power.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.errors import DeviceError

__all__ = [
    "BoolArray",
    "FloatArray",
    "IntArray",
    "InverterFleet",
    "ReactiveMode",
    "apply_functions",
    "cei_0_21",
    "depends_on_voltage",
    "feed_in_limit_kw",
    "plain",
    "reactive_kvar",
    "start_locks",
    "update_locks",
]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


class ReactiveMode(IntEnum):
    """How an inverter chooses its reactive power."""

    COS_PHI = 0
    """Fixed power factor."""
    COS_PHI_P = 1
    """Power factor as a function of active power, cos phi(P)."""
    Q_V = 2
    """Reactive power as a function of voltage, Q(V)."""


# plain numbers: comparing an array with a member of an enumeration looks up its attributes each time
_COS_PHI, _COS_PHI_P, _Q_V = (int(mode) for mode in ReactiveMode)


@dataclass(frozen=True, kw_only=True, eq=False)
class InverterFleet:
    """Parameters of N inverters. Fields of a mode that an inverter does not use are present and ignored."""

    s_rated_kva: FloatArray
    p_rated_kw: FloatArray
    mode: IntArray
    """A ``ReactiveMode`` each."""
    cos_phi: FloatArray
    """COS_PHI: power factor, 0 < cos_phi <= 1."""
    absorbs: BoolArray
    """COS_PHI: True if the fixed power factor absorbs reactive power (under-excited)."""
    cos_phi_min: FloatArray
    """COS_PHI_P: power factor at rated power, absorbing."""
    cos_phi_p_start: FloatArray
    """COS_PHI_P: share of rated power where the power factor starts to fall from 1."""
    cos_phi_lock_in_pu: FloatArray
    """COS_PHI_P: the function becomes active above this voltage [pu] ..."""
    cos_phi_lock_out_pu: FloatArray
    """... and inactive below this one [pu]."""
    v2i_pu: FloatArray
    """Q(V): full injection of reactive power at and below this voltage [pu]."""
    v1i_pu: FloatArray
    v1s_pu: FloatArray
    v2s_pu: FloatArray
    """Q(V): full absorption at and above this voltage [pu]."""
    q_max_share: FloatArray
    """Q(V): reactive power at the ends of the curve, as a share of rated active power."""
    q_v_lock_in_share: FloatArray
    """Q(V): active above this share of rated active power ..."""
    q_v_lock_out_share: FloatArray
    """... and inactive below this one."""
    p_v_start_pu: FloatArray
    """P(V): feed-in is reduced above this voltage [pu]; infinite where P(V) is off ..."""
    p_v_end_pu: FloatArray
    """... linearly down to ``p_v_min_share`` at this one [pu]."""
    p_v_min_share: FloatArray
    """P(V): share of rated active power still allowed at and above ``p_v_end_pu``."""

    def __post_init__(self) -> None:
        """Refuse parameters that contradict each other; parameters of every mode are checked."""
        for entry in fields(self):
            shape = getattr(self, entry.name).shape
            if shape != (self.n,):
                raise DeviceError(f"inverters: {entry.name} has shape {shape}, expected ({self.n},)")
        for name, good, rule in _rules(self):
            if not np.all(good):
                worst = int(np.flatnonzero(~good)[0])
                raise DeviceError(f"inverter {worst}: {name} {rule} (got {getattr(self, name)[worst]:g})")

    @property
    def n(self) -> int:
        """Number of inverters N."""
        return len(self.s_rated_kva)

    @cached_property
    def has_cos_phi_p(self) -> bool:
        """Whether any inverter follows cos phi(P)."""
        return bool((self.mode == _COS_PHI_P).any())

    @cached_property
    def has_q_v(self) -> bool:
        """Whether any inverter follows Q(V)."""
        return bool((self.mode == _Q_V).any())

    @cached_property
    def has_p_v(self) -> bool:
        """Whether P(V) is on at any inverter."""
        return bool(np.isfinite(self.p_v_start_pu).any())

    @cached_property
    def fixed_q_share(self) -> FloatArray:
        """Reactive power of a fixed power factor per magnitude of active power, shape (N,)."""
        return np.where(self.absorbs, 1.0, -1.0) * _tan_phi(self.cos_phi)

    @classmethod
    def concatenate(cls, fleets: Sequence["InverterFleet"]) -> "InverterFleet":
        """Return one fleet with the inverters of ``fleets`` in order; at least one fleet, each may be empty."""
        return cls(
            **{
                entry.name: np.concatenate([getattr(fleet, entry.name) for fleet in fleets])
                for entry in fields(cls)
            }
        )

    def take(self, index: IntArray | BoolArray | slice) -> "InverterFleet":
        """Return the inverters chosen by ``index``, in its order."""
        return InverterFleet(**{entry.name: getattr(self, entry.name)[index] for entry in fields(self)})


def _rules(fleet: InverterFleet) -> tuple[tuple[str, BoolArray, str], ...]:
    off = np.isposinf(fleet.p_v_start_pu)
    locks_v = fleet.cos_phi_lock_out_pu <= fleet.cos_phi_lock_in_pu
    locks_p = (fleet.q_v_lock_out_share >= 0) & (fleet.q_v_lock_out_share <= fleet.q_v_lock_in_share)
    return (
        ("p_rated_kw", (fleet.p_rated_kw > 0) & np.isfinite(fleet.p_rated_kw), "must be above 0 and finite"),
        ("s_rated_kva", fleet.s_rated_kva >= fleet.p_rated_kw, "must be at least p_rated_kw"),
        ("s_rated_kva", np.isfinite(fleet.s_rated_kva), "must be finite"),
        ("mode", np.isin(fleet.mode, [int(mode) for mode in ReactiveMode]), "must be a ReactiveMode"),
        ("cos_phi", _in_unit(fleet.cos_phi), "must be above 0 and at most 1"),
        ("cos_phi_min", _in_unit(fleet.cos_phi_min), "must be above 0 and at most 1"),
        (
            "cos_phi_p_start",
            (fleet.cos_phi_p_start >= 0) & (fleet.cos_phi_p_start < 1),
            "must be at least 0 and below 1",
        ),
        ("cos_phi_lock_out_pu", locks_v, "must be at most cos_phi_lock_in_pu"),
        ("v2i_pu", (fleet.v2i_pu > 0) & (fleet.v2i_pu < fleet.v1i_pu), "must be above 0 and below v1i_pu"),
        ("v1i_pu", fleet.v1i_pu <= fleet.v1s_pu, "must be at most v1s_pu"),
        ("v1s_pu", fleet.v1s_pu < fleet.v2s_pu, "must be below v2s_pu"),
        ("v2s_pu", np.isfinite(fleet.v2s_pu), "must be finite"),
        (
            "q_max_share",
            (fleet.q_max_share >= 0) & np.isfinite(fleet.q_max_share),
            "must be at least 0 and finite",
        ),
        ("q_v_lock_out_share", locks_p, "must be at least 0 and at most q_v_lock_in_share"),
        ("p_v_start_pu", off | (fleet.p_v_start_pu < fleet.p_v_end_pu), "must be below p_v_end_pu"),
        ("p_v_end_pu", off | np.isfinite(fleet.p_v_end_pu), "must be finite where P(V) is on"),
        ("p_v_min_share", (fleet.p_v_min_share >= 0) & (fleet.p_v_min_share <= 1), "must be from 0 to 1"),
    )


def _in_unit(share: FloatArray) -> BoolArray:
    inside: BoolArray = (share > 0) & (share <= 1)
    return inside


def plain(n: int, s_rated_kva: FloatArray) -> InverterFleet:
    """Return ``n`` inverters at unit power factor with P(V) off, rated ``s_rated_kva`` (shape (n,)) in kVA and kW.

    Raises:
        DeviceError: ratings not above 0, or not ``n`` of them.
    """
    if s_rated_kva.shape != (n,):
        raise DeviceError(f"inverters: s_rated_kva has shape {s_rated_kva.shape}, expected ({n},)")
    return cei_0_21(s_rated_kva, s_rated_kva)


def cei_0_21(
    p_rated_kw: FloatArray, s_rated_kva: FloatArray, *, mode: ReactiveMode = ReactiveMode.COS_PHI
) -> InverterFleet:
    """Return a fleet in one mode with the default parameters of CEI 0-21; P(V) is off.

    Lock-in of cos phi(P) at 1.05 pu is taken from a maker's manual (SolaX); the other values are not verified
    against the standard's text: cos phi 0.90 at rated power from 0.5 of it, lock-out 1.00 pu; Q(V) points 0.90,
    0.92, 1.08 and 1.10 pu with 43.6 % of rated power, lock-in 0.20 and lock-out 0.05 of rated power. Other values
    come with ``dataclasses.replace``.

    Raises:
        DeviceError: ratings not above 0, or apparent below active rating.
    """

    def same(value: float) -> FloatArray:
        return np.full(p_rated_kw.shape, value)

    return InverterFleet(
        s_rated_kva=np.asarray(s_rated_kva, dtype=np.float64),
        p_rated_kw=np.asarray(p_rated_kw, dtype=np.float64),
        mode=np.full(p_rated_kw.shape, int(mode), dtype=np.int64),
        cos_phi=same(1.0),
        absorbs=np.ones(p_rated_kw.shape, dtype=np.bool_),
        cos_phi_min=same(0.90),
        cos_phi_p_start=same(0.5),
        cos_phi_lock_in_pu=same(1.05),
        cos_phi_lock_out_pu=same(1.00),
        v2i_pu=same(0.90),
        v1i_pu=same(0.92),
        v1s_pu=same(1.08),
        v2s_pu=same(1.10),
        q_max_share=same(0.436),
        q_v_lock_in_share=same(0.20),
        q_v_lock_out_share=same(0.05),
        p_v_start_pu=same(np.inf),
        p_v_end_pu=same(np.inf),
        p_v_min_share=same(0.0),
    )


def depends_on_voltage(fleet: InverterFleet, locked: BoolArray) -> BoolArray:
    """Return where power depends on the present voltage: Q(V) locked in, or P(V) on; shape (N,)."""
    if not (fleet.has_q_v or fleet.has_p_v):
        return np.zeros(fleet.n, dtype=np.bool_)
    depends: BoolArray = ((fleet.mode == _Q_V) & locked) | np.isfinite(fleet.p_v_start_pu)
    return depends


def reactive_kvar(fleet: InverterFleet, p_kw: FloatArray, vm_pu: FloatArray, active: BoolArray) -> FloatArray:
    """Return the reactive power [kvar] that each function asks for, before the rating limits it.

    Args:
        fleet: N inverters.
        p_kw: active power at the terminal, shape (N,), feed-in negative.
        vm_pu: voltage at the terminal, shape (N,).
        active: whether cos phi(P) or Q(V) is locked in, shape (N,); a fixed power factor is always active.
    """
    fixed: FloatArray = np.abs(p_kw) * fleet.fixed_q_share
    if not (fleet.has_cos_phi_p or fleet.has_q_v):
        return fixed
    feed_in_kw = np.maximum(-p_kw, 0.0)
    over = np.clip(
        (feed_in_kw / fleet.p_rated_kw - fleet.cos_phi_p_start) / (1.0 - fleet.cos_phi_p_start), 0.0, 1.0
    )
    by_power = feed_in_kw * _tan_phi(1.0 - over * (1.0 - fleet.cos_phi_min))
    high = np.clip((vm_pu - fleet.v1s_pu) / (fleet.v2s_pu - fleet.v1s_pu), 0.0, 1.0)
    low = np.clip((fleet.v1i_pu - vm_pu) / (fleet.v1i_pu - fleet.v2i_pu), 0.0, 1.0)
    by_voltage = fleet.q_max_share * fleet.p_rated_kw * (high - low)
    function = np.where(fleet.mode == _Q_V, by_voltage, by_power)
    q_kvar: FloatArray = np.where(fleet.mode == _COS_PHI, fixed, np.where(active, function, 0.0))
    return q_kvar


def _tan_phi(cos_phi: FloatArray) -> FloatArray:
    tangent: FloatArray = np.sqrt(np.maximum(1.0 - cos_phi**2, 0.0)) / cos_phi
    return tangent


def feed_in_limit_kw(fleet: InverterFleet, vm_pu: FloatArray) -> FloatArray:
    """Return the largest feed-in that P(V) allows at ``vm_pu``, shape (N,) [kW], positive; rated power where off."""
    if not fleet.has_p_v:
        return fleet.p_rated_kw.copy()
    on = np.isfinite(fleet.p_v_start_pu)
    start_pu = np.where(on, fleet.p_v_start_pu, 0.0)
    width_pu = np.where(on, fleet.p_v_end_pu, 1.0) - start_pu
    over = np.where(on, np.clip((vm_pu - start_pu) / width_pu, 0.0, 1.0), 0.0)
    limit_kw: FloatArray = fleet.p_rated_kw * (1.0 - (1.0 - fleet.p_v_min_share) * over)
    return limit_kw


def apply_functions(
    fleet: InverterFleet, p_ask_kw: FloatArray, vm_pu: FloatArray, locked: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Return active [kW] and reactive power [kvar] of each inverter at ``vm_pu``, shape (N,) each.

    Active power is ``p_ask_kw`` within the rated active power and, for feed-in, within P(V); its magnitude never
    grows. Reactive power follows the function within ``sqrt(S^2 - p^2)`` (see the module for the priority).
    Continuous in ``vm_pu`` for given ``locked``.
    """
    # maximum and minimum give what numpy.clip gives in a third of its time
    p_kw = np.minimum(np.maximum(p_ask_kw, -feed_in_limit_kw(fleet, vm_pu)), fleet.p_rated_kw)
    room_kvar = np.sqrt(np.maximum(fleet.s_rated_kva**2 - p_kw**2, 0.0))
    q_kvar = np.minimum(np.maximum(reactive_kvar(fleet, p_kw, vm_pu, locked), -room_kvar), room_kvar)
    return p_kw, q_kvar


def start_locks(fleet: InverterFleet) -> BoolArray:
    """Return the locks before the first step, shape (N,): only a fixed power factor is active."""
    fixed: BoolArray = fleet.mode == _COS_PHI
    return fixed


def update_locks(fleet: InverterFleet, p_kw: FloatArray, vm_pu: FloatArray, locked: BoolArray) -> BoolArray:
    """Return which functions are locked in, shape (N,), from the power asked for now and the voltage of the step before.

    cos phi(P) locks in above ``cos_phi_lock_in_pu`` and out below ``cos_phi_lock_out_pu``; Q(V) locks in above
    ``q_v_lock_in_share`` of rated power (magnitude, so also while charging) and out below ``q_v_lock_out_share``.
    In between the state is kept. A fixed power factor is always active. To be called once per step, never inside
    the fixed point: a lock that flips within a step would have no common solution with the feeder.
    """
    if not (fleet.has_cos_phi_p or fleet.has_q_v):
        return np.ones(fleet.n, dtype=np.bool_)
    share = np.abs(p_kw) / fleet.p_rated_kw
    by_voltage = (vm_pu > fleet.cos_phi_lock_in_pu) | (locked & (vm_pu >= fleet.cos_phi_lock_out_pu))
    by_power = (share > fleet.q_v_lock_in_share) | (locked & (share >= fleet.q_v_lock_out_share))
    function = np.where(fleet.mode == _Q_V, by_power, by_voltage)
    updated: BoolArray = (fleet.mode == _COS_PHI) | function
    return updated
