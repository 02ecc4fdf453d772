"""Wires of an ``fmu:`` block: every name, unit and size checked against what the FMU says of itself."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath

import numpy as np

from models.errors import FmuError
from models.fmu.base import FmuInfo, FmuVariable, Take, Value, Wire
from models.fmu.binding.start_values import sizes_of, values_per_device
from models.fmu.binding.transfers import find_variable
from models.fmu.reading.units import conversion, is_convertible
from twin.scenario.fmu import FmuSpec, InputWire, OutputWire
from twin.scenario.marks import Path, Problem

__all__ = ["SIGNAL_UNITS", "Site", "Wiring"]

SIGNAL_UNITS: Mapping[str, str] = {
    "vm_pu": "pu",
    "v_v": "V",
    "home_p_kw": "kW",
    "price_import_eur_kwh": "EUR/kWh",
    "price_export_eur_kwh": "EUR/kWh",
    "time_s": "s",
    "hour": "h",
    "temp_air_degc": "degC",
    "temp_room_degc": "degC",
    "p_set_kw": "kW",
    "p_available_kw": "kW",
    "p_limit_kw": "kW",
    "draw_l_min": "l/min",
    "plugged": "1",
    "used_kwh": "kWh",
    "departure_h": "h",
    "soc_need": "1",
    "p_kw": "kW",
    "q_kvar": "kvar",
    "soc": "1",
}
"""Unit of every signal that an FMU may take or give."""
_MEANS = frozenset(("kW", "kvar"))
_AMOUNTS = frozenset(("kWh",))
"""Units of signals that say how much there is in a step, not how fast."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Site:
    """Where an FMU of the user is put."""

    label: str
    file: FilePath
    size: int
    """Number of devices N."""
    dt_s: float
    """Step of the run."""
    column_units: Mapping[str, str]
    """Unit of each column that its inputs name, by ``SOURCE.COLUMN``."""
    starts: Mapping[str, float]
    """Value of signals and columns before the first step, as far as it is known."""


class Wiring:
    """One pass over the wires of a block; complete where ``problems`` (paths start below the block) stays empty."""

    def __init__(self, given: FmuSpec, site: Site, info: FmuInfo, *, check_sizes_by: str | None) -> None:
        """Wire an FMU; ``check_sizes_by`` names the structural parameter that holds N, if there is a good one."""
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        """Where the scenario contradicts what the FMU says, and counts."""
        self.fixed: dict[str, Value] = {}
        """Inputs that stay as they are, by variable."""
        self.starts: dict[str, Value] = {}
        """What is known of the others before the first step, in the unit of the FMU."""
        self._given, self._site, self._info = given, site, info
        self._array = check_sizes_by
        self._sizes_known = given.array == check_sizes_by
        self._sizes = sizes_of(info, {} if check_sizes_by is None else {check_sizes_by: site.size})
        self.inputs = tuple(self._inputs())
        self.outputs = tuple(self._outputs())
        self.recorded, self.record = self._recorded()

    def _note(self, message: str, *path: str | int) -> None:
        self.problems.append((path, message))

    def _inputs(self) -> Iterator[Wire]:
        for name, wire in self._given.inputs.items():
            variable = self._wired(name, "inputs", name)
            if variable is None:
                continue
            if variable.causality != "input":
                remedy = "set it under parameters" if "arameter" in variable.causality else "take an input"
                self._note(f"is no input of the FMU but a {variable.causality}; {remedy}", "inputs", name)
            elif wire.value is None:
                yield from self._fed(variable, wire)
            elif name in self._given.parameters:
                self._note("has a value under parameters too; keep one", "inputs", name)
            else:
                self.fixed[name] = _fixed(wire.value, variable)

    def _fed(self, variable: FmuVariable, wire: InputWire) -> Iterator[Wire]:
        """Yield the wire of an input that changes; the FMU starts with what is known of it before the first step."""
        signal = str(wire.signal if wire.column is None else wire.column)
        unit = SIGNAL_UNITS.get(signal) if wire.column is None else self._site.column_units.get(signal)
        if unit is None:
            return  # said where the signal or the column is checked
        scale = self._scale(variable, unit, wire, "inputs", variable.name)
        if scale is None:
            return
        factor = scale[0] * (wire.factor if wire.sign == "consumption" else -wire.factor)
        is_amount = unit in _AMOUNTS
        start = None if is_amount else self._site.starts.get(signal)
        if start is not None and variable.is_float:
            self.starts[variable.name] = start * factor + scale[1]
        yield Wire(signal=signal, variable=variable.name, factor=factor, offset=scale[1], is_amount=is_amount)

    def _outputs(self) -> Iterator[Wire]:
        for signal, source in self._given.outputs.items():
            unit = SIGNAL_UNITS.get(signal)
            variable = self._wired(source.variable, "outputs", signal)
            if variable is None or unit is None:
                continue
            if variable.causality == "input":
                text = f"{source.variable} is an input of the FMU, which only gives back what it is fed with; take an output"
                self._note(text, "outputs", signal)
                continue
            scale = self._scale(variable, unit, source, "outputs", signal)
            if scale is not None:
                factor = source.factor if source.sign == "consumption" else -source.factor
                take = source.take or ("mean" if unit in _MEANS else "last")
                yield Wire(
                    signal=signal,
                    variable=source.variable,
                    factor=scale[0] / factor,
                    offset=scale[1],
                    take=Take(take),
                    low=-math.inf if source.min is None else source.min,
                    high=math.inf if source.max is None else source.max,
                )

    def _recorded(self) -> tuple[tuple[Wire, ...], tuple[tuple[str, str], ...]]:
        """Return the wires of further variables to store, and all that is stored with its unit."""
        stored = [(wire.signal, SIGNAL_UNITS[wire.signal]) for wire in self.outputs if wire.signal == "soc"]
        further: list[Wire] = []
        taken = {wire.signal for wire in self.outputs}
        for position, name in enumerate(self._given.record):
            variable = self._wired(name, "record", position)
            if variable is not None:
                signal = f"{name} of the FMU" if name in taken else name
                further.append(Wire(signal=signal, variable=name))
                stored.append((signal, variable.unit if variable.unit is not None else "1"))
        return tuple(further), tuple(stored)

    def _wired(self, name: str, *path: str | int) -> FmuVariable | None:
        """Return a variable that can be wired: it is there, holds numbers and has the right size."""
        try:
            variable = find_variable(self._info, name)
        except FmuError as error:
            self._note(str(error), *path)
            return None
        if not variable.is_number:
            self._note(
                f"{name} is of type {variable.type}, which holds no numbers; take another variable", *path
            )
            return None
        return variable if not self._sizes_known or self._fits(variable, path) else None

    def _fits(self, variable: FmuVariable, path: Path) -> bool:
        array, size = self._array, self._site.size
        shape = ", ".join(str(side) for side in variable.shape)
        count = values_per_device(variable, self._sizes)
        if array is None and count != 1:
            text = f"{variable.name} is an array of shape ({shape}) with {count} values; take a scalar, or write array: with the size"
        elif array is not None and not variable.shape and path[0] != "inputs":
            text = f"{variable.name} is a scalar, but one instance holds {size} devices; take an array of size {array}"
        elif array is not None and variable.shape and count != size:
            text = f"{variable.name} has the shape ({shape}), {count} values for {size} devices; {array!r} is the wrong size parameter"
        else:
            return True
        self._note(text, *path)
        return False

    def _scale(
        self, variable: FmuVariable, unit: str, wire: InputWire | OutputWire, *path: str
    ) -> tuple[float, float] | None:
        try:
            scale = conversion(self._info, variable, unit, wire.unit, required=True)
        except FmuError as error:
            self._note(str(error), *path)
            return None
        if wire.unit is not None and self._says_otherwise(variable, unit, scale):
            self.notes.append(
                f"{self._site.label}: {variable.name}: the FMU says {variable.unit}, the scenario says {wire.unit}, which counts."
            )
        return scale

    def _says_otherwise(self, variable: FmuVariable, unit: str, scale: tuple[float, float]) -> bool:
        """Return whether the FMU states a unit for a variable by which ``scale`` would be another one."""
        fits = is_convertible(self._info, variable, unit)
        if not fits:
            return fits is not None  # None: it states none, or none that is clear
        return not np.allclose(scale, conversion(self._info, variable, unit, None), rtol=1e-6)


def _fixed(value: float, variable: FmuVariable) -> Value:
    """Return a fixed input as the type of its variable."""
    if variable.is_float or variable.type == "Float32":
        return value
    if variable.type == "Boolean" and value in {0.0, 1.0}:
        return bool(value)
    return int(value) if value == int(value) else value
