"""The only place where units change.

Inside the program a quantity carries its unit in its name (``p_kw``, ``e_kwh``, ``dt_s``); conversions between
two names are functions of this module.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "HOURS_PER_DAY",
    "SECONDS_PER_DAY",
    "SECONDS_PER_HOUR",
    "SECONDS_PER_MINUTE",
    "FloatOrArray",
    "energy_kwh",
    "hours",
    "kw_from_mw",
    "mean_power_kw",
    "mw_from_kw",
]

SECONDS_PER_MINUTE = 60
SECONDS_PER_HOUR = 3600
SECONDS_PER_DAY = 86400
HOURS_PER_DAY = 24

FloatOrArray = TypeVar("FloatOrArray", float, NDArray[np.float64])


def energy_kwh(p_kw: FloatOrArray, dt_s: float) -> FloatOrArray:
    """Return the energy [kWh] of the mean power ``p_kw`` [kW] over ``dt_s`` [s]."""
    return p_kw * (dt_s / SECONDS_PER_HOUR)


def mean_power_kw(e_kwh: FloatOrArray, dt_s: float) -> FloatOrArray:
    """Return the mean power [kW] of the energy ``e_kwh`` [kWh] over ``dt_s`` [s]."""
    return e_kwh * (SECONDS_PER_HOUR / dt_s)


def hours(duration_s: float) -> float:
    """Return a duration [s] in hours [h]."""
    return duration_s / SECONDS_PER_HOUR


def kw_from_mw(p_mw: FloatOrArray) -> FloatOrArray:
    """Return a power [MW] in [kW]."""
    return p_mw * 1e3


def mw_from_kw(p_kw: FloatOrArray) -> FloatOrArray:
    """Return a power [kW] in [MW]."""
    return p_kw * 1e-3
