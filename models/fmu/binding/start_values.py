"""Parameters and start values: checked once for all devices, then set in the mode of the FMU that takes them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from models.errors import FmuMappingError
from models.fmu.base import FleetSpec, FloatArray, FmuInfo, FmuVariable, Value
from models.fmu.binding.transfers import find_variable, suffix_of, whole_numbers

__all__ = [
    "Mode",
    "StartValues",
    "check_one_value",
    "chosen_sizes",
    "is_per_device",
    "sizes_of",
    "start_values",
    "values_per_device",
]


_MOST_VALUES = 10**7
"""Of one variable: 80 MB."""


class Mode(Enum):
    """When a value is set."""

    CONFIGURATION = "configuration mode"
    """Structural parameters: sizes of arrays (FMI 3.0)."""
    INSTANTIATED = "instantiated"
    """Parameters and start values of states."""
    INITIALISATION = "initialisation mode"
    """Start values of inputs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Entry:
    setter: str
    """Method of FMPy's classes."""
    variable: FmuVariable
    values: list[Value] | Value
    """One for each device, or one for all."""
    repeat: int
    """Elements of the variable that get the value."""


class StartValues:
    """All values to set, by mode."""

    def __init__(self, entries: Mapping[Mode, Sequence[_Entry]]) -> None:
        self._entries = entries

    def has(self, mode: Mode) -> bool:
        """Whether anything is set in that mode."""
        return bool(self._entries.get(mode))

    def set(self, instance: Any, mode: Mode, *, device: int) -> None:
        """Set the values of one device in its own instance, one call for each type."""
        by_setter: dict[str, tuple[list[int], list[Value]]] = {}
        for entry in self._entries.get(mode, ()):
            references, values = by_setter.setdefault(entry.setter, ([], []))
            value = entry.values[device] if isinstance(entry.values, list) else entry.values
            references.append(entry.variable.value_reference)
            values.extend([value] * entry.repeat)
        for setter, (references, values) in by_setter.items():
            getattr(instance, setter)(references, values)

    def set_all(self, instance: Any, mode: Mode) -> None:
        """Set the values of all devices in the one instance that holds them."""
        for entry in self._entries.get(mode, ()):
            values = entry.values if isinstance(entry.values, list) else [entry.values] * entry.repeat
            getattr(instance, entry.setter)([entry.variable.value_reference], values)


def sizes_of(info: FmuInfo, chosen: Mapping[str, int]) -> dict[str, int]:
    """Return the value of each structural parameter: chosen, else its start value."""
    sizes = {
        variable.name: int(variable.start)
        for variable in info.variables
        if variable.causality == "structuralParameter"
        and variable.start is not None
        and variable.start.isdecimal()
    }
    return sizes | dict(chosen)


def values_per_device(variable: FmuVariable, sizes: Mapping[str, int]) -> int:
    """Return how many values a variable has, 1 for a scalar; a size that is not known counts as 1."""
    return math.prod(sizes.get(side, 1) if isinstance(side, str) else side for side in variable.shape)


def chosen_sizes(info: FmuInfo, spec: FleetSpec) -> dict[str, int]:
    """Return the value of each structural parameter in a fleet: as given, else its start value.

    Where devices have different values it is the largest: a variable of that size has not one value for each.
    """
    chosen = {
        name: int(numbers.max())
        for name, value in spec.parameters.items()
        if _causality(info, name) == "structuralParameter" and not isinstance(value, str)
        if np.isfinite(numbers := np.asarray(value, dtype=float)).all() and numbers.size > 0
    }
    if spec.array_size is not None:
        chosen[spec.array_size] = spec.size
    return sizes_of(info, chosen)


def is_per_device(variable: FmuVariable, spec: FleetSpec, sizes: Mapping[str, int]) -> bool:
    """Return whether a variable of an instance that holds all devices has one value for each of them."""
    names = [side for side in variable.shape if isinstance(side, str)]
    return names.count(str(spec.array_size)) == 1 and values_per_device(variable, sizes) == spec.size


def check_one_value(info: FmuInfo, spec: FleetSpec, variables: Iterable[FmuVariable]) -> None:
    """Refuse variables that have not one value for one device.

    Raises:
        FmuMappingError: the first of them.
    """
    sizes = chosen_sizes(info, spec)
    for variable in variables:
        count = values_per_device(variable, sizes)
        if count != 1:
            raise FmuMappingError(
                f"{spec.label}: {variable.name} of {info.file.name} has {count} values for one device; take a variable with "
                "one value, or, with Co-Simulation, name the structural parameter that is the number of devices (`array:`)"
            )


def start_values(info: FmuInfo, spec: FleetSpec) -> StartValues:
    """Check the parameters of a fleet and sort them by the mode in which they are set.

    With ``spec.array_size`` that structural parameter is set to N, and a variable with N values takes one for each device.

    Raises:
        FmuMappingError: no such variable, one that cannot be set, or a value that does not fit it.
    """
    given = dict(spec.parameters)
    if spec.array_size is not None:
        asked = given.setdefault(spec.array_size, spec.size)
        if isinstance(asked, str) or np.any(np.asarray(asked) != spec.size):
            raise FmuMappingError(
                f"{spec.label}: {spec.array_size} is the number of devices, {spec.size}, not {asked}; drop the parameter"
            )
    sizes = chosen_sizes(info, spec)
    entries: dict[Mode, list[_Entry]] = {mode: [] for mode in Mode}
    for name, value in given.items():
        variable = find_variable(info, name)
        _check_settable(info, variable)
        entries[_mode(variable)].append(_entry(info, spec, variable, value=value, sizes=sizes))
    return StartValues(entries)


def _causality(info: FmuInfo, name: str) -> str | None:
    variable = info.variable(name)
    return None if variable is None else variable.causality


def _mode(variable: FmuVariable) -> Mode:
    modes = {"structuralParameter": Mode.CONFIGURATION, "input": Mode.INITIALISATION}
    return modes.get(variable.causality, Mode.INSTANTIATED)


def _check_settable(info: FmuInfo, variable: FmuVariable) -> None:
    """Refuse what the standard does not let one set before the first step."""
    named = f"{info.file.name}: {variable.name}"
    if variable.variability == "constant":
        raise FmuMappingError(f"{named} is a constant and cannot be set; drop it")
    if variable.causality in {"parameter", "structuralParameter", "input"}:
        return
    if variable.causality in {"calculatedParameter", "independent"} or variable.initial not in {
        "exact",
        "approx",
    }:
        raise FmuMappingError(
            f"{named} is computed by the FMU ({variable.causality}, initial: {variable.initial}) and cannot be set; set the "
            "parameters it comes from"
        )


def _entry(
    info: FmuInfo,
    spec: FleetSpec,
    variable: FmuVariable,
    *,
    value: Value | FloatArray,
    sizes: Mapping[str, int],
) -> _Entry:
    count = values_per_device(variable, sizes)
    if count > _MOST_VALUES:
        raise FmuMappingError(
            f"{spec.label}: {variable.name} of {info.file.name} has {count} values, {_MOST_VALUES} are the most that are "
            "set; give its size with the structural parameters, or leave it at its start value"
        )
    checked = _checked(info, variable, value)
    if isinstance(checked, list):
        if len(checked) != spec.size:
            raise FmuMappingError(
                f"{spec.label}: {variable.name} has {len(checked)} values for {spec.size} devices; give one, or one for each"
            )
        if spec.array_size is not None and not is_per_device(variable, spec, sizes):
            if count != 1:
                raise FmuMappingError(
                    f"{spec.label}: {variable.name} has {count} values in the FMU, not one for each of {spec.size} devices"
                )
            if any(entry != checked[0] for entry in checked):
                raise FmuMappingError(
                    f"{spec.label}: {variable.name} is one value for all devices of this FMU; give one value, or use one "
                    "instance for each device"
                )
            checked = checked[0]
    return _Entry(setter=_setter(info, variable), variable=variable, values=checked, repeat=count)


def _setter(info: FmuInfo, variable: FmuVariable) -> str:
    return "setString" if variable.type == "String" else f"set{suffix_of(info, variable)[0]}"


def _checked(info: FmuInfo, variable: FmuVariable, value: Value | FloatArray) -> list[Value] | Value:
    """Return the value as the setter takes it: a list where there is one for each device."""
    named = f"{info.file.name}: {variable.name} ({variable.type})"
    if (variable.type == "String") != isinstance(value, str):
        wanted = "a text" if variable.type == "String" else "a number"
        raise FmuMappingError(f"{named} takes {wanted}, not {value!r}; write {wanted}")
    if isinstance(value, str):
        return value
    numbers = np.asarray(value, dtype=float)
    if numbers.ndim > 1 or np.isnan(numbers).any():
        raise FmuMappingError(f"{named} takes a number, or one for each device, not {value!r}")
    _check_bounds(named, variable, numbers)
    suffix, dtype = suffix_of(info, variable)
    if np.dtype(dtype).kind == "f":
        return [float(number) for number in numbers] if numbers.ndim else float(numbers)
    whole = whole_numbers(np.atleast_1d(numbers), np.bool_ if variable.type == "Boolean" else dtype)
    if whole is None:
        wanted = (
            "true or false"
            if variable.type == "Boolean"
            else f"a whole number that fits {np.dtype(dtype).name}"
        )
        raise FmuMappingError(f"{named} takes {wanted}, not {value!r}")
    plain: list[Value] = [bool(entry) if suffix == "Boolean" else int(entry) for entry in whole]
    return plain if numbers.ndim else plain[0]


def _check_bounds(named: str, variable: FmuVariable, numbers: FloatArray) -> None:
    low = -np.inf if variable.low is None else variable.low
    high = np.inf if variable.high is None else variable.high
    outside = (numbers < low) | (numbers > high)
    if outside.any():
        raise FmuMappingError(
            f"{named}: {numbers[outside].flat[0]:g} is outside [{low:g}, {high:g}], the bounds the FMU gives; correct it"
        )
