"""FMUs of the user: every name, unit and size of an ``fmu:`` block checked against what the FMU says of itself."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path as FilePath

import numpy as np
from numpy.typing import NDArray

from models.errors import FmuError, ModelError
from models.fmu.base import (
    FleetSpec,
    FmuInfo,
    FmuVariable,
    Interface,
    OnFailure,
    Take,
    Value,
    Wire,
)
from models.fmu.binding.start_values import sizes_of, start_values, values_per_device
from models.fmu.binding.transfers import find_variable
from models.fmu.engine import chosen_interface
from models.fmu.fleet import substeps
from models.fmu.reading.archive import unpacked
from models.fmu.reading.description import read_info
from models.fmu.reading.platforms import library_file
from models.fmu.reading.units import conversion
from twin.assembly.drafts import EntryError
from twin.scenario.fmu import FmuSpec, InputWire, OutputWire
from twin.scenario.marks import Path, Problem

__all__ = ["SIGNAL_UNITS", "Site", "UserFleet", "origin", "user_fleet"]

FloatArray = NDArray[np.float64]

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Site:
    """Where an FMU of the user is put."""

    label: str
    file: FilePath
    size: int
    """Number of devices N."""
    dt_s: int
    """Step of the run."""
    column_units: Mapping[str, str]
    """Unit of each column that its inputs name, by ``SOURCE.COLUMN``."""
    starts: Mapping[str, float]
    """Value of signals and columns before the first step, as far as it is known."""


@dataclass(frozen=True, kw_only=True, eq=False)
class UserFleet:
    """A checked fleet."""

    spec: FleetSpec
    columns: Mapping[str, str]
    """Rows that columns feed: name of the row -> ``SOURCE.COLUMN``."""
    record: tuple[tuple[str, str], ...]
    """Outputs to store: name, unit."""
    origin: str
    """As :func:`origin` says it."""


def origin(spec: FleetSpec, info: FmuInfo) -> str:
    """Return, for the manifest, which FMU runs a fleet: file, fingerprint, tool, interface, and where it runs."""
    interface = chosen_interface(info, spec).value.replace("_", " ")
    number = f"one instance for all {spec.size}" if spec.array_size is not None else "an instance each"
    place = "in this process" if spec.trusted else "in a process of its own"
    tool = info.generation_tool or "a tool that is not named"
    return f"the FMU {info.file.name} (sha256 {info.sha256[:12]}, FMI {info.fmi_version} of {tool}, {interface}, {number}, {place})"


def user_fleet(given: FmuSpec, site: Site) -> UserFleet:
    """Return the fleet that an ``fmu:`` block describes.

    Raises:
        EntryError: with every mistake; paths start below the block.
    """
    interface = Interface(given.interface)
    try:
        info = read_info(site.file)
        if interface is Interface.MODEL_EXCHANGE and info.model_exchange is not None:
            info = read_info(site.file, interface=interface)  # its own capabilities
    except FmuError as error:
        raise EntryError([(("file",), str(error))]) from error
    checking = _Checking(given, site, info)
    fleet = checking.fleet()
    if checking.problems:
        raise EntryError(checking.problems)
    return fleet


class _Checking:
    """One pass over an ``fmu:`` block that collects wires and mistakes."""

    def __init__(self, given: FmuSpec, site: Site, info: FmuInfo) -> None:
        self.problems: list[Problem] = []
        self._given, self._site, self._info = given, site, info
        self._sizes = sizes_of(info, {} if given.array is None else {given.array: site.size})
        self._sizes_known = True

    def fleet(self) -> UserFleet:
        """Return the fleet; it is complete where ``problems`` stays empty."""
        given, site = self._given, self._site
        bare = FleetSpec(
            label=site.label,
            file=site.file,
            size=site.size,
            inputs=(),
            outputs=(),
            interface=Interface(given.interface),
            step_s=given.step,
            trusted=given.trusted,
            on_failure=OnFailure(given.on_failure),
            timeout_s=given.timeout,
        )
        self._check_whole(bare)
        self._sizes_known = self._array_is_good()
        parameters = self._parameters(bare)
        inputs = tuple(self._inputs(parameters))
        outputs = tuple(self._outputs())
        recorded, record = self._recorded(outputs)
        spec = replace(
            bare,
            inputs=inputs,
            outputs=(*outputs, *recorded),
            parameters=parameters,
            array_size=given.array,
        )
        return UserFleet(
            spec=spec,
            columns={wire.column: wire.column for wire in given.inputs.values() if wire.column is not None},
            record=record,
            origin="" if self.problems else origin(spec, self._info),
        )

    def _note(self, message: str, *path: str | int) -> None:
        self.problems.append((path, message))

    def _check_whole(self, bare: FleetSpec) -> None:
        """Check what does not depend on single variables: interface, library, step, restart."""
        info = self._info
        try:
            interface = chosen_interface(info, bare)
        except FmuError as error:
            self._note(str(error), "interface")
            return
        if info.needs_execution_tool:
            tool = info.generation_tool or "its tool"
            self._note(
                f"{info.file.name} only runs with {tool} beside it; ask for an export without that", "file"
            )
            return
        by_code = info.co_simulation if interface is Interface.CO_SIMULATION else info.model_exchange
        try:
            with unpacked(info.file, info) as place:
                library_file(place, str(by_code))
        except FmuError as error:
            self._note(str(error), "file")
        try:
            substeps(self._site.dt_s, bare, info)
        except FmuError as error:
            self._note(str(error), "step")
        if self._given.on_failure == "restart" and not info.can_serialise_state:
            self._note(f"{info.file.name} cannot save its state, so it cannot restart; use end", "on_failure")

    def _array_is_good(self) -> bool:
        """Check the size parameter; without a good one the sizes of variables say nothing."""
        name, info = self._given.array, self._info
        if name is None:
            return True
        structural = [entry for entry in info.variables if entry.causality == "structuralParameter"]
        chosen = next((entry for entry in structural if entry.name == name), None)
        if info.fmi_version != "3.0":
            self._note(
                f"needs an FMU of FMI 3.0, {info.file.name} is of {info.fmi_version}; remove it: each device is an instance then",
                "array",
            )
        elif chosen is None:
            names = ", ".join(entry.name for entry in structural)
            known = f"it has {names}" if names else "it has none: remove array"
            self._note(f"{info.file.name} has no structural parameter {name!r}; {known}", "array")
        elif chosen.high is not None and self._site.size > chosen.high:
            self._note(
                f"{info.file.name} holds {chosen.high:g} devices at most, the entry has {self._site.size}; split it",
                "array",
            )
        else:
            return True
        return False

    def _parameters(self, bare: FleetSpec) -> dict[str, Value | FloatArray]:
        """Return the parameters in the form of a fleet."""
        kept: dict[str, Value | FloatArray] = {}
        for name, value in self._given.parameters.items():
            if name == self._given.array:
                self._note("is the number of devices already (array); remove it", "parameters", name)
                continue
            try:
                kept[name] = self._parameter(name, value)
                if self._given.array is None or isinstance(kept[name], str):
                    start_values(self._info, replace(bare, parameters={name: kept[name]}))
                else:
                    find_variable(self._info, name)
            except (ModelError, ValueError) as error:
                self._note(str(error), "parameters", name)
        return kept

    def _parameter(self, name: str, value: Value | list[Value]) -> Value | FloatArray:
        if not isinstance(value, list):
            return value
        if len(value) != self._site.size:
            raise ValueError(
                f"has {len(value)} values for {self._site.size} devices; give one value or one for each device"
            )
        if any(isinstance(item, str) for item in value):
            raise ValueError("a list must hold numbers; texts can only be the same for all devices")
        find_variable(self._info, name)
        return np.array(value, dtype=np.float64)

    def _inputs(self, parameters: dict[str, Value | FloatArray]) -> Iterator[Wire]:
        """Yield the wires of the inputs; fixed values become start values."""
        for name, wire in self._given.inputs.items():
            variable = self._wired(name, "inputs", name)
            if variable is None:
                continue
            if variable.causality != "input":
                remedy = "set it under parameters" if "arameter" in variable.causality else "take an input"
                self._note(f"is no input of the FMU but a {variable.causality}; {remedy}", "inputs", name)
            elif wire.value is not None:
                if name in parameters:
                    self._note("has a value under parameters too; keep one", "inputs", name)
                parameters[name] = _fixed(wire.value, variable)
            else:
                yield from self._fed(variable, wire, parameters)

    def _fed(
        self, variable: FmuVariable, wire: InputWire, parameters: dict[str, Value | FloatArray]
    ) -> Iterator[Wire]:
        """Yield the wire of an input that changes; the FMU starts with what is known of it before the first step."""
        signal = str(wire.signal if wire.column is None else wire.column)
        unit = self._site.column_units.get(signal) or SIGNAL_UNITS.get(signal)
        scale = None if unit is None else self._scale(variable, unit, wire, "inputs", variable.name)
        if scale is None:
            return
        factor = scale[0] * (wire.factor if wire.sign == "consumption" else -wire.factor)
        start = self._site.starts.get(signal)
        if start is not None and variable.is_float:
            parameters.setdefault(variable.name, start * factor + scale[1])
        yield Wire(signal=signal, variable=variable.name, factor=factor, offset=scale[1])

    def _outputs(self) -> Iterator[Wire]:
        for signal, source in self._given.outputs.items():
            unit = SIGNAL_UNITS.get(signal)
            variable = self._wired(source.variable, "outputs", signal)
            scale = (
                None
                if variable is None or unit is None
                else self._scale(variable, unit, source, "outputs", signal)
            )
            if scale is not None and unit is not None:
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

    def _recorded(self, outputs: tuple[Wire, ...]) -> tuple[list[Wire], tuple[tuple[str, str], ...]]:
        """Return the wires of further variables to store, and all that is stored with its unit."""
        stored = [(wire.signal, SIGNAL_UNITS[wire.signal]) for wire in outputs if wire.signal == "soc"]
        further: list[Wire] = []
        taken = {wire.signal for wire in outputs}
        for position, name in enumerate(self._given.record):
            variable = self._wired(name, "record", position)
            if variable is not None:
                signal = f"{name} of the FMU" if name in taken else name
                further.append(Wire(signal=signal, variable=name))
                stored.append((signal, variable.unit if variable.unit is not None else "1"))
        return further, tuple(stored)

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
        array, size = self._given.array, self._site.size
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
            return conversion(self._info, variable, unit, wire.unit, required=True)
        except FmuError as error:
            self._note(str(error), *path)
            return None


def _fixed(value: float, variable: FmuVariable) -> Value:
    """Return a fixed input as the type of its variable."""
    if variable.is_float or variable.type == "Float32":
        return value
    if variable.type == "Boolean" and value in {0.0, 1.0}:
        return bool(value)
    return int(value) if value == int(value) else value
