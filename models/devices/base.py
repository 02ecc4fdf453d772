"""What all device models share: a kind with its variables, and N devices of a kind that step together.

A *block* is N devices behind one face, whatever computes them: arrays here, an FMU, or later real hardware. Sign:
consumption positive at the terminal. Values travel as one array per direction, shape (variables, N), float64.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Causality", "DeviceBlock", "DeviceKind", "FloatArray", "Variable"]

FloatArray = NDArray[np.float64]


class Causality(StrEnum):
    """What a variable of a device is for."""

    PARAMETER = "parameter"
    """Fixed before the first step."""
    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One quantity of a device."""

    name: str
    """With its unit, e.g. ``p_set_kw``; lower case, a valid identifier in C and Python."""
    causality: Causality
    unit: str
    """As written in an FMU: kW, kvar, kVA, kWh, degC, pu, 1, s, h, l, l/min, kW/K, kWh/K."""
    start: float
    """Value before anything is set."""
    text: str
    """What it is, one sentence for a table."""
    low: float = -np.inf
    high: float = np.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceKind:
    """A kind of device: its name and its variables in the order of their value references."""

    name: str
    text: str
    variables: tuple[Variable, ...]

    def named(self, causality: Causality) -> tuple[str, ...]:
        """Return the names of the variables of one causality, in order."""
        return tuple(entry.name for entry in self.variables if entry.causality == causality)


class DeviceBlock(Protocol):
    """N devices of one kind that step together. Close it when the run ends, on every path."""

    @property
    def label(self) -> str:
        """Name for messages."""
        ...

    @property
    def size(self) -> int:
        """Number of devices N."""
        ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the rows that :meth:`step` takes."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the rows that :meth:`step` returns."""
        ...

    def start(self) -> FloatArray:
        """Return the outputs before the first step, shape (outputs, N)."""
        ...

    def step(self, inputs: FloatArray, *, time_s: float, dt_s: float) -> FloatArray:
        """Advance all devices from ``time_s`` by ``dt_s`` [s] with ``inputs`` held, shape (inputs, N).

        Returns the outputs, a fresh array of shape (outputs, N): powers are means over the step, states are those at
        its end.
        """
        ...

    def save(self) -> bytes:
        """Return the state of all devices; raise ``StateError`` where a device cannot give it."""
        ...

    def restore(self, state: bytes) -> None:
        """Go back to a saved state; raise ``StateError`` where a device cannot."""
        ...

    def close(self) -> None:
        """Free everything; may be called again."""
        ...
