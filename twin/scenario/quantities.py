"""Numbers with a unit, as people write them: ``5 kW``, ``5000 Wh``, ``15 min``, ``60 %``.

The unit of a field is fixed by its name; a value may be a plain number in that unit or text with a unit of the same
kind. Conversion happens here, at the edge, and nowhere else in a scenario. (``twin.units`` converts arrays and needs
numpy, which ``twin check`` does not wait for.)
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from twin.scenario.marks import got

__all__ = ["Quantity", "parse_by_suffix", "parse_quantity"]

_UNITS: dict[str, dict[str, float]] = {
    "kW": {"W": 1e-3, "kW": 1, "MW": 1e3},
    "kWh": {"Wh": 1e-3, "kWh": 1, "MWh": 1e3},
    "kvar": {"var": 1e-3, "kvar": 1, "Mvar": 1e3},
    "kVA": {"VA": 1e-3, "kVA": 1, "MVA": 1e3},
    "s": {"s": 1, "min": 60, "h": 3600, "ms": 1e-3},
    "h": {"min": 1 / 60, "h": 1, "d": 24},
    "d": {"d": 1, "day": 1, "days": 1},
    "1": {"%": 1e-2},
    "%": {"%": 1},
    "pu": {"pu": 1, "%": 1e-2},
    "deg": {"deg": 1, "°": 1},
    "degC": {"degC": 1, "°C": 1},
    "K": {"K": 1},
    "l": {"l": 1, "m3": 1e3},
    "l/min": {"l/min": 1, "l/h": 1 / 60},
    "kW/K": {"W/K": 1e-3, "kW/K": 1},
    "kWh/K": {"Wh/K": 1e-3, "kWh/K": 1},
    "1/s": {"1/s": 1, "%/s": 1e-2, "%/min": 1 / 6000},
    "V": {"V": 1, "kV": 1e3},
    "A": {"A": 1},
    "kW/s": {"W/s": 1e-3, "kW/s": 1, "kW/min": 1 / 60},
    "m": {"m": 1, "km": 1e3},
    "km": {"km": 1},
    "kWh/km": {"kWh/km": 1, "Wh/km": 1e-3, "kWh/100km": 1e-2},
    "EUR/kWh": {"EUR/kWh": 1, "EUR/MWh": 1e-3, "ct/kWh": 1e-2},
    "EUR/MWh": {"EUR/MWh": 1, "EUR/kWh": 1e3, "ct/kWh": 10},
    "EUR/year": {"EUR/year": 1, "EUR/month": 12},
    "EUR/kW/year": {"EUR/kW/year": 1, "EUR/kW/month": 12},
    "EUR": {"EUR": 1, "kEUR": 1e3},
    "kg/kWh": {"kg/kWh": 1, "g/kWh": 1e-3, "kg/MWh": 1e-3, "t/MWh": 1},
    "%/year": {"%/year": 1, "%": 1},
    "year": {"year": 1, "years": 1},
    "": {},
}
"""For each unit of a field the units it accepts, with their size in the field's unit."""

_SUFFIXES = {
    "_eur_kwh": "EUR/kWh",
    "_eur_mwh": "EUR/MWh",
    "_kg_kwh": "kg/kWh",
    "_percent": "%",
    "_share": "1",
    "_kwh": "kWh",
    "_kva": "kVA",
    "_kw": "kW",
    "_pu": "pu",
    "_deg": "deg",
    "_s": "s",
    "_h": "h",
    "_m": "m",
}
_WRITTEN = re.compile(r"\s*([-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)\s*(\S*)\s*")


def parse_quantity(value: object, unit: str) -> int | float:
    """Return ``value``, a number or text such as ``5 kW``, as a number in ``unit``.

    Raises:
        ValueError: not a number, not finite, or a unit of another kind; the message lists the accepted ones.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _finite(value)
    wanted = f"must be a number{_accepted(unit)}"
    if not isinstance(value, str):
        raise ValueError(f"{wanted} (got {got(value)})")  # noqa: TRY004 - pydantic collects ValueError only
    written = _WRITTEN.fullmatch(value)
    if written is None:
        hint = "; write a decimal point, not a comma" if re.search(r"\d,\d", value) else ""
        raise ValueError(f"{wanted} (got {got(value)}){hint}")
    number, name = float(written[1]), written[2]
    return _finite(number if not name else _converted(number, name, unit))


def parse_by_suffix(name: str, value: object) -> object:
    """Return ``value`` converted if it is text and ``name`` ends in a unit, e.g. ``limit_kw: 4 kW``; else unchanged.

    Raises:
        ValueError: as ``parse_quantity``.
    """
    unit = next((unit for suffix, unit in _SUFFIXES.items() if name.endswith(suffix)), None)
    return value if unit is None or not isinstance(value, str) else parse_quantity(value, unit)


def _finite(number: float) -> float:
    try:
        finite = math.isfinite(number)
    except OverflowError:  # a whole number beyond the range of floats
        finite = False
    if not finite:
        raise ValueError(
            f"must be a finite number (got {got(number)}); a gap cannot be simulated, give a value"
        )
    return number


def _converted(number: float, name: str, unit: str) -> float:
    for known, size in _UNITS[unit].items():
        if known.casefold() == name.casefold():
            # dividing by a whole number rounds once: 35 % is 0.35 and not 0.35000000000000003
            return number * size if size >= 1 else number / round(1 / size)
    remedy = f"use {', '.join(_UNITS[unit])}" if _UNITS[unit] else "write the number alone"
    raise ValueError(f"unit {name!r} does not fit; {remedy} (got '{number:g} {name}')")


def _accepted(unit: str) -> str:
    names = list(_UNITS[unit])
    if not names:
        return ""
    meaning = "a share from 0 to 1" if unit == "1" else unit
    return f", alone ({meaning}) or with a unit: {', '.join(names)}"


@dataclass(frozen=True, slots=True)
class Quantity:
    """Annotation of a number in ``unit`` with its limits: ``Annotated[float, Quantity("kW", ge=0)]``."""

    unit: str
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None

    def parse(self, value: object) -> int | float:
        """Return ``value`` as a number in the unit; pydantic checks the limits afterwards."""
        try:
            return parse_quantity(value, self.unit)
        except ValueError as error:
            raise PydanticCustomError("quantity", "{text}", {"text": str(error)}) from error

    def __get_pydantic_core_schema__(self, source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        number: CoreSchema
        if source is int:
            limits: dict[str, Any] = {key: int(value) for key, value in self._limits().items()}
            number = core_schema.int_schema(**limits)
        else:
            number = core_schema.float_schema(**self._limits(), allow_inf_nan=False)
        return core_schema.no_info_before_validator_function(self.parse, number)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        number: dict[str, Any] = dict(handler(schema))
        names = "|".join(re.escape(name) for name in _UNITS[self.unit])
        if not names:
            return number
        text = {"type": "string", "pattern": rf"^\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\s*({names})?\s*$"}
        return {"anyOf": [number, text], "x-unit": self.unit}

    def _limits(self) -> dict[str, Any]:
        limits = {"gt": self.gt, "ge": self.ge, "lt": self.lt, "le": self.le}
        return {key: value for key, value in limits.items() if value is not None}
