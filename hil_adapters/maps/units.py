"""Units of points and of signals, and the factors between them."""

from collections.abc import Mapping
from types import MappingProxyType

from hil_adapters.errors import MapError

__all__ = ["UNITS", "factor_between", "factor_through", "unit_of_signal"]

_QUANTITY: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "mW": ("active power", 1e-3),
        "W": ("active power", 1.0),
        "kW": ("active power", 1e3),
        "MW": ("active power", 1e6),
        "var": ("reactive power", 1.0),
        "kvar": ("reactive power", 1e3),
        "VA": ("apparent power", 1.0),
        "kVA": ("apparent power", 1e3),
        "mV": ("voltage", 1e-3),
        "V": ("voltage", 1.0),
        "kV": ("voltage", 1e3),
        "mA": ("current", 1e-3),
        "A": ("current", 1.0),
        "Hz": ("frequency", 1.0),
        "Wh": ("active energy", 1.0),
        "kWh": ("active energy", 1e3),
        "MWh": ("active energy", 1e6),
        "varh": ("reactive energy", 1.0),
        "kvarh": ("reactive energy", 1e3),
        "VAh": ("apparent energy", 1.0),
        "kVAh": ("apparent energy", 1e3),
        "Ah": ("charge", 1.0),
        "degC": ("temperature", 1.0),
        "deg": ("angle", 1.0),
        "%": ("share", 0.01),
        "1": ("share", 1.0),
        "ms": ("time", 1e-3),
        "s": ("time", 1.0),
        "min": ("time", 60.0),
        "h": ("time", 3600.0),
        "Ohm": ("resistance", 1.0),
        "kOhm": ("resistance", 1e3),
        "%/s": ("share a second", 0.01),
    }
)
"""Per unit: what it measures, and how many of that quantity's base units it is."""

UNITS = frozenset(_QUANTITY)
"""Every unit a point may have."""

_OF_ENDING: Mapping[str, str] = MappingProxyType(
    {
        "kw": "kW",
        "kvar": "kvar",
        "kva": "kVA",
        "v": "V",
        "a": "A",
        "hz": "Hz",
        "kwh": "kWh",
        "kvarh": "kvarh",
        "degc": "degC",
        "s": "s",
        "h": "h",
        "percent": "%",
        "deg": "deg",
    }
)
"""Unit by the last part of a signal's name."""


def unit_of_signal(name: str) -> str:
    """Return the unit that the name of a signal carries: ``kW`` for ``p_kw``; ``1`` for names without one (``soc``)."""
    stem, _, ending = name.rpartition("_")
    return _OF_ENDING.get(ending, "1") if stem else "1"


def factor_between(unit: str, other: str) -> float:
    """Return how many of ``other`` one ``unit`` is: 0.001 from W to kW.

    Raises:
        MapError: a unit is not known, or the two do not measure the same.
    """
    for name in (unit, other):
        if name not in _QUANTITY:
            raise MapError(f"unit {name!r} is not known; write one of {', '.join(sorted(UNITS))}")
    (what, size), (other_what, other_size) = _QUANTITY[unit], _QUANTITY[other]
    if what != other_what:
        raise MapError(
            f"{unit} ({what}) cannot be turned into {other} ({other_what}); correct the unit or the name"
        )
    return size / other_size


def factor_through(unit: str, other: str, factor_unit: str | None) -> float:
    """Return how many of ``other`` one ``unit`` is, where a factor in ``factor_unit`` is multiplied besides.

    Without ``factor_unit`` this is :func:`factor_between`; with it (``A/kW``) the factor turns what stands below the stroke
    into what stands above: from W to mA through ``A/kW`` it is 0.001 * 1000.

    Raises:
        MapError: a unit is not known or does not fit.
    """
    if factor_unit is None:
        return factor_between(unit, other)
    above, stroke, below = factor_unit.partition("/")
    if not stroke:
        raise MapError(f"factor_unit {factor_unit!r} is no ratio of two units; write it like 'A/kW'")
    return factor_between(unit, below) * factor_between(above, other)
