"""FMI 3.0 Co-Simulation: one instance for each device, with event mode and early return where the FMU has them."""

import ctypes
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from models.fmu.base import Engine, FleetSpec, FloatArray, FmuInfo, UnpackedFmu
from models.fmu.binding.instances import DISCARD, OK, WARNING
from models.fmu.binding.kernel import Phase
from models.fmu.binding.start_values import Mode, check_one_value, start_values
from models.fmu.binding.transfers import Direction, Layout, Port, groups_of, input_variables, output_variables
from models.fmu.co_simulation.engine import CoSimulationEngine
from models.fmu.co_simulation.fmi3_events import (
    call,
    cut_at_event,
    handle_event,
    has_event_until,
    knows_events,
    leave_event_mode,
    split_events,
    with_events,
)
from models.fmu.co_simulation.halts import Halt, resume
from models.fmu.co_simulation.instances import make_instances
from models.fmu.co_simulation.loops import Lot, Stop

__all__ = ["Cs3Engine", "engine_of", "finish_initialisation", "open_cs3"]


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
                call(halt, "fmi3EnterEventMode")
                stop = self._loop.set_at_event(lot, number)
                if stop is not None:
                    self._attend(stop)
                leave_event_mode(halt, self._info, at_s=halt.time_s)

    def _step(self, lot: Lot) -> None:
        """Make the step of the instances of a lot; those with an event in it each on their own, up to it and on."""
        end_s = self._loop.span[0] + self._loop.span[1]
        start = lot.start
        if knows_events(self._info):
            for number in range(lot.start, lot.stop):
                if has_event_until(self._instances[number], end_s):
                    self._step_some(lot, start, number)
                    self._step_through_events(lot, number)
                    start = number + 1
        self._step_some(lot, start, lot.stop)

    def _step_through_events(self, lot: Lot, number: int) -> None:
        halted = self._loop.set_inputs(lot, number)
        if halted is not None:
            self._attend(halted)
        self._loop.report_unbegun()
        self._attend(Stop(number, Phase.STEPPING, OK))
        self._read(lot, number, number + 1)

    def save(self) -> bytes:
        """Return the serialised state of all instances.

        Raises:
            StateError: the FMU cannot give it.
        """
        state = super().save()
        return with_events(state, self._instances) if knows_events(self._info) else state

    def restore(self, state: bytes) -> None:
        """Set a serialised state.

        Raises:
            StateError: the FMU cannot, or the state is of another fleet.
        """
        times = [math.inf] * len(self._instances)
        if knows_events(self._info):
            times, state = split_events(state, instances=len(times), label=self._spec.label)
        super().restore(state)
        for instance, next_event_s in zip(self._instances, times, strict=True):
            instance.next_event_s = next_event_s
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
    check_one_value(info, spec, (*variables_in, *variables_out))

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
        leave_event_mode(halt, info, at_s=0.0)


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
        piece = _do_step(halt, now, cut_at_event(halt.instance, now_s=now, length_s=length))
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
    reached_s = _reached(piece) if piece.early else piece.end_s
    if (piece.event or halt.instance.next_event_s <= reached_s) and info.has_event_mode:
        handle_event(halt, info, at_s=reached_s)
    return reached_s


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
