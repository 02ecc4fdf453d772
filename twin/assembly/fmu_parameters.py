"""Parameters and start values of an ``fmu:`` block, in the form of a fleet."""

from dataclasses import replace

import numpy as np

from models.errors import ModelError
from models.fmu.base import FleetSpec, FloatArray, FmuInfo, Value
from models.fmu.binding.start_values import start_values
from models.fmu.binding.transfers import find_variable
from twin.scenario.fmu import FmuSpec
from twin.scenario.marks import Problem

__all__ = ["parameter_values"]


def parameter_values(
    given: FmuSpec, info: FmuInfo, *, bare: FleetSpec
) -> tuple[dict[str, Value | FloatArray], list[Problem]]:
    """Return the parameters by variable, one value or shape (N,) each, and what is wrong with others.

    ``bare`` is the fleet without parameters and wires; paths start below the block.
    """
    kept: dict[str, Value | FloatArray] = {}
    problems: list[Problem] = []
    for name, value in given.parameters.items():
        if name == given.array:
            problems.append((("parameters", name), "is the number of devices already (array); remove it"))
            continue
        try:
            kept[name] = _parameter(name, value, info, size=bare.size)
            if given.array is None or isinstance(kept[name], str):
                start_values(info, replace(bare, parameters={name: kept[name]}))
        except (ModelError, ValueError) as error:
            problems.append((("parameters", name), str(error)))
    return kept, problems


def _parameter(name: str, value: Value | list[Value], info: FmuInfo, *, size: int) -> Value | FloatArray:
    find_variable(info, name)
    if not isinstance(value, list):
        return value
    if len(value) != size:
        raise ValueError(f"has {len(value)} values for {size} devices; give one value or one for each device")
    if any(isinstance(item, str) for item in value):
        raise ValueError("a list must hold numbers; texts can only be the same for all devices")
    return np.array(value, dtype=np.float64)
