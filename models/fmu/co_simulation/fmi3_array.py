"""FMI 3.0 Co-Simulation: all devices in ONE instance, each variable an array of N values."""

from collections.abc import Mapping
from typing import Any

from models.errors import FmuMappingError
from models.fmu.base import Engine, FleetSpec, FmuInfo, FmuVariable, UnpackedFmu
from models.fmu.binding.start_values import (
    Mode,
    chosen_sizes,
    is_per_device,
    start_values,
    values_per_device,
)
from models.fmu.binding.transfers import Layout, Port, input_variables, output_variables
from models.fmu.co_simulation.fmi3 import engine_of, finish_initialisation
from models.fmu.co_simulation.instances import make_instances

__all__ = ["open_cs3_array"]


def open_cs3_array(unpacked: UnpackedFmu, spec: FleetSpec) -> Engine:
    """Return the one initialised instance of an FMI 3.0 Co-Simulation FMU that holds N devices, at time 0.

    The structural parameter ``spec.array_size`` is set to N in configuration mode.

    Raises:
        FmuArchiveError: the library of the FMU cannot be loaded.
        FmuMappingError: no such structural parameter, or a wire or a parameter does not fit the variables.
        FmuError: the instance cannot be made or initialised.
    """
    info = unpacked.info
    _check_size_parameter(info, spec)
    values = start_values(info, spec)
    sizes = chosen_sizes(info, spec)
    variables_in, variables_out = input_variables(info, spec.inputs), output_variables(info, spec.outputs)

    def port(row: int, variable: FmuVariable) -> Port:
        return Port(row, variable, _layout(info, spec, variable, sizes))

    ports_in = [port(row, variable) for row, variable in enumerate(variables_in)]
    ports_out = [port(row, variable) for row, variable in enumerate(variables_out)]

    def initialise(instance: Any, _device: int) -> None:
        instance.enterConfigurationMode()
        values.set_all(instance, Mode.CONFIGURATION)
        instance.exitConfigurationMode()
        values.set_all(instance, Mode.INSTANTIATED)
        instance.enterInitializationMode(tolerance=spec.tolerance, startTime=0.0)
        values.set_all(instance, Mode.INITIALISATION)
        instance.exitInitializationMode()
        finish_initialisation(instance, spec, info)

    instances = make_instances(unpacked, spec, count=1, initialise=initialise)
    return engine_of(spec, info, instances, ports_in=ports_in, ports_out=ports_out)


def _check_size_parameter(info: FmuInfo, spec: FleetSpec) -> None:
    """Refuse a number of devices that the FMU has no structural parameter for, or that it does not hold."""
    structural = [entry for entry in info.variables if entry.causality == "structuralParameter"]
    if spec.array_size is None or spec.array_size not in {entry.name for entry in structural}:
        names = ", ".join(entry.name for entry in structural)
        has = f"it has {names}" if names else "it has none: use one instance for each device"
        raise FmuMappingError(
            f"{spec.label}: {info.file.name} has no structural parameter {spec.array_size!r} for the number of devices; {has}"
        )
    high = next(entry.high for entry in structural if entry.name == spec.array_size)
    if high is not None and spec.size > high:
        raise FmuMappingError(
            f"{spec.label}: {info.file.name} holds {high:g} devices at most, not {spec.size}; split them"
        )


def _layout(info: FmuInfo, spec: FleetSpec, variable: FmuVariable, sizes: Mapping[str, int]) -> Layout:
    """Return how the values lie; a dimension that has the right length by chance is none of devices."""
    if not variable.shape:
        return Layout.SHARED
    if is_per_device(variable, spec, sizes):
        return Layout.ARRAY
    shape = " x ".join(map(str, variable.shape))
    raise FmuMappingError(
        f"{spec.label}: {variable.name} of {info.file.name} has {values_per_device(variable, sizes)} values ({shape}) for "
        f"{spec.size} devices; take one whose size is {spec.array_size}"
    )
