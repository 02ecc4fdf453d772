"""The same FMU through Co-Simulation and through Model Exchange with CVode: how far its own solver can be trusted.

Many tools export Co-Simulation with explicit Euler at the communication step, which may be far off or blow up with the
status OK. CVode controls its error, so it serves as the reference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.errors import FmuError, FmuMappingError, FmuStepError
from models.fmu.base import FleetSpec, FloatArray, FmuInfo, Interface, Value, Wire
from models.fmu.fleet import open_fleet
from models.fmu.reading.description import read_info

__all__ = ["Course", "CrossCheck", "compare_interfaces"]

_FLAT = 1e-9
"""Smallest size of an output that differences are related to."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """What is done with the FMU: inputs held over equal steps."""

    step_s: float
    n_steps: int
    inputs: Mapping[str, float | FloatArray]
    """By variable, in the unit of the FMU: one value, or one for each step, shape (n_steps,)."""
    parameters: Mapping[str, Value]


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossCheck:
    """How far Co-Simulation is from CVode. S communication steps, Y outputs, T steps."""

    outputs: tuple[str, ...]
    reference: FloatArray
    """By CVode, at the end of each step, shape (T, Y), in the units of the FMU."""
    steps_s: tuple[float, ...]
    """Communication steps that were tried."""
    differences: FloatArray
    """Largest absolute difference over time, shape (S, Y); inf where the step failed."""
    failures: tuple[str, ...]
    """For each communication step why it failed, '' where it did not."""

    @property
    def relative(self) -> FloatArray:
        """Differences as a share of the largest magnitude of the output, shape (S, Y)."""
        size = np.maximum(np.abs(self.reference).max(axis=0, initial=0.0), _FLAT)
        shares: FloatArray = self.differences / size
        return shares

    def largest_good_step_s(self, tolerance: float = 0.01) -> float | None:
        """Return the longest communication step whose outputs all agree within ``tolerance`` (relative), None if none."""
        good = [
            step
            for step, shares in zip(self.steps_s, self.relative, strict=True)
            if (shares <= tolerance).all()
        ]
        return max(good, default=None)


def compare_interfaces(
    file: Path,
    course: Course,
    *,
    steps_s: Sequence[float],
    outputs: Sequence[str] | None = None,
    tolerance: float = 1e-8,
    trusted: bool = False,
) -> CrossCheck:
    """Run an FMU through Co-Simulation at several communication steps and through Model Exchange with CVode.

    Args:
        file: an FMU that has both interfaces.
        course: what is done with it.
        steps_s: communication steps to try; ``course.step_s`` is a whole number of each.
        outputs: variables to compare; None for all outputs that are scalar numbers.
        tolerance: relative tolerance of CVode.
        trusted: run in this process instead of one of its own.

    Raises:
        FmuMappingError: a variable is not there, or nothing is left to compare.
        FmuError: the FMU lacks one of the interfaces or cannot be started, or CVode cannot solve it.
    """
    info = read_info(file)
    if info.co_simulation is None or info.model_exchange is None:
        has = "Co-Simulation" if info.model_exchange is None else "Model Exchange"
        raise FmuError(
            f"{file.name} has only {has}, a cross-check needs both interfaces; ask for an export with both"
        )
    names = tuple(_scalar_outputs(info) if outputs is None else outputs)
    if not names:
        raise FmuMappingError(f"{file.name} has no output that is a scalar number; name variables to compare")

    exact = _spec(file, course, names, Interface.MODEL_EXCHANGE, None, trusted=trusted)
    reference = _run(replace(exact, tolerance=tolerance), course)
    differences = np.full((len(steps_s), len(names)), np.inf)
    failures = [""] * len(steps_s)
    for at, step_s in enumerate(steps_s):
        try:
            spec = _spec(file, course, names, Interface.CO_SIMULATION, step_s, trusted=trusted)
            values = _run(spec, course)
        except FmuStepError as error:
            failures[at] = str(error)
        else:
            differences[at] = np.abs(values - reference).max(axis=0)
    return CrossCheck(
        outputs=names,
        reference=reference,
        steps_s=tuple(steps_s),
        differences=differences,
        failures=tuple(failures),
    )


def _scalar_outputs(info: FmuInfo) -> list[str]:
    return [
        entry.name
        for entry in info.variables
        if entry.causality == "output" and entry.is_number and entry.shape == ()
    ]


def _spec(
    file: Path,
    course: Course,
    names: Sequence[str],
    interface: Interface,
    step_s: float | None,
    *,
    trusted: bool,
) -> FleetSpec:
    first = {name: float(np.atleast_1d(values)[0]) for name, values in course.inputs.items()}
    return FleetSpec(
        label=f"cross-check of {file.name} by {interface.value}",
        file=file,
        size=1,
        inputs=tuple(Wire(signal=name, variable=name) for name in course.inputs),
        outputs=tuple(Wire(signal=name, variable=name) for name in names),
        parameters={**course.parameters, **first},
        interface=interface,
        step_s=step_s,
        trusted=trusted,
    )


def _run(spec: FleetSpec, course: Course) -> FloatArray:
    """Return the outputs at the end of each step, shape (T, Y)."""
    inputs = np.zeros((course.n_steps, len(course.inputs)))
    for column, values in enumerate(course.inputs.values()):
        inputs[:, column] = values
    found = np.zeros((course.n_steps, len(spec.outputs)))
    fleet = open_fleet(spec)
    try:
        for step in range(course.n_steps):
            now = inputs[step][:, np.newaxis]
            found[step] = fleet.step(now, time_s=step * course.step_s, dt_s=course.step_s)[:, 0]
    finally:
        fleet.close()
    return found
