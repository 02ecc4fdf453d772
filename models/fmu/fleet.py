"""N devices run by FMUs as one block: units, communication steps, and the guard against values that make no sense.

An FMU may answer OK and be wrong: an explicit Euler inside one was seen to reach 3e13 without a warning. So every output
is compared with its bounds after each communication step.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from models.devices.base import DeviceBlock, FloatArray
from models.errors import FmuError, FmuMappingError, FmuStepError
from models.fmu.base import Engine, FleetSpec, FmuInfo, Interface, Take, Wire
from models.fmu.engine import chosen_interface, open_engine
from models.fmu.isolation.supervisor import WorkerFleet
from models.fmu.reading.archive import unpacked
from models.fmu.reading.description import read_info

__all__ = ["FmuFleet", "Substeps", "open_fleet", "substeps"]

_SAME_STEP = 1e-9
"""Relative difference of two step sizes that counts as rounding."""
_ROUNDING = 1e-9
"""Share of a bound (at least of 1, in the FMU's unit) by which a value may pass it: the rounding of the FMU."""


def open_fleet(spec: FleetSpec) -> DeviceBlock:
    """Open the FMUs of a fleet: in this process where they are trusted, else in a process of their own.

    Raises:
        FmuError: the FMU cannot be used; the message says why and what helps.
    """
    return FmuFleet(spec) if spec.trusted else WorkerFleet(spec)


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
    if count < 1 or abs(count * wanted_s - dt_s) > _SAME_STEP * dt_s:
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
    return ratio >= 1 and abs(ratio * unit - value) <= _SAME_STEP * value


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
        self._out_factor, self._out_offset = _scales(spec.outputs)
        self._is_mean = np.array([wire.take is Take.MEAN for wire in spec.outputs], dtype=bool)[:, np.newaxis]
        self._takes_means = bool(self._is_mean.any())
        self._substeps: tuple[float, Substeps] | None = None
        self._first_size_s: float | None = None
        with ExitStack() as opening:
            info = read_info(spec.file, interface=spec.interface)
            place = opening.enter_context(unpacked(spec.file, info))
            self._info = place.info
            self._low, self._high = _bounds(spec.outputs, self._info)
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
        self._check(raw, time_s=0.0, size_s=None)
        return self._signals(raw)

    def step(self, inputs: FloatArray, *, time_s: float, dt_s: float) -> FloatArray:
        """Advance all devices from ``time_s`` by ``dt_s`` [s] with ``inputs`` held, shape (inputs, N).

        Returns the outputs, a fresh array of shape (outputs, N): of ``Take.MEAN`` the mean over the communication steps
        of the value at the end of each, of ``Take.LAST`` the value at the end of the last.

        Raises:
            FmuStepError: the FMU fails, an input is not finite, or an output is not finite or out of its bounds.
            FmuError: the step does not fit the FMU's communication step.
        """
        self._refuse_closed()
        self._refuse_bad_inputs(inputs, time_s)
        cut = self._cut(dt_s)
        values = inputs[self._row] * self._in_factor + self._in_offset
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
        self._check(raw, time_s=time_s + size_s, size_s=size_s)
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
        elif not self._info.can_handle_variable_step and abs(cut.size_s - first_s) > _SAME_STEP * first_s:
            raise FmuError(
                f"{self._where}: the FMU keeps its first communication step of {first_s:g} s and cannot change to "
                f"{cut.size_s:g} s; set `step: {first_s:g} s`"
            )
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
            f"{self._where}: device {device} of 0..{self.size - 1}: its input {self.inputs[row]} is "
            f"{inputs[row, device]:g} at {time_s:g} s; an FMU takes finite numbers only, look at what feeds this signal"
        )

    def _check(self, raw: FloatArray, *, time_s: float, size_s: float | None) -> None:
        inside: NDArray[np.bool_] = (raw >= self._low) & (raw <= self._high)
        if not inside.all():
            self._refuse(raw, inside, time_s=time_s, size_s=size_s)

    def _refuse(
        self, raw: FloatArray, inside: NDArray[np.bool_], *, time_s: float, size_s: float | None
    ) -> NoReturn:
        row, device = (int(at) for at in np.argwhere(~inside)[0])
        wire = self._spec.outputs[row]
        value = float(raw[row, device])
        variable = self._info.variable(wire.variable)
        unit = f" {variable.unit}" if variable is not None and variable.unit is not None else ""
        named = f"{wire.variable} ({wire.signal}) = {value:g}{unit}"
        if np.isfinite(value):
            low, high = float(self._low[row, 0]), float(self._high[row, 0])
            side, bound = ("below", low) if value < low else ("above", high)
            named += f", {side} its bound {bound:g}{unit}"
        else:
            named += ", not a finite number"
        others = int(np.count_nonzero(~inside.all(axis=0))) - 1
        more = f" (and {others} more devices)" if others > 0 else ""
        raise FmuStepError(
            f"{self._where}: device {device} of 0..{self.size - 1}{more}: {named} at {time_s:g} s; {self._remedy(size_s)}"
        )

    def _remedy(self, size_s: float | None) -> str:
        if size_s is None:
            return "this is its value before the first step: look at its parameters and start values"
        advice = f"try a smaller `step:` (it is {size_s:g} s)"
        if chosen_interface(self._info, self._spec) is Interface.MODEL_EXCHANGE:
            return f"{advice}, a smaller tolerance, or look at its inputs and parameters"
        if self._info.model_exchange is not None:
            return (
                f"{advice}, or `interface: model_exchange` as a cross-check: CVode then solves its equations"
            )
        return f"{advice}, or look at its inputs and parameters"


def _scales(wires: tuple[Wire, ...]) -> tuple[FloatArray, FloatArray]:
    factor = np.array([[wire.factor] for wire in wires], dtype=np.float64).reshape(-1, 1)
    offset = np.array([[wire.offset] for wire in wires], dtype=np.float64).reshape(-1, 1)
    return factor, offset


def _bounds(wires: tuple[Wire, ...], info: FmuInfo) -> tuple[FloatArray, FloatArray]:
    """Return lower and upper bounds in the units of the FMU, shape (outputs, 1): of the wire and of the FMU itself.

    They are finite, so that one comparison also finds infinities and NaN.
    """
    largest = np.finfo(np.float64).max
    low, high = np.full((len(wires), 1), -largest), np.full((len(wires), 1), largest)
    for row, wire in enumerate(wires):
        edges = sorted((wire.low * wire.factor + wire.offset, wire.high * wire.factor + wire.offset))
        variable = info.variable(wire.variable)
        lows = [edges[0], -np.inf if variable is None or variable.low is None else variable.low]
        highs = [edges[1], np.inf if variable is None or variable.high is None else variable.high]
        floor, ceiling = max(lows), min(highs)
        if np.isfinite(floor):
            low[row] = floor - _ROUNDING * max(1.0, abs(floor))
        if np.isfinite(ceiling):
            high[row] = ceiling + _ROUNDING * max(1.0, abs(ceiling))
    return low, high


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
