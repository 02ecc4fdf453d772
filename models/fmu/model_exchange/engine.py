"""Model Exchange: one instance of the FMU and one CVode for each device."""

import contextlib
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import FmuError, FmuStepError, StateError
from models.fmu.base import FleetSpec, FloatArray, UnpackedFmu
from models.fmu.binding.instances import make_instance
from models.fmu.binding.kernel import Head, Int64Array, Phase, Transfer, run
from models.fmu.binding.loading import folder_of, kept_directory
from models.fmu.binding.logs import MessageLog, status_name
from models.fmu.binding.snapshots import restore_instances, save_instances
from models.fmu.binding.start_values import Mode, StartValues, check_one_value, start_values
from models.fmu.binding.transfers import (
    Direction,
    Group,
    Layout,
    Port,
    groups_of,
    input_variables,
    output_variables,
)
from models.fmu.fmpy_access import fmpy_module
from models.fmu.model_exchange.device import Device
from models.fmu.model_exchange.solver import EndedError, SolverError

__all__ = ["ModelExchangeEngine", "open_me"]

_MAGIC = b"GEMELLO-FMU-ME-1\n"
_COUNT = struct.Struct("<Q")
_SAME_TIME_S = 1e-6


def open_me(unpacked: UnpackedFmu, spec: FleetSpec) -> "ModelExchangeEngine":
    """Return N initialised instances of a Model Exchange FMU with their solvers, at time 0.

    Raises:
        FmuArchiveError: the library of the FMU cannot be loaded.
        FmuMappingError: a wire or a parameter does not fit the variables; also a variable with several values.
        FmuError: an instance cannot be made or initialised, or there is no solver for this machine.
    """
    return ModelExchangeEngine(unpacked, spec)


class ModelExchangeEngine:
    """N devices in Model Exchange; an ``Engine``.

    Inputs are held over a communication step. A change of an input is an event: the solver starts afresh there, and
    discrete inputs may change. A saved state does not hold the past of the solver; so that a run that goes on and one that
    goes back to that state agree bit for bit, saving makes the solver start afresh too.
    """

    def __init__(self, unpacked: UnpackedFmu, spec: FleetSpec) -> None:
        self._spec = spec
        self._info = info = unpacked.info
        values = start_values(info, spec)
        inputs, outputs = input_variables(info, spec.inputs), output_variables(info, spec.outputs)
        check_one_value(info, spec, (*inputs, *outputs))
        ports_in = [Port(row, entry, Layout.EACH) for row, entry in enumerate(inputs)]
        ports_out = [Port(row, entry, Layout.EACH) for row, entry in enumerate(outputs)]
        self._in = groups_of(info, ports_in, direction=Direction.IN, size=spec.size)
        self._out = groups_of(info, ports_out, direction=Direction.OUT, size=spec.size)
        self._never_set = True
        """The inputs are to be set in the next step, whatever they are: an event of all devices."""
        self._devices: list[Device] = []
        self._failed: set[int] = set()
        self._closing = contextlib.ExitStack()
        try:
            for device in range(spec.size):
                self._open(unpacked, values, device)
        except BaseException:
            self.close()
            raise
        self._transfers = [_transfers((*self._in, *self._out), device.instance) for device in self._devices]
        self._table = np.array([[device.instance.component, 0] for device in self._devices], dtype=np.int64)
        self._head = np.zeros(Head.SIZE, dtype=np.int64)
        self._head[Head.VERSION] = int(info.fmi_version[:1])
        self._unused: tuple[FloatArray, NDArray[np.uint8]] = np.zeros(3), np.zeros(3, dtype=np.uint8)

    @property
    def size(self) -> int:
        """Number of devices N."""
        return self._spec.size

    def outputs(self) -> FloatArray:
        """Return the outputs as they are, shape (outputs, N)."""
        self._check_open()
        with kept_directory():
            for device in range(self.size):
                self._move(device, direction=Direction.OUT, time_s=self._devices[device].time_s)
        return self._gather()

    def advance(self, inputs: FloatArray, *, time_s: float, dt_s: float) -> FloatArray:
        """Set the inputs, shape (inputs, N), solve over one step, and return the outputs, shape (outputs, N).

        Raises:
            FmuStepError: the FMU refuses a call, asks to end, or its equations cannot be solved; also an input that is
                not finite or does not fit its variable, and a step that does not begin where the last one ended.
        """
        self._check_open()
        expected = (len(self._spec.inputs), self.size)
        if inputs.shape != expected:
            raise ValueError(
                f"{self._spec.label}: inputs have the shape {inputs.shape}, wanted is {expected}"
            )
        changed = self._changed(inputs)
        for group in self._in:
            group.fill(inputs)
        with kept_directory():
            for number, device in enumerate(self._devices):
                if abs(device.time_s - time_s) > _SAME_TIME_S:
                    raise self._error(number, time_s, f"its time is {device.time_s:g} s", "step without gaps")
                with self._guarded(number):
                    self._step(number, is_changed=number in changed, stop_s=time_s + dt_s)
        self._never_set = False
        return self._gather()

    def save(self) -> bytes:
        """Return the serialised state of all instances, and their times; the solvers start afresh in the next step.

        Raises:
            StateError: the FMU cannot give it.
        """
        self._check_open()
        with kept_directory():
            state = save_instances(self._info, self._instances, label=self._spec.label)
        self._never_set = True
        times = np.array([[device.time_s, device.next_event_s] for device in self._devices])
        return _MAGIC + _COUNT.pack(len(times)) + times.astype("<f8").tobytes() + state

    def restore(self, state: bytes) -> None:
        """Set a serialised state; the solvers start afresh.

        Raises:
            StateError: the FMU cannot, or the state is damaged or of another fleet.
        """
        self._check_open()
        start = len(_MAGIC) + _COUNT.size
        if state[: len(_MAGIC)] != _MAGIC or len(state) < start:
            raise StateError(f"{self._spec.label}: these bytes are not a saved state in Model Exchange")
        (count,) = _COUNT.unpack_from(state, len(_MAGIC))
        if count != self.size:
            raise StateError(
                f"{self._spec.label}: the saved state is of {count} devices, there are {self.size} here"
            )
        end = start + 16 * count
        if len(state) < end:
            raise StateError(f"{self._spec.label}: the saved state is cut short; save it again")
        times = np.frombuffer(state, dtype="<f8", count=2 * count, offset=start).reshape(count, 2).tolist()
        with kept_directory():
            restore_instances(self._info, self._instances, state[end:], label=self._spec.label)
            for number, (time_s, next_event_s) in enumerate(times):
                with self._guarded(number):
                    self._devices[number].go_back(time_s=time_s, next_event_s=next_event_s)
        self._never_set = True
        self._failed.clear()

    def close(self) -> None:
        """Terminate and free all instances, their solvers and the library; may be called again."""
        with kept_directory():
            self._closing.close()
        self._devices = []

    @property
    def _instances(self) -> list[Any]:
        return [device.instance for device in self._devices]

    def _check_open(self) -> None:
        if not self._devices:
            raise ValueError(f"{self._spec.label}: the fleet is closed")

    def _open(self, unpacked: UnpackedFmu, values: StartValues, number: int) -> None:
        where = folder_of(unpacked, number)
        log = MessageLog()
        instance = make_instance(where, name=f"{self._spec.label} {number}", kind="model_exchange", log=log)
        self._closing.callback(instance.free)
        failed = fmpy_module("fmpy.fmi1").FMICallException
        try:
            with kept_directory():
                _initialise(instance, values, number, is_fmi3=self._info.fmi_version.startswith("3"))
                device = Device(instance, self._info, tolerance=self._spec.tolerance)
        except failed as error:
            what = f"{error.function} answered {status_name(error.status)!r}"
            raise self._start_error(number, what, log) from error
        except EndedError as error:
            raise self._start_error(number, "the FMU asked to end", log) from error
        except SolverError as error:
            raise self._start_error(number, str(error), log) from error
        self._closing.callback(device.close)
        self._closing.callback(self._terminate, number, instance)
        self._devices.append(device)

    def _terminate(self, number: int, instance: Any) -> None:
        if number not in self._failed and not instance.binary.fatal:
            with contextlib.suppress(
                fmpy_module("fmpy.fmi1").FMICallException, FmuError
            ):  # it is freed either way
                instance.terminate()

    def _changed(self, inputs: FloatArray) -> set[int]:
        if self._never_set:
            return set(range(self.size))
        return {int(number) for group in self._in for number in group.changed(inputs)}

    def _step(self, number: int, *, is_changed: bool, stop_s: float) -> None:
        device = self._devices[number]
        if is_changed:
            device.enter_event()
            self._move(number, direction=Direction.IN, time_s=device.time_s)
            device.leave_event()
        device.run_to(stop_s)
        self._move(number, direction=Direction.OUT, time_s=device.time_s)

    def _move(self, number: int, *, direction: Direction, time_s: float) -> None:
        """Set the inputs of one device from the buffers, or get its outputs into them."""
        n_setters = len(self._in)
        rows = self._transfers[number]
        if direction is Direction.IN:
            rows, groups = rows[:n_setters], self._in
        else:
            rows, groups, n_setters = rows[n_setters:], self._out, 0
        self._head[Head.SETTERS], self._head[Head.START], self._head[Head.STOP] = (
            n_setters,
            number,
            number + 1,
        )
        _, phase, status = run(self._head, rows, self._table, *self._unused)
        if phase != Phase.DONE:
            self._failed.add(number)
            names = ", ".join(name for group in groups for name in group.names)
            what = f"{'setting' if direction is Direction.IN else 'getting'} {names} gives {status_name(status)!r}"
            raise self._error(number, time_s, what, "check the values with `twin fmu check`")

    @contextlib.contextmanager
    def _guarded(self, number: int) -> Iterator[None]:
        """Make an ``FmuStepError`` with device and time of what goes wrong with one device."""
        failed = fmpy_module("fmpy.fmi1").FMICallException
        try:
            yield
        except failed as error:
            what = f"{error.function} answered {status_name(error.status)!r}"
            raise self._broken(number, what) from error
        except EndedError as error:
            raise self._broken(number, "the FMU asked to end the simulation") from error
        except SolverError as error:
            raise self._broken(number, str(error)) from error

    def _broken(self, number: int, what: str) -> FmuStepError:
        self._failed.add(number)
        remedy = "take a smaller step or another tolerance, and look at its inputs and parameters"
        return self._error(number, self._devices[number].time_s, what, remedy)

    def _error(self, number: int, time_s: float, what: str, remedy: str) -> FmuStepError:
        log = self._devices[number].instance.log
        return FmuStepError(f"{self._named(number)} at {time_s:g} s: {what}; {log.tail()}; {remedy}")

    def _start_error(self, number: int, what: str, log: MessageLog) -> FmuError:
        return FmuError(
            f"{self._named(number)}: {what} while it was started; {log.tail()}; check the parameters and start values"
        )

    def _named(self, number: int) -> str:
        return f"{self._spec.label}: device {number} of 0..{self.size - 1} ({self._info.file.name}, model exchange)"

    def _gather(self) -> FloatArray:
        outputs = np.empty((len(self._spec.outputs), self.size))
        for group in self._out:
            group.read(outputs)
        return outputs


def _initialise(instance: Any, values: StartValues, number: int, *, is_fmi3: bool) -> None:
    if is_fmi3:
        if values.has(Mode.CONFIGURATION):
            instance.enterConfigurationMode()
            values.set(instance, Mode.CONFIGURATION, device=number)
            instance.exitConfigurationMode()
        values.set(instance, Mode.INSTANTIATED, device=number)
        instance.enterInitializationMode(startTime=0.0)
    else:
        instance.setupExperiment(startTime=0.0)
        values.set(instance, Mode.INSTANTIATED, device=number)
        instance.enterInitializationMode()
    values.set(instance, Mode.INITIALISATION, device=number)
    instance.exitInitializationMode()


def _transfers(groups: tuple[Group, ...], instance: Any) -> Int64Array:
    rows = [group.transfer(instance.address(group.function)) for group in groups]
    return np.array(rows, dtype=np.int64).reshape(len(groups), Transfer.SIZE)
