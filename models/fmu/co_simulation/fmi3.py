"""FMI 3.0 Co-Simulation: one instance for each device, with event mode and early return where the FMU has them."""

import ctypes
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from models.errors import FmuMappingError
from models.fmu.base import Engine, FleetSpec, FloatArray, FmuInfo, FmuVariable, UnpackedFmu
from models.fmu.binding.instances import DISCARD, WARNING
from models.fmu.binding.start_values import Mode, sizes_of, start_values, values_per_device
from models.fmu.binding.transfers import Direction, Layout, Port, groups_of, input_variables, output_variables
from models.fmu.co_simulation.engine import CoSimulationEngine
from models.fmu.co_simulation.halts import Halt, resume
from models.fmu.co_simulation.instances import make_instances

__all__ = ["Cs3Engine", "engine_of", "finish_initialisation", "open_cs3"]

_MAX_EVENT_ROUNDS = 100


class Cs3Engine(CoSimulationEngine):
    """FMI 3.0: inputs that may change only at an event are set in event mode."""

    _all_changed = True
    """Before the first step it is not known what the FMU holds, nor after a state was set."""

    def prepare(self, inputs: FloatArray) -> None:
        """Set the discrete inputs of the instances for which they changed, in event mode.

        Raises:
            FmuStepError: an FMU refuses the event, or asks to end.
        """
        changed: set[int] = (
            set(range(len(self._instances))) if self._all_changed and self._at_events else set()
        )
        for group in self._at_events:
            changed.update(int(number) for number in group.changed(inputs))
            group.fill(inputs)
        self._all_changed = False
        for lot in self._loop.lots:
            for number in sorted(changed.intersection(range(lot.start, lot.stop))):
                halt = self._halt(number, 0)
                _call(halt, "fmi3EnterEventMode")
                stop = self._loop.set_at_event(lot, number)
                if stop is not None:
                    self._attend(stop)
                _leave_event_mode(halt)

    def restore(self, state: bytes) -> None:
        """Set a serialised state.

        Raises:
            StateError: the FMU cannot, or the state is of another fleet.
        """
        super().restore(state)
        self._all_changed = True


def open_cs3(unpacked: UnpackedFmu, spec: FleetSpec) -> Engine:
    """Return N initialised instances of an FMI 3.0 Co-Simulation FMU, at time 0.

    Raises:
        FmuArchiveError: the library of the FMU cannot be loaded.
        FmuMappingError: a wire or a parameter does not fit the variables; also a variable with several values.
        FmuError: an instance cannot be made or initialised.
    """
    info = unpacked.info
    values = start_values(info, spec)
    variables_in, variables_out = input_variables(info, spec.inputs), output_variables(info, spec.outputs)
    for variable in (*variables_in, *variables_out):
        _check_one_value(spec, info, variable)

    def initialise(instance: Any, device: int) -> None:
        if values.has(Mode.CONFIGURATION):
            instance.enterConfigurationMode()
            values.set(instance, Mode.CONFIGURATION, device=device)
            instance.exitConfigurationMode()
        values.set(instance, Mode.INSTANTIATED, device=device)
        instance.enterInitializationMode(tolerance=spec.tolerance, startTime=0.0)
        values.set(instance, Mode.INITIALISATION, device=device)
        instance.exitInitializationMode()
        finish_initialisation(instance, spec, info)

    instances = make_instances(unpacked, spec, count=spec.size, initialise=initialise)
    return engine_of(
        spec,
        info,
        instances,
        ports_in=[Port(row, entry, Layout.EACH) for row, entry in enumerate(variables_in)],
        ports_out=[Port(row, entry, Layout.EACH) for row, entry in enumerate(variables_out)],
    )


def engine_of(
    spec: FleetSpec,
    info: FmuInfo,
    instances: Sequence[Any],
    *,
    ports_in: Sequence[Port],
    ports_out: Sequence[Port],
) -> Engine:
    """Return the engine of initialised FMI 3.0 instances."""
    discrete = [
        port for port in ports_in if info.has_event_mode and port.variable.variability != "continuous"
    ]
    continuous = [port for port in ports_in if port not in discrete]

    def finish(halt: Halt) -> None:
        _finish(halt, info)

    return Cs3Engine(
        spec,
        info,
        instances,
        inputs=groups_of(info, continuous, direction=Direction.IN, size=spec.size),
        outputs=groups_of(info, ports_out, direction=Direction.OUT, size=spec.size),
        at_events=groups_of(info, discrete, direction=Direction.IN, size=spec.size),
        finish=finish,
    )


def finish_initialisation(instance: Any, spec: FleetSpec, info: FmuInfo) -> None:
    """Leave the event mode in which the initialisation of an FMU with event mode ends."""
    if info.has_event_mode:
        halt = Halt(spec.label, info.file.name, instance.instanceName, instance, 0.0, 0.0, 0)
        _leave_event_mode(halt)


def _check_one_value(spec: FleetSpec, info: FmuInfo, variable: FmuVariable) -> None:
    chosen = {name: value for name, value in spec.parameters.items() if isinstance(value, int)}
    count = values_per_device(variable, sizes_of(info, chosen))
    if count != 1:
        raise FmuMappingError(
            f"{spec.label}: {variable.name} of {info.file.name} has {count} values for one device; name the structural "
            "parameter that is the number of devices (array), or take a variable with one value"
        )


def _finish(halt: Halt, info: FmuInfo) -> None:
    """Handle an event, go on behind an early return, and behind a discarded step in smaller ones."""
    reached_s = halt.time_s
    if halt.status <= WARNING:
        reached_s = _handle(halt, halt, info)
        if reached_s >= halt.end_s:
            return
    elif halt.status != DISCARD:
        raise halt.refused("fmi3DoStep")
    elif not info.can_handle_variable_step:
        raise halt.error(
            "fmi3DoStep answered 'discard' and the FMU takes no other step",
            "take the step_s that its maker meant",
        )
    else:
        reached_s = _reached(halt)

    def attempt(now: float, length: float) -> float:
        piece = _do_step(halt, now, length)
        if piece.status > WARNING:
            if piece.status != DISCARD:
                raise halt.refused("fmi3DoStep", piece.status)
            return _reached(piece)
        return _handle(piece, halt, info)

    if not resume(attempt, halt=halt, reached_s=reached_s):
        raise halt.error("fmi3DoStep does not reach the end of the step", "check parameters and inputs")


def _reached(piece: Halt) -> float:
    """Return up to when an unfinished step was computed; its begin where the FMU does not tell."""
    told = math.isfinite(piece.last_time_s) and piece.time_s < piece.last_time_s <= piece.end_s
    return piece.last_time_s if told else piece.time_s


def _handle(piece: Halt, halt: Halt, info: FmuInfo) -> float:
    """Do what a successful piece of a step asks for; return the time reached."""
    if piece.terminate:
        raise halt.asked_to_end()
    if piece.event and info.has_event_mode:
        _call(halt, "fmi3EnterEventMode")
        _leave_event_mode(halt)
    return _reached(piece) if piece.early else piece.end_s


def _do_step(halt: Halt, now: float, length: float) -> Halt:
    flags = [ctypes.c_bool(False) for _ in range(3)]
    last = ctypes.c_double(math.nan)
    pointers = [ctypes.byref(flag) for flag in flags]
    component = halt.instance.component
    status = halt.instance.status_of(
        "fmi3DoStep", component, now, length, halt.is_final, *pointers, ctypes.byref(last)
    )
    event, terminate, early = (flag.value for flag in flags)
    return replace(
        halt,
        time_s=now,
        dt_s=length,
        status=status,
        event=event,
        terminate=terminate,
        early=early,
        last_time_s=last.value,
    )


def _call(halt: Halt, function: str) -> None:
    status = halt.instance.status_of(function, halt.instance.component)
    if status > WARNING:
        raise halt.refused(function, status)


def _leave_event_mode(halt: Halt) -> None:
    """Update the discrete states until they stand still and go back to stepping."""
    for _ in range(_MAX_EVENT_ROUNDS):
        more, terminate = _update_discrete_states(halt)
        if terminate:
            raise halt.asked_to_end()
        if not more:
            _call(halt, "fmi3EnterStepMode")
            return
    raise halt.error(
        f"its discrete states do not stand still after {_MAX_EVENT_ROUNDS} rounds of an event",
        "check parameters and inputs",
    )


def _update_discrete_states(halt: Halt) -> tuple[bool, bool]:
    flags = [ctypes.c_bool(False) for _ in range(5)]
    next_time = ctypes.c_double(0.0)
    pointers = [ctypes.byref(flag) for flag in flags]
    status = halt.instance.status_of(
        "fmi3UpdateDiscreteStates", halt.instance.component, *pointers, ctypes.byref(next_time)
    )
    if status > WARNING:
        raise halt.refused("fmi3UpdateDiscreteStates", status)
    return flags[0].value, flags[1].value
