"""What the Co-Simulation engines share: making N instances, stepping them with the compiled loop, freeing them."""

import contextlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import FmuError
from models.fmu.base import FleetSpec, FloatArray, FmuInfo, UnpackedFmu
from models.fmu.binding.instances import FATAL, WARNING, make_instance
from models.fmu.binding.kernel import Head, Int64Array, Phase, Transfer, run
from models.fmu.binding.loading import fmpy_module, folder_of, kept_directory
from models.fmu.binding.logs import MessageLog, status_name
from models.fmu.binding.snapshots import restore_instances, save_instances
from models.fmu.binding.transfers import Group
from models.fmu.co_simulation.halts import Halt, StepFinisher

__all__ = ["CoSimulationEngine", "make_instances"]


@dataclass(frozen=True, slots=True)
class _Lot:
    """Instances that share a library, with the head and the transfers of the loop for them."""

    start: int
    stop: int
    head: Int64Array
    at_events: Int64Array
    """Set in event mode, before the step (FMI 3.0)."""
    transfers: Int64Array
    """Setters of the step, then getters."""


def make_instances(
    unpacked: UnpackedFmu, spec: FleetSpec, *, count: int, initialise: Callable[[Any, int], None]
) -> list[Any]:
    """Make and initialise the instances of a fleet; on a failure all of them are freed.

    Raises:
        FmuError: an instance cannot be made, or fails while it is initialised.
    """
    failed = fmpy_module("fmpy.fmi1").FMICallException
    made: list[Any] = []
    try:
        for device in range(count):
            where = folder_of(unpacked, device)
            log = MessageLog()
            made.append(make_instance(where, name=f"{spec.label} {device}", kind="co_simulation", log=log))
            with kept_directory():
                initialise(made[-1], device)
    except failed as error:
        log = made[-1].log
        free_instances(made)
        raise FmuError(
            f"{spec.label}: device {len(made) - 1} ({spec.file.name}): {error.function} answered "
            f"{status_name(error.status)!r} while it was initialised; {log.tail()}; check the parameters and start values"
        ) from error
    except BaseException:
        free_instances(made)
        raise
    return made


def free_instances(instances: Sequence[Any]) -> None:
    """Free all instances, each on its own: one that fails does not keep the others."""
    with contextlib.ExitStack() as stack:
        for instance in reversed(instances):
            stack.callback(instance.free)


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
        self._flags: NDArray[np.uint8] = np.zeros(3, dtype=np.uint8)
        self._span = np.zeros(3)
        self._failed: set[int] = set()
        self._closed = False
        self._is_final = True
        """No state was saved, so that none of an earlier time will be set."""
        try:
            self._table = np.array([[instance.component, 0] for instance in self._instances], dtype=np.int64)
            self._lots = self._make_lots()
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
        return int(self._table[:, 1].sum()) + int(sum(instance.log.warnings for instance in self._instances))

    def outputs(self) -> FloatArray:
        """Return the outputs as they are, shape (outputs, N)."""
        self._check_open()
        with kept_directory():
            for lot in self._lots:
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
        self._span[0], self._span[1] = time_s, dt_s
        with kept_directory():
            self.prepare(inputs)
            for group in self._inputs:
                group.fill(inputs)
            for lot in self._lots:
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
        for lot in self._lots:
            lot.head[Head.NO_SET_STATE] = 0
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
                    if number not in self._failed and not instance.library.fatal:
                        with contextlib.suppress(*ending):  # it is freed either way
                            instance.terminate()
            finally:
                free_instances(instances)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self._spec.label}: the fleet is closed")

    def _make_lots(self) -> list[_Lot]:
        """Make one lot for each library: an FMU that may be loaded only once has one for each device."""
        lots = []
        version = int(self._info.fmi_version[:1])
        for _, members in itertools.groupby(
            enumerate(self._instances), key=lambda entry: id(entry[1].library)
        ):
            numbered = list(members)
            first, instance = numbered[0]
            head = np.zeros(Head.SIZE, dtype=np.int64)
            head[Head.VERSION] = version
            head[Head.DO_STEP] = instance.address(f"fmi{version}DoStep")
            head[Head.NO_SET_STATE] = 1
            head[Head.FLAGS] = self._flags.ctypes.data
            head[Head.LAST_TIME] = self._span[2:].ctypes.data
            head[Head.SETTERS] = len(self._inputs)
            lots.append(
                _Lot(
                    start=first,
                    stop=first + len(numbered),
                    head=head,
                    at_events=_transfers(self._at_events, instance),
                    transfers=_transfers((*self._inputs, *self._outputs), instance),
                )
            )
        return lots

    def _step(self, lot: _Lot) -> None:
        start = lot.start
        while start < lot.stop:
            lot.head[Head.START], lot.head[Head.STOP] = start, lot.stop
            index, phase, status = run(lot.head, lot.transfers, self._table, self._span, self._flags)
            if phase == Phase.DONE:
                return
            self._attend(index, Phase(phase), status)
            self._read(lot, index, index + 1)
            start = index + 1

    def _read(self, lot: _Lot, start: int, stop: int) -> None:
        """Get the outputs of some instances without a step."""
        self._move(lot, lot.transfers[len(self._inputs) :], n_setters=0, start=start, stop=stop)

    def _move(self, lot: _Lot, transfers: Int64Array, *, n_setters: int, start: int, stop: int) -> None:
        """Move values without a step."""
        head = lot.head.copy()
        head[Head.DO_STEP], head[Head.SETTERS], head[Head.START], head[Head.STOP] = 0, n_setters, start, stop
        index, phase, status = run(head, transfers, self._table, self._span, self._flags)
        if phase != Phase.DONE:
            self._attend(index, Phase(phase), status)

    def _attend(self, index: int, phase: Phase, status: int) -> None:
        """Finish the step of an instance at which the loop stopped, or raise why it cannot be finished."""
        instance = self._instances[index]
        halt = self._halt(index, status)
        if status == FATAL:
            instance.library.fatal = True
        if status == WARNING:
            instance.log.warnings += 1
        try:
            self._treat(halt, phase)
        except BaseException:
            self._failed.add(index)
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
            time_s=float(self._span[0]),
            dt_s=float(self._span[1]),
            status=status,
            is_final=self._is_final,
            event=bool(self._flags[0]),
            terminate=bool(self._flags[1]),
            early=bool(self._flags[2]),
            last_time_s=float(self._span[2]),
        )

    def _gather(self) -> FloatArray:
        outputs = np.empty((len(self._spec.outputs), self.size))
        for group in self._outputs:
            group.read(outputs)
        return outputs


def _transfers(groups: Sequence[Group], instance: Any) -> Int64Array:
    """Return the kernel's table of these groups with the functions of the library of an instance."""
    rows = [group.transfer(instance.address(group.function)) for group in groups]
    return np.array(rows, dtype=np.int64).reshape(len(groups), Transfer.SIZE)
