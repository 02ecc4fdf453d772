"""N devices in Co-Simulation: stepped with the compiled loop, and what is done where it stops."""

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from models.errors import FmuError
from models.fmu.base import FleetSpec, FloatArray, FmuInfo
from models.fmu.binding.instances import FATAL, WARNING
from models.fmu.binding.kernel import Phase
from models.fmu.binding.loading import kept_directory
from models.fmu.binding.snapshots import restore_instances, save_instances
from models.fmu.binding.transfers import Group
from models.fmu.co_simulation.halts import Halt, StepFinisher
from models.fmu.co_simulation.instances import free_instances
from models.fmu.co_simulation.loops import Loop, Lot, Stop
from models.fmu.fmpy_access import fmpy_module

__all__ = ["CoSimulationEngine"]


class CoSimulationEngine:
    """N devices in Co-Simulation, one instance each or all in one; an ``Engine``."""

    def __init__(
        self,
        spec: FleetSpec,
        info: FmuInfo,
        instances: Sequence[Any],
        *,
        inputs: Sequence[Group],
        outputs: Sequence[Group],
        finish: StepFinisher,
        at_events: Sequence[Group] = (),
    ) -> None:
        """Take over initialised instances; they are freed by :meth:`close`, and here if a function is missing.

        Args:
            spec: the fleet.
            info: the FMU.
            instances: one for each device, or the one that holds all of them.
            inputs: set before each step.
            outputs: got after each step.
            finish: what to do about a step that did not simply succeed.
            at_events: inputs that :meth:`prepare` sets.
        """
        self._spec = spec
        self._info = info
        self._instances = list(instances)
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        self._at_events = tuple(at_events)
        self._finish = finish
        self._failed: set[int] = set()
        self._closed = False
        self._is_final = True
        """No state was saved, so that none of an earlier time will be set."""
        try:
            self._loop = Loop(
                self._instances,
                version=int(info.fmi_version[:1]),
                inputs=self._inputs,
                outputs=self._outputs,
                at_events=self._at_events,
            )
        except BaseException:
            free_instances(self._instances)
            raise

    @property
    def size(self) -> int:
        """Number of devices N."""
        return self._spec.size

    @property
    def warnings(self) -> int:
        """Calls that were answered with a warning, over all instances and steps."""
        return self._loop.warnings + int(sum(instance.log.warnings for instance in self._instances))

    def outputs(self) -> FloatArray:
        """Return the outputs as they are, shape (outputs, N)."""
        self._check_open()
        with kept_directory():
            for lot in self._loop.lots:
                self._read(lot, lot.start, lot.stop)
        return self._gather()

    def advance(self, inputs: FloatArray, *, time_s: float, dt_s: float) -> FloatArray:
        """Set the inputs, shape (inputs, N), make one step, and return the outputs, shape (outputs, N).

        Raises:
            FmuStepError: see ``Engine``; also an input that is not finite or does not fit its variable.
        """
        self._check_open()
        expected = (len(self._spec.inputs), self.size)
        if inputs.shape != expected:
            raise ValueError(
                f"{self._spec.label}: inputs have the shape {inputs.shape}, wanted is {expected}"
            )
        self._loop.span[:2] = time_s, dt_s
        with kept_directory():
            self.prepare(inputs)
            for group in self._inputs:
                group.fill(inputs)
            for lot in self._loop.lots:
                self._step(lot)
        return self._gather()

    def prepare(self, inputs: FloatArray) -> None:
        """Do what a version of FMI needs before the inputs of a step are set."""

    def save(self) -> bytes:
        """Return the serialised state of all instances.

        Raises:
            StateError: the FMU cannot give it.
        """
        self._check_open()
        with kept_directory():
            state = save_instances(self._info, self._instances, label=self._spec.label)
        self._is_final = False
        self._loop.expect_set_state()
        return state

    def restore(self, state: bytes) -> None:
        """Set a serialised state.

        Raises:
            StateError: the FMU cannot, or the state is of another fleet.
        """
        self._check_open()
        with kept_directory():
            restore_instances(self._info, self._instances, state, label=self._spec.label)
        self._failed.clear()

    def close(self) -> None:
        """Terminate and free all instances and the library; may be called again."""
        if self._closed:
            return
        self._closed = True
        instances, self._instances = self._instances, []
        ending = (fmpy_module("fmpy.fmi1").FMICallException, FmuError)
        with kept_directory():
            try:
                for number, instance in enumerate(instances):
                    if number not in self._failed and not instance.binary.fatal:
                        with contextlib.suppress(*ending):  # it is freed either way
                            instance.terminate()
            finally:
                free_instances(instances)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self._spec.label}: the fleet is closed")

    def _step(self, lot: Lot) -> None:
        """Make the step of the instances of a lot."""
        self._step_some(lot, lot.start, lot.stop)

    def _step_some(self, lot: Lot, start: int, stop: int) -> None:
        while (halted := self._loop.step(lot, start=start, stop=stop)) is not None:
            self._attend(halted)
            start = halted.index + 1
            self._read(lot, halted.index, start)

    def _read(self, lot: Lot, start: int, stop: int) -> None:
        """Get the outputs of some instances without a step."""
        halted = self._loop.get(lot, start=start, stop=stop)
        if halted is not None:
            self._attend(halted)

    def _attend(self, stop: Stop) -> None:
        """Finish the step of an instance at which the loop stopped, or raise why it cannot be finished."""
        instance = self._instances[stop.index]
        halt = self._halt(stop.index, stop.status)
        if stop.status == FATAL:
            instance.binary.fatal = True
        if stop.status == WARNING:
            instance.log.warnings += 1
        try:
            self._treat(halt, stop.phase)
        except BaseException:
            self._failed.add(stop.index)
            raise

    def _treat(self, halt: Halt, phase: Phase) -> None:
        if phase != Phase.STEPPING:
            raise halt.refused("setting the inputs" if phase == Phase.SETTING else "getting the outputs")
        self._finish(halt)

    def _halt(self, index: int, status: int) -> Halt:
        single = len(self._instances) == 1 < self.size
        return Halt(
            label=self._spec.label,
            file_name=self._info.file.name,
            device="all devices" if single else f"device {index} of 0..{self.size - 1}",
            instance=self._instances[index],
            time_s=float(self._loop.span[0]),
            dt_s=float(self._loop.span[1]),
            status=status,
            is_final=self._is_final,
            event=bool(self._loop.flags[0]),
            terminate=bool(self._loop.flags[1]),
            early=bool(self._loop.flags[2]),
            last_time_s=float(self._loop.span[2]),
        )

    def _gather(self) -> FloatArray:
        outputs = np.empty((len(self._spec.outputs), self.size))
        for group in self._outputs:
            group.read(outputs)
        return outputs
