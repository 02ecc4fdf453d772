"""A fleet of two pumps and a course of inputs, for tests of fleets in a process of their own."""

from pathlib import Path
from typing import Any

import numpy as np

from models.devices.base import DeviceBlock
from models.fmu.base import FleetSpec, FloatArray, Take, Wire

__all__ = ["DT_S", "inputs_of", "run", "spec_of"]

DT_S = 60.0


def spec_of(file: Path, **changes: Any) -> FleetSpec:
    base: dict[str, Any] = {
        "label": "devices[0] pump",
        "file": file,
        "size": 2,
        "inputs": (Wire(signal="vm_pu", variable="u", factor=230.0),),
        "outputs": (Wire(signal="p_kw", variable="y", factor=1000.0, take=Take.MEAN),),
        "timeout_s": 20.0,
    }
    return FleetSpec(**{**base, **changes})


def inputs_of(step: int) -> FloatArray:
    return np.array([[1.0 + 0.01 * step, 0.9 - 0.02 * step]])


def run(fleet: DeviceBlock, steps: int, first: int = 0) -> FloatArray:
    return np.array(
        [fleet.step(inputs_of(k), time_s=k * DT_S, dt_s=DT_S) for k in range(first, first + steps)]
    )
