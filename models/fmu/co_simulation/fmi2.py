"""FMI 2.0 Co-Simulation: one instance for each device."""

import ctypes
import math
from typing import Any

from models.errors import FmuError
from models.fmu.base import Engine, FleetSpec, UnpackedFmu
from models.fmu.binding.instances import DISCARD, WARNING
from models.fmu.binding.start_values import Mode, start_values
from models.fmu.binding.transfers import Direction, Layout, Port, groups_of, input_variables, output_variables
from models.fmu.co_simulation.engine import CoSimulationEngine
from models.fmu.co_simulation.halts import Halt, resume
from models.fmu.co_simulation.instances import make_instances

__all__ = ["open_cs2"]

_LAST_SUCCESSFUL_TIME = 2
_TERMINATED = 3
"""Kinds of status that an FMU can be asked for."""


def open_cs2(unpacked: UnpackedFmu, spec: FleetSpec) -> Engine:
    """Return N initialised instances of an FMI 2.0 Co-Simulation FMU, at time 0.

    Raises:
        FmuArchiveError: the library of the FMU cannot be loaded.
        FmuMappingError: a wire or a parameter does not fit the variables.
        FmuError: an instance cannot be made or initialised.
    """
    info = unpacked.info
    values = start_values(info, spec)
    ports_in = [Port(row, entry, Layout.EACH) for row, entry in enumerate(input_variables(info, spec.inputs))]
    ports_out = [
        Port(row, entry, Layout.EACH) for row, entry in enumerate(output_variables(info, spec.outputs))
    ]

    def initialise(instance: Any, device: int) -> None:
        instance.setupExperiment(tolerance=spec.tolerance, startTime=0.0)
        values.set(instance, Mode.INSTANTIATED, device=device)
        instance.enterInitializationMode()
        values.set(instance, Mode.INITIALISATION, device=device)
        instance.exitInitializationMode()

    def finish(halt: Halt) -> None:
        _finish(halt, variable_step=info.can_handle_variable_step)

    instances = make_instances(unpacked, spec, count=spec.size, initialise=initialise)
    return CoSimulationEngine(
        spec,
        info,
        instances,
        inputs=groups_of(info, ports_in, direction=Direction.IN, size=spec.size),
        outputs=groups_of(info, ports_out, direction=Direction.OUT, size=spec.size),
        finish=finish,
    )


def _finish(halt: Halt, *, variable_step: bool) -> None:
    """Go on behind a discarded step: from where the FMU got to, in smaller steps if it takes them.

    The standard lets one repeat a step only from a saved state. An FMU that has not advanced at all is asked again with
    half the step, as its state is still that of the beginning.
    """
    if halt.status != DISCARD:
        raise halt.refused("fmi2DoStep")
    if _was_terminated(halt.instance):
        raise halt.asked_to_end()
    if not variable_step:
        raise halt.error(
            "fmi2DoStep answered 'discard' and the FMU takes no other step",
            "take the step_s that its maker meant",
        )

    def attempt(now: float, length: float) -> float:
        status = halt.instance.status_of("fmi2DoStep", halt.instance.component, now, length, halt.is_final)
        if status <= WARNING:
            return now + length
        if status != DISCARD:
            raise halt.refused("fmi2DoStep", status)
        if _was_terminated(halt.instance):
            raise halt.asked_to_end()
        return _last_time(halt.instance, begin=now, end=now + length)

    reached_s = _last_time(halt.instance, begin=halt.time_s, end=halt.end_s)
    if not resume(attempt, halt=halt, reached_s=reached_s):
        raise halt.error(
            "fmi2DoStep answered 'discard', for smaller steps too", "check parameters and inputs"
        )


def _last_time(instance: Any, *, begin: float, end: float) -> float:
    """Return up to when a discarded step was computed; its begin where the FMU does not tell."""
    value = ctypes.c_double(begin)
    try:
        status = instance.status_of(
            "fmi2GetRealStatus", instance.component, _LAST_SUCCESSFUL_TIME, ctypes.byref(value)
        )
    except FmuError:
        if instance.binary.fatal:
            raise
        return begin  # the function is missing
    told = status <= WARNING and math.isfinite(value.value)
    return min(max(value.value, begin), end) if told else begin


def _was_terminated(instance: Any) -> bool:
    """Return whether the FMU wants the simulation to end; False where it does not tell."""
    value = ctypes.c_int(0)
    try:
        status = instance.status_of(
            "fmi2GetBooleanStatus", instance.component, _TERMINATED, ctypes.byref(value)
        )
    except FmuError:
        if instance.binary.fatal:
            raise
        return False  # the function is missing
    return status <= WARNING and value.value != 0
