"""The guard against values that make no sense.

An FMU may answer OK and be wrong: an explicit Euler inside one was seen to reach 3e13 without a warning. So every output
is compared with its bounds after each communication step.
"""

from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from models.errors import FmuStepError
from models.fmu.base import FleetSpec, FloatArray, FmuInfo, Interface, Wire
from models.fmu.binding.transfers import find_variable
from models.fmu.engine import chosen_interface

__all__ = ["Limits"]


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
        remedy = self._remedy(size_s, is_finite=bool(np.isfinite(value)))
        raise FmuStepError(f"{spec.named(device)} {named} at {time_s:g} s{more}; {remedy}")

    def _remedy(self, size_s: float | None, *, is_finite: bool) -> str:
        mapping = ", or correct `unit`, `factor`, `min` or `max` of this output" if is_finite else ""
        if size_s is None:
            return (
                f"this is its value before the first step: look at its parameters and start values{mapping}"
            )
        info = self._info
        advice = f"try a smaller `step:` (it is {size_s:g} s), look at its inputs and parameters{mapping}"
        # equations without states have nothing to solve over time
        if (
            info.model_exchange is not None
            and info.n_states
            and chosen_interface(info, self._spec) is Interface.CO_SIMULATION
        ):
            advice += "; `interface: model_exchange` is a cross-check: CVode then solves its equations"
        return advice


def _bounds(wires: tuple[Wire, ...], info: FmuInfo) -> tuple[FloatArray, FloatArray]:
    """Return lower and upper bounds in the units of the FMU, shape (outputs, 1): of the wire and of the FMU itself.

    They leave room for the rounding of the FMU and are finite, so that one comparison also finds infinities and NaN.
    """
    largest = np.finfo(np.float64).max
    low, high = np.full((len(wires), 1), -largest), np.full((len(wires), 1), largest)
    for row, wire in enumerate(wires):
        edges = sorted((wire.low * wire.factor + wire.offset, wire.high * wire.factor + wire.offset))
        variable = find_variable(info, wire.variable)
        floor = max(edges[0], -np.inf if variable.low is None else variable.low)
        ceiling = min(edges[1], np.inf if variable.high is None else variable.high)
        if np.isfinite(floor):
            low[row] = floor - variable.rounding(floor)
        if np.isfinite(ceiling):
            high[row] = ceiling + variable.rounding(ceiling)
    return low, high
