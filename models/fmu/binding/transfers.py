"""Values between the rows of a block and the variables of an FMU: one buffer for each type and direction.

The buffers stay where they are, so that a step only copies numbers into them. Types other than double are converted here:
a whole number or a yes/no that is not one is refused, never rounded.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from models.errors import FmuMappingError, FmuStepError
from models.fmu.base import FloatArray, FmuInfo, FmuVariable, Wire

__all__ = [
    "Direction",
    "Group",
    "Layout",
    "Port",
    "find_variable",
    "groups_of",
    "input_variables",
    "output_variables",
    "suffix_of",
    "whole_numbers",
]

_FMI_2 = {
    "Real": ("Real", np.float64),
    "Integer": ("Integer", np.int32),
    "Enumeration": ("Integer", np.int32),
    "Boolean": ("Boolean", np.int32),
}
_FMI_3 = {
    "Float64": ("Float64", np.float64),
    "Float32": ("Float32", np.float32),
    "Int8": ("Int8", np.int8),
    "UInt8": ("UInt8", np.uint8),
    "Int16": ("Int16", np.int16),
    "UInt16": ("UInt16", np.uint16),
    "Int32": ("Int32", np.int32),
    "UInt32": ("UInt32", np.uint32),
    "Int64": ("Int64", np.int64),
    "UInt64": ("UInt64", np.uint64),
    "Enumeration": ("Int64", np.int64),
    "Boolean": ("Boolean", np.bool_),
}
_WHOLE = 1e-9
"""Relative distance from a whole number that a change of units may leave."""
_LARGEST = 2.0**53
"""Above it a float64 does not hold every whole number."""


class Direction(Enum):
    """Which way the values go."""

    IN = "Set"
    OUT = "Get"


class Layout(Enum):
    """How the values of N devices lie in the buffer of a group."""

    EACH = "each"
    """One instance for each device, one value of each variable."""
    ARRAY = "array"
    """One instance, each variable has N values."""
    SHARED = "shared"
    """One instance, the variable has one value for all devices."""


@dataclass(frozen=True, slots=True)
class Port:
    """A row of the block, the variable it belongs to and how its values lie."""

    row: int
    variable: FmuVariable
    layout: Layout


def suffix_of(info: FmuInfo, variable: FmuVariable) -> tuple[str, DTypeLike]:
    """Return the end of the names of the functions that set and get a variable, and the type of its values.

    Raises:
        FmuMappingError: the variable holds no numbers.
    """
    known = _FMI_2 if info.fmi_version.startswith("2") else _FMI_3
    if variable.type not in known:
        raise FmuMappingError(
            f"{info.file.name}: {variable.name} is of type {variable.type}, which holds no numbers; take another variable"
        )
    return known[variable.type]


def find_variable(info: FmuInfo, name: str) -> FmuVariable:
    """Return the variable of that name.

    Raises:
        FmuMappingError: there is none; the text has the nearest names.
    """
    variable = info.variable(name)
    if variable is None:
        near = difflib.get_close_matches(name, [entry.name for entry in info.variables], n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "`twin fmu inspect` lists what it has"
        raise FmuMappingError(f"{info.file.name} has no variable {name!r}; {hint}")
    return variable


def whole_numbers(values: FloatArray, dtype: DTypeLike) -> NDArray[Any] | None:
    """Return values as whole numbers of a type (0 and 1 for a Boolean), None where one does not fit."""
    rounded = np.rint(values)
    low, high = (0, 1) if np.dtype(dtype) == np.bool_ else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    fits = np.abs(values - rounded) <= _WHOLE * np.maximum(1.0, np.abs(values))
    fits &= (np.abs(rounded) <= _LARGEST) & (rounded >= low) & (rounded <= high)
    return rounded.astype(dtype) if fits.all() else None


class Group:
    """The variables of one type, direction and layout, with the buffer of their values."""

    def __init__(self, info: FmuInfo, ports: Sequence[Port], *, direction: Direction, size: int) -> None:
        suffix, dtype = suffix_of(info, ports[0].variable)
        each = ports[0].layout == Layout.EACH
        self._info = info
        self._ports = tuple(ports)
        self._layout = ports[0].layout
        self.function = f"fmi{info.fmi_version[:1]}{direction.value}{suffix}"
        self.names = tuple(port.variable.name for port in ports)
        self.dtype = np.dtype(np.bool_ if ports[0].variable.type == "Boolean" else dtype)
        self._references = np.array([port.variable.value_reference for port in ports], dtype=np.uint32)
        per_variable = size if self._layout == Layout.ARRAY else 1
        self._buffer = np.zeros((size if each else 1, len(ports), per_variable), dtype=dtype)
        rows = [port.row for port in ports]
        self._rows: Any = rows if rows != list(range(rows[0], rows[-1] + 1)) else slice(rows[0], rows[-1] + 1)

    def transfer(self, function: int) -> list[int]:
        """Return the row of the kernel's table, with the address of the function of one library."""
        count = len(self._references)
        values = count * self._buffer.shape[2]
        return [
            function,
            self._references.ctypes.data,
            count,
            values,
            self._buffer.ctypes.data,
            self._buffer.strides[0],
        ]

    def fill(self, inputs: FloatArray) -> None:
        """Copy rows of the inputs, shape (inputs, N), into the buffer.

        Raises:
            FmuStepError: a value is not finite, does not fit the type, or differs where one holds for all devices.
        """
        values = inputs[self._rows]
        if not np.isfinite(values).all():
            raise self._refused(values, ~np.isfinite(values), "is not finite; look at what feeds it")
        if self.dtype != np.float64:
            values = self._converted(values)
        if self._layout == Layout.EACH:
            self._buffer[:, :, 0] = values.T
        elif self._layout == Layout.ARRAY:
            self._buffer[0] = values
        else:
            differs = values != values[:, :1]
            if differs.any():
                why = (
                    "differs from that of device 0, but the FMU has one value for all devices; feed all of them alike or "
                    "use one instance for each device"
                )
                raise self._refused(values, differs, why)
            self._buffer[0, :, 0] = values[:, 0]

    def _converted(self, values: FloatArray) -> NDArray[Any]:
        why = f"does not fit the type {self._ports[0].variable.type}"
        if self.dtype.kind == "f":
            too_large = np.abs(values) > np.finfo(self.dtype).max
            if too_large.any():
                raise self._refused(values, too_large, why)
            return values.astype(self.dtype)
        whole = whole_numbers(values, self.dtype)
        if whole is None:
            bad = np.array([[whole_numbers(value, self.dtype) is None for value in row] for row in values])
            raise self._refused(values, bad, why)
        return whole

    def read(self, outputs: FloatArray) -> None:
        """Copy the buffer into rows of the outputs, shape (outputs, N)."""
        if self._layout == Layout.EACH:
            outputs[self._rows] = self._buffer[:, :, 0].T
        else:
            outputs[self._rows] = self._buffer[0]
        if self.dtype == np.bool_:
            outputs[self._rows] = outputs[self._rows] != 0.0

    def changed(self, inputs: FloatArray) -> NDArray[np.intp]:
        """Return the instances for which the rows of the inputs are not what the buffer holds."""
        values = inputs[self._rows]
        if self._layout == Layout.EACH:
            return np.flatnonzero((values != self._buffer[:, :, 0].T).any(axis=0))
        return np.flatnonzero([(self._buffer[0] != values).any()])

    def _refused(self, values: NDArray[Any], bad: NDArray[np.bool_], why: str) -> FmuStepError:
        number, device = (int(index) for index in np.argwhere(bad)[0])
        return FmuStepError(
            f"{self._info.file.name}: input {self.names[number]} of device {device}: {values[number, device]:g} {why}"
        )


def groups_of(info: FmuInfo, ports: Sequence[Port], *, direction: Direction, size: int) -> tuple[Group, ...]:
    """Return the ports grouped by type and layout, in the order in which these first appear."""
    sorted_ports: dict[tuple[str, Layout], list[Port]] = {}
    for port in ports:
        key = (port.variable.type, port.layout)
        sorted_ports.setdefault(key, []).append(port)
    return tuple(Group(info, members, direction=direction, size=size) for members in sorted_ports.values())


def input_variables(info: FmuInfo, wires: Sequence[Wire]) -> list[FmuVariable]:
    """Return the variable of each input wire.

    Raises:
        FmuMappingError: no such variable, one that cannot be set in a step, or two signals for one variable.
    """
    found: list[FmuVariable] = []
    for wire in wires:
        variable = find_variable(info, wire.variable)
        suffix_of(info, variable)
        if variable.causality != "input" and variable.variability != "tunable":
            raise FmuMappingError(
                f"{info.file.name}: {wire.variable} is a {variable.causality} of variability {variable.variability}, so "
                f"{wire.signal} cannot be set in each step; take an input"
            )
        if variable in found:
            raise FmuMappingError(
                f"{info.file.name}: two signals feed {wire.variable}, one of them {wire.signal}; drop one"
            )
        found.append(variable)
    return found


def output_variables(info: FmuInfo, wires: Sequence[Wire]) -> list[FmuVariable]:
    """Return the variable of each output wire, which may be of any causality.

    Raises:
        FmuMappingError: no such variable, or one that holds no numbers.
    """
    found = [find_variable(info, wire.variable) for wire in wires]
    for variable in found:
        suffix_of(info, variable)
    return found
