"""How a step of the run is cut into communication steps of an FMU."""

from dataclasses import dataclass

import numpy as np

from models.errors import FmuError
from models.fmu.base import FleetSpec, FmuInfo, Interface
from models.fmu.engine import chosen_interface

__all__ = ["Substeps", "is_same_step", "substeps"]

_SAME_STEP = 1e-9
"""Relative difference of two step sizes that counts as rounding."""


def is_same_step(one_s: float, other_s: float) -> bool:
    """Return whether two steps differ by no more than rounding."""
    return abs(one_s - other_s) <= _SAME_STEP * other_s


@dataclass(frozen=True, slots=True)
class Substeps:
    """How one step of the run is cut into communication steps of an FMU."""

    count: int
    size_s: float


def substeps(dt_s: float, spec: FleetSpec, info: FmuInfo) -> Substeps:
    """Return the communication steps of a step of ``dt_s``.

    Raises:
        FmuError: ``dt_s`` is not a whole number of communication steps, or the FMU cannot make such steps.
    """
    where = f"{spec.label}: {spec.file.name}"
    if not (np.isfinite(dt_s) and dt_s > 0):
        raise FmuError(f"{where}: a step of {dt_s:g} s is not possible; a step must be longer than 0 s")
    wanted_s = dt_s if spec.step_s is None else spec.step_s
    if not (np.isfinite(wanted_s) and wanted_s > 0):
        raise FmuError(f"{where}: `step: {wanted_s:g} s` is not possible; give a step longer than 0 s")
    count = round(dt_s / wanted_s)
    if count < 1 or not is_same_step(count * wanted_s, dt_s):
        raise FmuError(
            f"{where}: a step of the run of {dt_s:g} s is not a whole number of communication steps of {wanted_s:g} s; "
            f"set `step:` to {dt_s:g} s divided by a whole number"
        )
    size_s = dt_s / count
    inner_s = info.fixed_step_s
    co_simulation = chosen_interface(info, spec) is Interface.CO_SIMULATION
    if co_simulation and inner_s is not None and not _is_multiple(size_s, inner_s):
        raise FmuError(
            f"{where}: the FMU steps by {inner_s:g} s inside, a communication step of {size_s:g} s is not a whole number "
            f"of that; set `step:` to a multiple of {inner_s:g} s that divides the step of the run ({dt_s:g} s)"
        )
    return Substeps(count, size_s)


def _is_multiple(value: float, unit: float) -> bool:
    ratio = round(value / unit)
    return ratio >= 1 and is_same_step(ratio * unit, value)
