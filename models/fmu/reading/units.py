"""How a signal in a unit of ours becomes a variable in the unit of an FMU.

A unit is the exponents of kg, m, s, A, K, mol, cd, rad (as in the ``UnitDefinitions`` of FMI) and of EUR, with factor
and offset: value in base units = factor * value + offset.
"""

import math
from dataclasses import dataclass

from models.errors import FmuMappingError
from models.fmu.base import FmuInfo, FmuVariable

__all__ = ["OUR_UNITS", "conversion", "is_convertible"]

_AGREE = 1e-4
"""A definition in an FMU that is rounded is the usual unit all the same."""
_FLOATS = frozenset({"Real", "Float64", "Float32"})
"""Types that have units; others count, switch or choose."""
_ZERO_CELSIUS_K = 273.15
_KWH_J = 3.6e6


@dataclass(frozen=True, slots=True)
class _Unit:
    exponents: tuple[int, ...]
    factor: float = 1.0
    offset: float = 0.0


_NONE = (0, 0, 0, 0, 0, 0, 0, 0, 0)
_POWER = (1, 2, -3, 0, 0, 0, 0, 0, 0)
_ENERGY = (1, 2, -2, 0, 0, 0, 0, 0, 0)
_VOLTAGE = (1, 2, -3, -1, 0, 0, 0, 0, 0)
_CURRENT = (0, 0, 0, 1, 0, 0, 0, 0, 0)
_RESISTANCE = (1, 2, -3, -2, 0, 0, 0, 0, 0)
_CHARGE = (0, 0, 1, 1, 0, 0, 0, 0, 0)
_KELVIN = (0, 0, 0, 0, 1, 0, 0, 0, 0)
_TIME = (0, 0, 1, 0, 0, 0, 0, 0, 0)
_RATE = (0, 0, -1, 0, 0, 0, 0, 0, 0)
_LENGTH = (0, 1, 0, 0, 0, 0, 0, 0, 0)
_AREA = (0, 2, 0, 0, 0, 0, 0, 0, 0)
_VOLUME = (0, 3, 0, 0, 0, 0, 0, 0, 0)
_FLOW = (0, 3, -1, 0, 0, 0, 0, 0, 0)
_MASS = (1, 0, 0, 0, 0, 0, 0, 0, 0)
_MASS_FLOW = (1, 0, -1, 0, 0, 0, 0, 0, 0)
_IRRADIANCE = (1, 0, -3, 0, 0, 0, 0, 0, 0)
_PRESSURE = (1, -1, -2, 0, 0, 0, 0, 0, 0)
_SPEED = (0, 1, -1, 0, 0, 0, 0, 0, 0)
_ANGLE = (0, 0, 0, 0, 0, 0, 0, 1, 0)
_ANGLE_RATE = (0, 0, -1, 0, 0, 0, 0, 1, 0)
_HEAT_LOSS = (1, 2, -3, 0, -1, 0, 0, 0, 0)
_HEAT_STORE = (1, 2, -2, 0, -1, 0, 0, 0, 0)
_PRICE = (-1, -2, 2, 0, 0, 0, 0, 0, 1)

_KINDS: tuple[tuple[tuple[int, ...], dict[str, float]], ...] = (
    (_NONE, {"1 - pu p.u. per_unit": 1.0, "% percent pct": 0.01}),
    (_POWER, {"W var VA VAr Var J/s": 1.0, "kW kvar kVA kVAr": 1e3, "MW Mvar MVA MVAr": 1e6, "mW": 1e-3}),
    (
        _ENERGY,
        {"J W.s Ws": 1.0, "kJ": 1e3, "MJ": 1e6, "Wh W.h": 3.6e3, "kWh kW.h": _KWH_J, "MWh MW.h": 3.6e9},
    ),
    (_VOLTAGE, {"V": 1.0, "kV": 1e3, "mV": 1e-3}),
    (_CURRENT, {"A": 1.0, "kA": 1e3, "mA": 1e-3}),
    (_RESISTANCE, {"Ohm ohm Ω": 1.0, "mOhm": 1e-3}),
    (_CHARGE, {"A.s As": 1.0, "Ah A.h": 3.6e3}),
    (_KELVIN, {"K": 1.0}),
    (_TIME, {"s sec": 1.0, "ms": 1e-3, "min": 60.0, "h hr": 3.6e3, "d day": 86400.0}),
    (_RATE, {"Hz 1/s s-1": 1.0, "kHz": 1e3, "mHz": 1e-3, "1/min": 1 / 60, "1/h": 1 / 3.6e3}),
    (_LENGTH, {"m": 1.0, "km": 1e3, "cm": 1e-2, "mm": 1e-3}),
    (_AREA, {"m2 m^2 m²": 1.0}),
    (_VOLUME, {"m3 m^3 m³": 1.0, "l L dm3": 1e-3, "ml mL": 1e-6}),
    (
        _FLOW,
        {
            "m3/s m3.s-1 m^3/s m³/s": 1.0,
            "m3/h m^3/h m³/h": 1 / 3.6e3,
            "l/s L/s": 1e-3,
            "l/min L/min": 1e-3 / 60,
            "l/h L/h": 1e-3 / 3.6e3,
        },
    ),
    (_MASS, {"kg": 1.0, "g": 1e-3, "t": 1e3}),
    (_MASS_FLOW, {"kg/s kg.s-1": 1.0, "kg/h": 1 / 3.6e3, "kg/min": 1 / 60, "g/s": 1e-3}),
    (_IRRADIANCE, {"W/m2 W.m-2 W/m^2 W/m²": 1.0, "kW/m2 kW/m^2 kW/m²": 1e3}),
    (_PRESSURE, {"Pa": 1.0, "kPa": 1e3, "hPa mbar": 100.0, "bar": 1e5}),
    (_SPEED, {"m/s m.s-1": 1.0, "km/h": 1 / 3.6}),
    (_ANGLE, {"rad": 1.0, "deg degree °": math.pi / 180}),
    (_ANGLE_RATE, {"rad/s rad.s-1": 1.0, "rpm rev/min": math.pi / 30}),
    (_HEAT_LOSS, {"W/K W.K-1": 1.0, "kW/K": 1e3}),
    (_HEAT_STORE, {"J/K J.K-1": 1.0, "kJ/K": 1e3, "kWh/K": _KWH_J}),
    (
        _PRICE,
        {"EUR/J": 1.0, "EUR/kWh €/kWh": 1 / _KWH_J, "EUR/MWh €/MWh": 1e-3 / _KWH_J, "ct/kWh": 0.01 / _KWH_J},
    ),
)
_CELSIUS = _Unit(_KELVIN, 1.0, _ZERO_CELSIUS_K)
_FAHRENHEIT = _Unit(_KELVIN, 5 / 9, _ZERO_CELSIUS_K - 32 * 5 / 9)
_USUAL = {
    **{
        name: _Unit(exponents, factor)
        for exponents, spellings in _KINDS
        for names, factor in spellings.items()
        for name in names.split()
    },
    **dict.fromkeys(("degC", "Cel", "°C", "℃", "Celsius", "deg_C", "C_deg"), _CELSIUS),
    **dict.fromkeys(("degF", "°F"), _FAHRENHEIT),
}
"""Usual spellings. Those that mean different things to different people (``C`` for Celsius, ``S``) are left out."""

OUR_UNITS = frozenset(
    {
        "kW",
        "kvar",
        "kVA",
        "kWh",
        "pu",
        "V",
        "1",
        "degC",
        "K",
        "s",
        "min",
        "h",
        "l",
        "l/min",
        "m3/s",
        "kg/s",
        "EUR/kWh",
        "EUR/MWh",
        "W/m2",
        "Hz",
        "%",
        "kW/K",
        "kWh/K",
    }
)
"""What signals and parameters of ours come in."""
_QUANTITIES: dict[tuple[int, ...], str] = {
    _NONE: "a number without unit",
    _POWER: "a power",
    _ENERGY: "an energy",
    _VOLTAGE: "a voltage",
    _CURRENT: "a current",
    _KELVIN: "a temperature",
    _TIME: "a time",
    _RATE: "a frequency",
    _VOLUME: "a volume",
    _FLOW: "a volume flow",
    _MASS_FLOW: "a mass flow",
    _IRRADIANCE: "an irradiance",
    _ANGLE: "an angle",
    _ANGLE_RATE: "an angular speed",
    _PRICE: "a price of energy",
}


def conversion(
    info: FmuInfo, variable: FmuVariable, unit: str, given: str | None, *, required: bool = False
) -> tuple[float, float]:
    """Return factor and offset so that value of the variable = value in ``unit`` * factor + offset.

    The variable is in ``given`` where that is written, else in the unit of the model description; without either it
    is taken to be in ``unit``.

    Args:
        info: the FMU.
        variable: one of its variables.
        unit: of our signal, one of ``OUR_UNITS``.
        given: unit of the variable as written by the user.
        required: raise where the unit of the variable is written nowhere and ``unit`` is not 1 or pu.

    Raises:
        FmuMappingError: the units measure different things, one is unknown, the FMU defines a usual unit in an unusual
            way, or there is none (``required``).
    """
    ours = _USUAL.get(unit)
    if ours is None:
        raise FmuMappingError(
            f"{_where(info, variable)}: the unit {unit!r} of the signal is unknown; known are "
            f"{', '.join(sorted(OUR_UNITS))}"
        )
    theirs = _unit_of(info, variable, given)
    if theirs is None:
        if required and variable.type in _FLOATS and unit not in {"1", "pu"}:
            raise FmuMappingError(
                f"{_where(info, variable)}: the FMU does not say its unit, the signal is in {unit}; write its unit, "
                f"e.g. `unit: {unit}`"
            )
        return 1.0, 0.0
    if theirs.exponents != ours.exponents:
        raise FmuMappingError(
            _mismatch(info, variable, unit=unit, written=given or str(variable.unit), theirs=theirs)
        )
    return ours.factor / theirs.factor, (ours.offset - theirs.offset) / theirs.factor


def is_convertible(info: FmuInfo, variable: FmuVariable, unit: str) -> bool | None:
    """Return whether the variable can take values in ``unit``; None where the FMU does not say, or not clearly."""
    try:
        theirs = _unit_of(info, variable, None)
    except FmuMappingError:
        return None
    return None if theirs is None else theirs.exponents == _USUAL[unit].exponents


def _unit_of(info: FmuInfo, variable: FmuVariable, given: str | None) -> _Unit | None:
    """Return the unit of a variable; a word of the user has its usual meaning, one of the FMU that of the FMU."""
    written = variable.unit if given is None else given
    if written is None:
        return None
    defined, usual = _defined(info, written), _USUAL.get(written)
    if defined is None and usual is None:
        raise FmuMappingError(
            f"{_where(info, variable)}: the unit {written!r} is not defined in the FMU and not known here; write "
            "another spelling as `unit:`, e.g. kW, W, kvar, V, K, degC, kWh, J, 1, %, m3/s, l/min"
        )
    if usual is None or defined is None:
        return usual if defined is None else defined
    if given is None and not _agree(defined, usual):
        raise FmuMappingError(
            f"{_where(info, variable)}: the FMU defines its unit {written} as {defined.factor:g} "
            f"(offset {defined.offset:g}) in SI base units with exponents {defined.exponents[:-1]}, usual is "
            f"{usual.factor:g} (offset {usual.offset:g}) with {usual.exponents[:-1]}; write what it really is as "
            f"`unit:`, e.g. `unit: {written}` for the usual"
        )
    return usual


def _defined(info: FmuInfo, written: str) -> _Unit | None:
    entry = info.unit_factors.get(written)
    if entry is None:
        return None
    exponents, factor, offset = entry
    if not (math.isfinite(factor) and math.isfinite(offset)) or factor == 0:
        raise FmuMappingError(
            f"{info.file.name}: the unit {written} is defined by the factor {factor:g} and the offset {offset:g}, "
            "which means nothing; write the unit as `unit:` in another spelling"
        )
    return _Unit((*exponents, 0), factor, offset)


def _agree(one: _Unit, other: _Unit) -> bool:
    return (
        one.exponents == other.exponents
        and math.isclose(one.factor, other.factor, rel_tol=_AGREE)
        and math.isclose(one.offset, other.offset, rel_tol=_AGREE, abs_tol=_AGREE)
    )


def _where(info: FmuInfo, variable: FmuVariable) -> str:
    return f"{info.file.name}: variable {variable.name}"


def _mismatch(info: FmuInfo, variable: FmuVariable, *, unit: str, written: str, theirs: _Unit) -> str:
    ours = _USUAL[unit]
    text = (
        f"{_where(info, variable)}: is in {written}{_said(theirs)}, the signal is in {unit}{_said(ours)}; map another "
        "signal, or write the unit that the variable really has as `unit:`"
    )
    if unit == "pu" and theirs.exponents == _VOLTAGE:
        text += "; the signal v_v is the voltage in V"
    return text


def _said(unit: _Unit) -> str:
    quantity = _QUANTITIES.get(unit.exponents)
    return "" if quantity is None else f" ({quantity})"
