"""Inverter functions of CEI 0-21 over a fleet of inverters.

Sign: consumption positive. A generator has ``p_kw`` < 0; ``q_kvar`` > 0 absorbs reactive power (under-excited) and
lowers the voltage. All arrays have shape (N,).
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoolArray", "FloatArray", "InverterFleet", "ReactiveMode"]

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

    @property
    def n(self) -> int:
        """Number of inverters N."""
        return len(self.s_rated_kva)
