"""The inverters of a fleet from their entries."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.errors import DeviceError
from models.inverter import InverterFleet, ReactiveMode
from twin.errors import InputError
from twin.scenario.inverter import InverterSpec

__all__ = ["COS_PHI_AT_RATED_POWER", "inverter_fleet", "rated_kva_of"]

Array = NDArray[np.float64]

COS_PHI_AT_RATED_POWER = 0.9
"""CEI 0-21 asks for reactive power of 48.4 % of rated power at rated power, so S is at least P / 0.9."""

_MODES = {"cos_phi": ReactiveMode.COS_PHI, "cos_phi_p": ReactiveMode.COS_PHI_P, "q_v": ReactiveMode.Q_V}

_CURVE_FIELDS = (
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
)


def inverter_fleet(
    specs: Sequence[InverterSpec], p_rated_kw: Sequence[float], s_rated_kva: Sequence[float]
) -> InverterFleet:
    """Return the inverters of one fleet in order."""

    def column(name: str) -> Array:
        return np.array([getattr(spec, name) for spec in specs], dtype=np.float64)

    def p_v(name: str, off: float) -> Array:
        return np.array(
            [off if spec.p_v is None else getattr(spec.p_v, name) for spec in specs], dtype=np.float64
        )

    try:
        return InverterFleet(
            s_rated_kva=np.array(s_rated_kva, dtype=np.float64),
            p_rated_kw=np.array(p_rated_kw, dtype=np.float64),
            mode=np.array([_MODES[spec.function] for spec in specs], dtype=np.int64),
            absorbs=np.array([spec.absorbs for spec in specs], dtype=np.bool_),
            p_v_start_pu=p_v("start_pu", np.inf),
            p_v_end_pu=p_v("end_pu", np.inf),
            p_v_min_share=p_v("min_share", 1.0),
            **{name: column(name) for name in _CURVE_FIELDS},
        )
    except DeviceError as error:
        raise InputError(str(error)) from error


def rated_kva_of(spec: InverterSpec, p_rated_kw: Array) -> Array:
    """Return the apparent power of inverters with rated active powers ``p_rated_kw``: as written, or P / 0.9."""
    if spec.s_rated_kva is None:
        return p_rated_kw / COS_PHI_AT_RATED_POWER
    return np.full(len(p_rated_kw), spec.s_rated_kva)
