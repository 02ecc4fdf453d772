"""The inside of virtual devices: one device each, from what an entry says of all that it stands for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from hil_adapters.errors import FaultScriptError
from hil_adapters.faults.rules import load_script, script_from
from hil_adapters.virtual.protection import ProtectionSettings
from models.devices.numpy_block import KINDS
from models.fmu.base import FleetSpec, Value, Wire
from twin.assembly.drafts import EntryError
from twin.hil import EmulatedDevice
from twin.scenario.marks import Problem
from twin.scenario.modbus import ModbusSpec
from twin.signals import AS_MUCH_AS_POSSIBLE_KW
from twin.units import volts

__all__ = ["FMU", "Inside", "emulated_devices"]

Array = NDArray[np.float64]

FMU = "fmu"
"""Kind of a device that an FMU of the user computes."""
_AT_REST: Mapping[str, float] = {
    "v_v": volts(1.0),
    "home_p_kw": 0.0,
    "price_import_eur_kwh": 0.0,
    "price_export_eur_kwh": 0.0,
    "time_s": 0.0,
    "hour": 0.0,
    "p_set_kw": 0.0,
    "p_available_kw": 0.0,
    "p_limit_kw": AS_MUCH_AS_POSSIBLE_KW,
}
"""Live signals before the first step."""
_NO_LIMIT = 1e9
"""Stands for no limit in tables of models."""
_EXTENSIVE_UNITS = frozenset(("kW", "kvar", "kVA", "kWh", "kW/K", "kWh/K", "l", "l/min"))
"""Units of quantities that N devices have N times as much of."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inside:
    """What computes the devices of an entry offline: it runs beside them, and inside virtual ones."""

    kind: str
    """Name of our model, or :data:`FMU`."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    record: tuple[tuple[str, str], ...]
    """Outputs that are stored where the map reads them: output, unit."""
    parameters: Mapping[str, Array]
    """Of our model, of an FMU its ratings; shape (N,) each."""
    starts: Mapping[str, Array]
    """Values before the first step of inputs that have a series, shape (N,) each."""
    fleet: FleetSpec | None = None


def emulated_devices(
    inside: Inside, spec: ModbusSpec, *, size: int, base_dir: Path
) -> tuple[EmulatedDevice, ...]:
    """Return the inside of each of ``size`` devices.

    Raises:
        EntryError: with every mistake; paths start at the entry.
    """
    problems = [*_protection_problems(spec), *_fault_problems(spec, base_dir)]
    if inside.fleet is not None and inside.fleet.array_size is not None:
        text = "one instance for all devices cannot be inside each of them; remove array"
        problems.append(((FMU, "array"), text))
    if problems:
        raise EntryError(problems)
    protection = (
        None if spec.protection is False else {} if spec.protection is True else dict(spec.protection)
    )
    return tuple(
        EmulatedDevice(
            kind=inside.kind,
            parameters=_divided(inside.kind, _column(inside.parameters, device), spec.stands_for),
            inputs=_divided(inside.kind, _start_inputs(inside, device), spec.stands_for),
            fmu=None if inside.fleet is None else _fmu_part(inside.fleet, device),
            protection=protection,
            faults_file=(base_dir / spec.faults).resolve() if isinstance(spec.faults, str) else None,
            faults=spec.faults if isinstance(spec.faults, tuple) else (),
        )
        for device in range(size)
    )


def _start_inputs(inside: Inside, device: int) -> dict[str, float]:
    """Return what a device is given before the first step; an FMU needs a value for everything that it takes."""
    stated = _column(inside.starts, device)
    live = {name: _AT_REST[name] for name in inside.inputs if name in _AT_REST} if inside.kind == FMU else {}
    return {"vm_pu": 1.0, **live, **stated}


def _column(rows: Mapping[str, Array], device: int) -> dict[str, float]:
    return {name: float(values[device]) for name, values in rows.items()}


def _divided(kind: str, values: Mapping[str, float], stands_for: float) -> dict[str, float]:
    """Return the values of one of ``stands_for`` devices."""
    if kind == FMU:
        return dict(values)
    units = {entry.name: entry.unit for entry in KINDS[kind].KIND.variables}
    return {
        name: value / stands_for if units.get(name) in _EXTENSIVE_UNITS and value < _NO_LIMIT else value
        for name, value in values.items()
    }


def _protection_problems(spec: ModbusSpec) -> Iterator[Problem]:
    if isinstance(spec.protection, bool):
        return
    try:
        ProtectionSettings.model_validate(spec.protection)
    except ValidationError as error:
        for entry in error.errors(include_url=False):
            yield ("modbus", "protection", *(str(part) for part in entry["loc"])), entry["msg"]


def _fault_problems(spec: ModbusSpec, base_dir: Path) -> Iterator[Problem]:
    if spec.faults is None:
        return
    try:
        if isinstance(spec.faults, str):
            load_script(base_dir / spec.faults)
        else:
            script_from(list(spec.faults), where="modbus.faults")
    except FaultScriptError as error:
        yield ("modbus", "faults"), str(error)


def _fmu_part(fleet: FleetSpec, device: int) -> dict[str, Any]:
    """Return the fields of ``FmuPart`` of ``twin.virtual.config`` for one device of a fleet."""
    return {
        "file": str(fleet.file.resolve()),
        "inputs": [_wire(wire) for wire in fleet.inputs],
        "outputs": [_wire(wire) for wire in fleet.outputs],
        "parameters": {name: _of_device(value, device) for name, value in fleet.parameters.items()},
        "interface": fleet.interface.value,
        "step_s": fleet.step_s,
        "trusted": fleet.trusted,
    }


def _wire(wire: Wire) -> dict[str, Any]:
    return {
        "signal": wire.signal,
        "variable": wire.variable,
        "factor": wire.factor,
        "offset": wire.offset,
        "take": wire.take.value,
        "is_amount": wire.is_amount,
    }


def _of_device(value: Value | Array, device: int) -> Value:
    if not isinstance(value, np.ndarray):
        return value
    picked: Value = value[device].item()
    return picked
