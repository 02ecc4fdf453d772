"""The guard against values that make no sense.

An FMU may answer OK and be wrong: an explicit Euler inside one was seen to reach 3e13 without a warning. So every output
is compared with its bounds after each communication step.
"""

from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from models.errors import FmuStepError
from models.fmu.base import FleetSpec, FloatArray, FmuInfo, Interface, Wire
from models.fmu.engine import chosen_interface

__all__ = ["Limits"]

_ROUNDING = 1e-9
"""Share of a bound (at least of 1, in the FMU's unit) by which a value may pass it: the rounding of the FMU."""


class Limits:
    """The bounds of all outputs: those of the wires and those of the FMU itself."""

    def __init__(self, spec: FleetSpec, info: FmuInfo) -> None:
        self._spec = spec
        self._info = info
        self._low, self._high = _bounds(spec.outputs, info)

    def check(self, raw: FloatArray, *, time_s: float, size_s: float | None) -> None:
        """Compare the outputs of all devices with their bounds.

        Args:
            raw: in the units of the FMU, shape (outputs, N).
            time_s: time they are of [s].
            size_s: communication step that led to them, None before the first [s].

        Raises:
            FmuStepError: a value is not finite or out of its bounds; the first one is named.
        """
        inside: NDArray[np.bool_] = (raw >= self._low) & (raw <= self._high)
        if not inside.all():
            self._refuse(raw, inside, time_s=time_s, size_s=size_s)

    def _refuse(
        self, raw: FloatArray, inside: NDArray[np.bool_], *, time_s: float, size_s: float | None
    ) -> NoReturn:
        spec = self._spec
        row, device = (int(at) for at in np.argwhere(~inside)[0])
        wire = spec.outputs[row]
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
            f"{spec.label}: {spec.file.name}: device {device} of 0..{spec.size - 1}{more}: {named} at {time_s:g} s; "
            f"{self._remedy(size_s)}"
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
