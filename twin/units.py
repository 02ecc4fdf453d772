"""The only place in ``twin`` where units change; the leaves ``models`` and ``hil_adapters`` keep their own.

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
    "in_internal_unit",
    "internal_unit",
    "mean_power_kw",
    "power_in_kw",
    "price_eur_kwh",
    "price_eur_mwh",
    "volts",
]

SECONDS_PER_MINUTE = 60
SECONDS_PER_HOUR = 3600
SECONDS_PER_DAY = 86400
HOURS_PER_DAY = 24
_KWH_PER_MWH = 1000.0
_LOW_VOLTAGE_V = 230.0

FloatOrArray = TypeVar("FloatOrArray", float, NDArray[np.float64])


def energy_kwh(p_kw: FloatOrArray, dt_s: float) -> FloatOrArray:
    """Return the energy [kWh] of the mean power ``p_kw`` [kW] over ``dt_s`` [s]."""
    return p_kw * (dt_s / SECONDS_PER_HOUR)


def mean_power_kw(e_kwh: FloatOrArray, dt_s: float) -> FloatOrArray:
    """Return the mean power [kW] of the energy ``e_kwh`` [kWh] over ``dt_s`` [s]."""
    return e_kwh * (SECONDS_PER_HOUR / dt_s)


def price_eur_mwh(price_eur_kwh: FloatOrArray) -> FloatOrArray:
    """Return a price per kWh [EUR/kWh] per MWh [EUR/MWh]."""
    return price_eur_kwh * _KWH_PER_MWH


def price_eur_kwh(price_eur_mwh: FloatOrArray) -> FloatOrArray:
    """Return a price per MWh [EUR/MWh] per kWh [EUR/kWh]."""
    return price_eur_mwh / _KWH_PER_MWH


def volts(vm_pu: FloatOrArray) -> FloatOrArray:
    """Return a voltage [pu] of a low-voltage connection point between phase and neutral [V]; 230 V at 1 pu."""
    return vm_pu * _LOW_VOLTAGE_V


def hours(duration_s: float) -> float:
    """Return a duration [s] in hours [h]."""
    return duration_s / SECONDS_PER_HOUR


_INTERNAL = {
    "W": ("kW", 1e-3),
    "kW": ("kW", 1.0),
    "MW": ("kW", 1e3),
    "EUR/kWh": ("EUR/kWh", 1.0),
    "EUR/MWh": ("EUR/kWh", 1e-3),
    "kg/kWh": ("kg/kWh", 1.0),
    "g/kWh": ("kg/kWh", 1e-3),
    "degC": ("degC", 1.0),
    "l/min": ("l/min", 1.0),
    "1": ("1", 1.0),
}
_KWH_PER_UNIT = {"Wh": 1e-3, "kWh": 1.0, "MWh": 1e3}
_LITRES = "l"


def internal_unit(unit: str) -> str:
    """Return the unit that a series in ``unit`` has inside the program: kW, EUR/kWh, kg/kWh, degC, l/min or 1.

    Known are W, kW, MW, Wh, kWh, MWh (energy of each interval), EUR/kWh, EUR/MWh, kg/kWh, g/kWh, degC, l/min, l (litres of
    each interval) and 1; others raise ``ValueError``.
    """
    if unit in _KWH_PER_UNIT:
        return "kW"
    if unit == _LITRES:
        return "l/min"
    if unit not in _INTERNAL:
        raise ValueError(f"no unit {unit!r}; known are {', '.join((*_INTERNAL, *_KWH_PER_UNIT, _LITRES))}")
    return _INTERNAL[unit][0]


def in_internal_unit(values: NDArray[np.float64], unit: str, dt_s: float) -> NDArray[np.float64]:
    """Return a series in ``unit`` over intervals of ``dt_s`` [s] in its :func:`internal_unit`."""
    if unit in _KWH_PER_UNIT:
        return mean_power_kw(values * _KWH_PER_UNIT[unit], dt_s)
    if unit == _LITRES:
        return values * (SECONDS_PER_MINUTE / dt_s)
    internal_unit(unit)
    return values * _INTERNAL[unit][1]


def power_in_kw(value: float, unit: str) -> float:
    """Return a power in ``unit`` (W, kW or MW) in [kW]; other units raise ``ValueError``."""
    if internal_unit(unit) != "kW" or unit in _KWH_PER_UNIT:
        raise ValueError(f"{unit!r} is no unit of power; known are W, kW, MW")
    return value * _INTERNAL[unit][1]
