"""The ``missing:`` block of a device on the wire: what is used for a signal that is old or does not come."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from twin.scenario.base import Spec, wrong
from twin.scenario.quantities import Quantity, parse_quantity

__all__ = ["MissingSpec", "limits_in_units", "safe_in_units"]

_UNITS = {"_kwh": "kWh", "_kw": "kW", "_kvar": "kvar", "_degc": "degC", "_pu": "pu", "soc": "1"}
"""Unit of a signal by the end of its name; of others only numbers are written."""


class MissingSpec(Spec):
    """What is used for one signal."""

    hold: Annotated[float, Quantity("s", ge=0, le=86400)] | None = Field(
        default=None,
        description="The last good reading is used up to this age [s]; default 10 s, of states such as soc 60 s.",
    )
    then: Literal["model", "safe", "stop"] = Field(
        default="model",
        description="Afterwards: the model beside the device, the value under safe, or stop the run.",
    )
    safe: Annotated[float, Quantity("")] | None = Field(
        default=None, description="then: safe - this value, in the unit of the signal and of the one device."
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: a safe value that is missing or has no effect."""
        if self.then == "safe" and self.safe is None:
            yield "safe", "is missing; then: safe needs the value, e.g. safe: 0 kW"
        if self.then != "safe" and self.safe is not None:
            yield "safe", f"has no effect with then: {self.then}; write then: safe or remove it"


def safe_in_units(value: object) -> object:
    """Convert ``safe: 0 kW`` by the signal that it belongs to; for the mapping signal -> block."""
    return _in_units(value, ("safe",))


def limits_in_units(value: object) -> object:
    """Convert ``min: 1 kW`` and ``max: 90 %`` by the command or signal that they belong to."""
    return _in_units(value, ("min", "max"))


def _in_units(value: object, fields: tuple[str, ...]) -> object:
    if not isinstance(value, dict):
        return value
    return {name: _converted(str(name), entry, fields) for name, entry in value.items()}


def _converted(name: str, entry: object, fields: tuple[str, ...]) -> object:
    if not isinstance(entry, dict):
        return entry
    unit = next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")
    converted = dict(entry)
    for field in fields:
        if isinstance(entry.get(field), str):
            try:
                converted[field] = parse_quantity(entry[field], unit)
            except ValueError as error:
                raise wrong(f"{name}.{field} {error}") from error
    return converted
