"""N devices of one of our kinds, computed by numpy: the twin of the FMU of that kind."""

import json
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from models.devices import battery_detailed, ev_charger, pv_inverter, water_heater
from models.devices.base import Causality, DeviceKind, FloatArray, Variable
from models.devices.tables import Values
from models.errors import DeviceError, StateError

__all__ = ["KINDS", "KindModel", "KindModule", "NumpyBlock"]


class KindModel(Protocol):
    """The physics of a kind with given parameters: pure functions of state, inputs and step."""

    def start(self, inputs: Values) -> dict[str, FloatArray]:
        """Return outputs and hidden states before the first step."""
        ...

    def step(self, state: Values, inputs: Values, *, dt_s: float) -> dict[str, FloatArray]:
        """Return outputs and hidden states after ``dt_s`` [s]; ``state`` is what was returned last."""
        ...


class KindModule(Protocol):
    """A module of a kind: its table, its hidden states and its physics."""

    KIND: DeviceKind
    STATES: tuple[Variable, ...]

    def Model(self, parameters: Values) -> KindModel:  # noqa: N802 - a class of the module, called to make one
        """Return the physics with ``parameters``, shape (N,) each, all of the kind; ``DeviceError`` where they clash."""
        ...


KINDS: Mapping[str, KindModule] = {
    module.KIND.name: module for module in (battery_detailed, pv_inverter, water_heater, ev_charger)
}
"""By name of the kind."""


class NumpyBlock:
    """N devices of a kind as a ``DeviceBlock``."""

    def __init__(
        self,
        kind: KindModule,
        *,
        size: int,
        parameters: Mapping[str, float | FloatArray],
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        label: str,
    ) -> None:
        """Make the block.

        Args:
            kind: module of the kind, e.g. ``models.devices.water_heater`` or ``KINDS["water_heater"]``.
            size: number of devices N.
            parameters: by name, for all devices or shape (N,); also values of inputs that :meth:`step` is not given.
                What is not named keeps its start value.
            inputs: rows that :meth:`step` takes.
            outputs: rows that :meth:`step` returns.
            label: name for messages.

        Raises:
            DeviceError: an unknown name, a wrong shape, a value out of bounds, or parameters that contradict each other.
        """
        self._label, self._size, self._inputs, self._outputs = label, size, inputs, outputs
        self._kind = kind.KIND
        self._check_names(parameters, inputs=inputs, outputs=outputs)
        values = {
            entry.name: self._column(entry, parameters.get(entry.name, entry.start))
            for entry in self._kind.variables
            if entry.causality != Causality.OUTPUT
        }
        self._fixed = {name: values[name] for name in self._kind.named(Causality.INPUT)}
        try:
            self._model = kind.Model({name: values[name] for name in self._kind.named(Causality.PARAMETER)})
        except DeviceError as error:
            raise DeviceError(f"{label}: {error}") from error
        self._state = self._model.start(self._fixed)

    @property
    def label(self) -> str:
        """Name for messages."""
        return self._label

    @property
    def size(self) -> int:
        """Number of devices N."""
        return self._size

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the rows that :meth:`step` takes."""
        return self._inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the rows that :meth:`step` returns."""
        return self._outputs

    def start(self) -> FloatArray:
        """Return the outputs as they are, shape (outputs, N): before the first step the start values."""
        return self._rows()

    def step(self, inputs: FloatArray, *, time_s: float, dt_s: float) -> FloatArray:
        """Advance all devices by ``dt_s`` [s] with ``inputs`` held, shape (inputs, N); return the outputs.

        Raises:
            DeviceError: an input that is not finite, a wrong shape, or a step that is not above 0.
        """
        expected = (len(self._inputs), self._size)
        if inputs.shape != expected:
            raise DeviceError(f"{self._label}: inputs have shape {inputs.shape}, expected {expected}")
        if not dt_s > 0.0:
            raise DeviceError(f"{self._label}: the step must be above 0 s (got {dt_s:g})")
        if not np.isfinite(inputs).all():
            row, column = (int(index) for index in np.argwhere(~np.isfinite(inputs))[0])
            raise DeviceError(
                f"{self._label}: input {self._inputs[row]} of device {column} is {inputs[row, column]:g}"
                f" at {time_s:g} s; check the series that feeds it"
            )
        given = self._fixed | dict(zip(self._inputs, inputs, strict=True))
        self._state = self._model.step(self._state, given, dt_s=dt_s)
        return self._rows()

    def save(self) -> bytes:
        """Return the state of all devices."""
        rows = np.array([self._state[name] for name in sorted(self._state)], dtype="<f8")
        return self._header() + b"\n" + rows.tobytes()

    def restore(self, state: bytes) -> None:
        """Go back to a saved state.

        Raises:
            StateError: the state is not one of a block like this.
        """
        header, _, body = state.partition(b"\n")
        names = sorted(self._state)
        if header != self._header() or len(body) != len(names) * self._size * 8:
            raise StateError(
                f"{self._label}: this is not a state of {self._size} devices of kind {self._kind.name};"
                " restore a state that the same scenario has saved"
            )
        rows = np.frombuffer(body, dtype="<f8").reshape(len(names), self._size)
        self._state = {name: row.astype(np.float64) for name, row in zip(names, rows, strict=True)}

    def close(self) -> None:
        """Do nothing: there is nothing to free."""

    def _rows(self) -> FloatArray:
        rows = np.empty((len(self._outputs), self._size))
        for row, name in zip(rows, self._outputs, strict=True):
            row[:] = self._state[name]
        return rows

    def _header(self) -> bytes:
        about = {"kind": self._kind.name, "size": self._size, "states": sorted(self._state)}
        return json.dumps(about, sort_keys=True).encode()

    def _check_names(
        self,
        parameters: Mapping[str, float | FloatArray],
        *,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
    ) -> None:
        parameter_names = self._kind.named(Causality.PARAMETER)
        input_names = self._kind.named(Causality.INPUT)
        checks = (
            ("parameter", parameters, parameter_names + input_names),
            ("input", inputs, input_names),
            ("output", outputs, self._kind.named(Causality.OUTPUT)),
        )
        for what, names, known in checks:
            for name in names:
                if name not in known:
                    raise DeviceError(
                        f"{self._label}: a {self._kind.name} has no {what} {name!r}; it has {', '.join(known)}"
                    )

    def _column(self, entry: Variable, value: float | FloatArray) -> FloatArray:
        try:
            column = np.broadcast_to(np.asarray(value, dtype=np.float64), (self._size,)).copy()
        except ValueError as error:
            raise DeviceError(
                f"{self._label}: {entry.name} has shape {np.shape(value)}, expected one value or ({self._size},)"
            ) from error
        good = np.isfinite(column) & (column >= entry.low) & (column <= entry.high)
        if not good.all():
            worst = int(np.flatnonzero(~good)[0])
            raise DeviceError(
                f"{self._label}: {entry.name} of device {worst} is {column[worst]:g},"
                f" must be finite and from {entry.low:g} to {entry.high:g} {entry.unit}"
            )
        return column
