"""N devices run by FMUs in this process: signals and units, communication steps, what is unpacked and freed."""

from contextlib import ExitStack

import numpy as np

from models.devices.base import FloatArray
from models.errors import FmuError, FmuMappingError, FmuStepError
from models.fmu.base import Engine, FleetSpec, Take, Wire
from models.fmu.engine import open_engine
from models.fmu.in_process.limits import Limits
from models.fmu.in_process.substeps import Substeps, is_same_step, substeps
from models.fmu.reading.archive import unpacked
from models.fmu.reading.description import read_info

__all__ = ["FmuFleet"]


class FmuFleet:
    """N devices run by FMUs in this process; a :class:`~models.devices.base.DeviceBlock`.

    One signal may feed several variables of the FMU; each variable has one signal. The FMU is unpacked into a folder
    that lives as long as the fleet.

    Raises:
        FmuArchiveError: the file is unsafe, damaged or holds no binary for this machine.
        FmuMappingError: a signal or parameter does not fit the variables of the FMU.
        FmuError: the FMU cannot be started.
    """

    def __init__(self, spec: FleetSpec) -> None:
        self.label = spec.label
        self.size = spec.size
        self._spec = spec
        _check_wires(spec)
        self.inputs = tuple(dict.fromkeys(wire.signal for wire in spec.inputs))
        self.outputs = tuple(wire.signal for wire in spec.outputs)
        self._row = np.array([self.inputs.index(wire.signal) for wire in spec.inputs], dtype=np.int64)
        self._in_factor, self._in_offset = _scales(spec.inputs)
        self._is_amount = np.array([[wire.is_amount] for wire in spec.inputs], dtype=bool).reshape(-1, 1)
        self._out_factor, self._out_offset = _scales(spec.outputs)
        self._is_mean = np.array([wire.take is Take.MEAN for wire in spec.outputs], dtype=bool)[:, np.newaxis]
        self._takes_means = bool(self._is_mean.any())
        self._substeps: tuple[float, Substeps] | None = None
        self._cut_factor = self._in_factor
        """Factors of the inputs in a communication step of that length."""
        self._first_size_s: float | None = None
        with ExitStack() as opening:
            info = read_info(spec.file, interface=spec.interface)
            place = opening.enter_context(unpacked(spec.file, info))
            self._info = place.info
            self._limits = Limits(spec, self._info)
            self._engine: Engine = open_engine(place, spec)
            opening.callback(self._engine.close)
            self._closing = opening.pop_all()
        self._is_open = True

    def start(self) -> FloatArray:
        """Return the outputs before the first step, shape (outputs, N).

        Raises:
            FmuStepError: a value is not finite or out of its bounds.
        """
        self._refuse_closed()
        raw = self._engine.outputs()
        self._limits.check(raw, time_s=0.0, size_s=None)
        return self._signals(raw)

    def step(self, inputs: FloatArray, *, time_s: float, dt_s: float) -> FloatArray:
        """Advance all devices from ``time_s`` by ``dt_s`` [s] with ``inputs`` held, shape (inputs, N); amounts are shared out.

        Returns the outputs, a fresh array of shape (outputs, N): of ``Take.MEAN`` the mean over the communication steps
        of the value at the end of each, of ``Take.LAST`` the value at the end of the last.

        Raises:
            FmuStepError: the FMU fails, an input is not finite, or an output is not finite or out of its bounds.
            FmuError: the step does not fit the FMU's communication step.
        """
        self._refuse_closed()
        self._refuse_bad_inputs(inputs, time_s)
        cut = self._cut(dt_s)
        values = inputs[self._row] * self._cut_factor + self._in_offset
        raw = self._advance(values, time_s=time_s, size_s=cut.size_s)
        if cut.count == 1:
            return self._signals(raw)
        total = raw.copy()
        for number in range(1, cut.count):
            raw = self._advance(values, time_s=time_s + number * cut.size_s, size_s=cut.size_s)
            if self._takes_means:
                total += raw
        return self._signals(np.where(self._is_mean, total / cut.count, raw))

    def save(self) -> bytes:
        """Return the state of all devices; raise ``StateError`` where the FMU cannot give it."""
        self._refuse_closed()
        return self._engine.save()

    def restore(self, state: bytes) -> None:
        """Go back to a saved state; raise ``StateError`` where the FMU cannot, or the state is of another fleet."""
        self._refuse_closed()
        self._engine.restore(state)

    def close(self) -> None:
        """Free all instances and remove what was unpacked; may be called again."""
        self._is_open = False
        self._closing.close()

    def _advance(self, values: FloatArray, *, time_s: float, size_s: float) -> FloatArray:
        raw = self._engine.advance(values, time_s=time_s, dt_s=size_s)
        self._limits.check(raw, time_s=time_s + size_s, size_s=size_s)
        return raw

    def _signals(self, raw: FloatArray) -> FloatArray:
        signals: FloatArray = (raw - self._out_offset) / self._out_factor
        return signals

    def _cut(self, dt_s: float) -> Substeps:
        if self._substeps is not None and self._substeps[0] == dt_s:
            return self._substeps[1]
        cut = substeps(dt_s, self._spec, self._info)
        first_s = self._first_size_s
        if first_s is None:
            self._first_size_s = cut.size_s
        elif not self._info.can_handle_variable_step and not is_same_step(cut.size_s, first_s):
            raise FmuError(
                f"{self._where}: the FMU keeps its first communication step of {first_s:g} s and cannot change to "
                f"{cut.size_s:g} s; set `step: {first_s:g} s`"
            )
        self._cut_factor = np.where(self._is_amount, self._in_factor / cut.count, self._in_factor)
        self._substeps = (dt_s, cut)
        return cut

    @property
    def _where(self) -> str:
        return f"{self.label}: {self._spec.file.name}"

    def _refuse_closed(self) -> None:
        if not self._is_open:
            raise FmuError(f"{self._where}: the fleet is closed; open it again")

    def _refuse_bad_inputs(self, inputs: FloatArray, time_s: float) -> None:
        if inputs.shape != (len(self.inputs), self.size):
            raise ValueError(
                f"{self.label}: inputs have shape {inputs.shape}, not {(len(self.inputs), self.size)}"
            )
        if np.isfinite(inputs).all():
            return
        row, device = (int(at) for at in np.argwhere(~np.isfinite(inputs))[0])
        raise FmuStepError(
            f"{self._spec.named(device)} its input {self.inputs[row]} is "
            f"{inputs[row, device]:g} at {time_s:g} s; an FMU takes finite numbers only, look at what feeds this signal"
        )


def _scales(wires: tuple[Wire, ...]) -> tuple[FloatArray, FloatArray]:
    factor = np.array([[wire.factor] for wire in wires], dtype=np.float64).reshape(-1, 1)
    offset = np.array([[wire.offset] for wire in wires], dtype=np.float64).reshape(-1, 1)
    return factor, offset


def _check_wires(spec: FleetSpec) -> None:
    """Raise ``FmuMappingError`` where names repeat, or numbers of a wire make no sense."""
    for what, names in (
        ("input variable", [wire.variable for wire in spec.inputs]),
        ("output signal", [wire.signal for wire in spec.outputs]),
    ):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise FmuMappingError(
                f"{spec.label}: {spec.file.name}: the {what} {', '.join(twice)} is mapped more than once; keep one"
            )
    for wire in (*spec.inputs, *spec.outputs):
        if not (np.isfinite(wire.factor) and wire.factor != 0 and np.isfinite(wire.offset)):
            raise FmuMappingError(
                f"{spec.label}: {spec.file.name}: {wire.signal} -> {wire.variable} has factor {wire.factor:g} and "
                f"offset {wire.offset:g}; the factor must be a finite number other than 0, the offset finite"
            )
    for wire in spec.outputs:
        if not wire.low <= wire.high:
            raise FmuMappingError(
                f"{spec.label}: {spec.file.name}: the bounds of {wire.signal} are {wire.low:g} and {wire.high:g}; the lower "
                "one comes first, and both must be numbers"
            )
    if spec.size < 1:
        raise FmuMappingError(f"{spec.label}: a fleet needs at least one device, not {spec.size}")
