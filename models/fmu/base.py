"""What the parts of this package share: what an FMU says of itself, how a fleet of it is described, how it is run.

Values inside this package are in the units of the FMU; ``Wire`` says how a signal of ours becomes a variable.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Engine",
    "FleetSpec",
    "FloatArray",
    "FmuInfo",
    "FmuVariable",
    "Interface",
    "OnFailure",
    "Take",
    "UnpackedFmu",
    "Value",
    "Wire",
]

_ROUNDING = 1e-9
"""Share of a bound, at least of 1."""
_SINGLE = 2.0**-23
"""The same in single precision: the nearest number to a bound is not always inside."""

FloatArray = NDArray[np.float64]
Value = float | int | bool | str
"""Value of a parameter of one FMU."""


class Interface(StrEnum):
    """Which interface of an FMU is used."""

    AUTO = "auto"
    """Co-Simulation where there is one, else Model Exchange."""
    CO_SIMULATION = "co_simulation"
    MODEL_EXCHANGE = "model_exchange"
    """Solved by CVode."""


class OnFailure(StrEnum):
    """What happens when the process of an FMU crashes, ends or hangs."""

    END = "end"
    """The run ends with the reason."""
    RESTART = "restart"
    """A fresh process goes on from the last saved state, where the FMU can save its state."""


class Take(StrEnum):
    """What is taken of an output over the sub-steps of a step."""

    MEAN = "mean"
    """The mean: powers."""
    LAST = "last"
    """The value at the end: states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FmuVariable:
    """One variable as the model description has it."""

    name: str
    value_reference: int
    type: str
    """Real, Integer, Boolean, String, Enumeration (FMI 2.0); Float64, Int32, Boolean ... (FMI 3.0)."""
    causality: str
    """parameter, structuralParameter, calculatedParameter, input, output, local, independent."""
    variability: str
    initial: str | None
    unit: str | None
    start: str | None
    """As written; several values are separated by blanks."""
    low: float | None
    """The attribute ``min``."""
    high: float | None
    """The attribute ``max``."""
    shape: tuple[int | str, ...]
    """Dimensions: a number where fixed, the name of a structural parameter where it sets the size; () for a scalar."""
    text: str

    @property
    def is_number(self) -> bool:
        """Whether it holds numbers (not text, binary or clocks)."""
        return self.type not in {"String", "Binary", "Clock"}

    @property
    def is_float(self) -> bool:
        """Whether it is a real number of double precision."""
        return self.type in {"Real", "Float64"}

    def rounding(self, bound: float) -> float:
        """Return by how much a value may pass a bound, both in its unit: the rounding of the FMU and of its type."""
        share = _SINGLE if self.type == "Float32" else _ROUNDING
        return max(_ROUNDING, share * abs(bound))


@dataclass(frozen=True, kw_only=True)
class FmuInfo:
    """What an FMU says of itself."""

    file: Path
    sha256: str
    fmi_version: str
    """'2.0' or '3.0'."""
    model_name: str
    token: str
    """guid (2.0) or instantiationToken (3.0)."""
    text: str
    generation_tool: str
    variables: tuple[FmuVariable, ...]
    unit_factors: Mapping[str, tuple[tuple[int, ...], float, float]]
    """Unit definitions: name -> (exponents of kg, m, s, A, K, mol, cd, rad; factor; offset) to SI base units."""
    platforms: tuple[str, ...]
    """Folders below ``binaries``, as named in the archive."""
    has_sources: bool
    co_simulation: str | None
    """Model identifier of the Co-Simulation interface, None where there is none."""
    model_exchange: str | None
    once_per_process: bool
    needs_execution_tool: bool
    can_save_state: bool
    can_serialise_state: bool
    can_handle_variable_step: bool
    has_event_mode: bool
    may_return_early: bool
    fixed_step_s: float | None
    default_stop_s: float | None
    default_step_s: float | None
    default_tolerance: float | None
    n_states: int
    n_event_indicators: int
    problems: tuple[str, ...] = ()
    """What static validation finds; such an FMU may still work."""

    def variable(self, name: str) -> FmuVariable | None:
        """Return the variable of that name, None if there is none."""
        return next((entry for entry in self.variables if entry.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How one row of a block and one variable of the FMU correspond: ``variable = signal * factor + offset``."""

    signal: str
    variable: str
    factor: float = 1.0
    offset: float = 0.0
    take: Take = Take.LAST
    """Outputs only."""
    low: float = -np.inf
    """Outputs only, in the unit of the signal: below it the run stops."""
    high: float = np.inf
    is_amount: bool = False
    """Inputs only: the signal is an amount of the whole step, which is shared out evenly over its communication steps."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FleetSpec:
    """N devices that are run by FMUs; can be sent to another process."""

    label: str
    """Name for messages, e.g. ``devices[3] pump``."""
    file: Path
    size: int
    inputs: tuple[Wire, ...]
    outputs: tuple[Wire, ...]
    parameters: Mapping[str, Value | FloatArray] = field(default_factory=dict)
    """By name of a variable (parameters, start values of inputs and states): one value, or one for each device, shape (N,)."""
    interface: Interface = Interface.AUTO
    array_size: str | None = None
    """Structural parameter that sets the number of devices of ONE FMI 3.0 instance; None for one instance each."""
    step_s: float | None = None
    """Communication step; None for the step of the run. A step of the run is a whole number of them."""
    tolerance: float = 1e-6
    """Relative tolerance of CVode, and of a Co-Simulation FMU that takes one."""
    trusted: bool = False
    """Run in this process instead of one of its own."""
    on_failure: OnFailure = OnFailure.END
    timeout_s: float = 60.0
    """A step of the fleet that takes longer counts as hung."""
    save_every: int = 60
    """RESTART: steps between saved states."""

    def named(self, device: int) -> str:
        """Return the start of a message about a device; with one device only its number says nothing."""
        which = "" if self.size == 1 else f" device {device} of 0..{self.size - 1}:"
        return f"{self.label}: {self.file.name}:{which}"


@dataclass(frozen=True, kw_only=True)
class UnpackedFmu:
    """An FMU on disk for as long as it is used."""

    info: FmuInfo
    folder: Path


class Engine(Protocol):
    """N running instances of one FMU (or one instance that holds N devices), in the units of the FMU.

    Made by ``open_engine``; initialised when it is returned, at time 0.
    """

    @property
    def size(self) -> int:
        """Number of devices N."""
        ...

    def outputs(self) -> FloatArray:
        """Return the outputs as they are, shape (outputs, N)."""
        ...

    def advance(self, inputs: FloatArray, *, time_s: float, dt_s: float) -> FloatArray:
        """Set the inputs, shape (inputs, N), make one communication step, and return the outputs, shape (outputs, N).

        Raises:
            FmuStepError: a status other than OK or warning that cannot be recovered, with device, status, time and
                the FMU's own messages.
        """
        ...

    def save(self) -> bytes:
        """Return the serialised state of all instances; ``StateError`` where the FMU cannot."""
        ...

    def restore(self, state: bytes) -> None:
        """Set a serialised state; ``StateError`` where the FMU cannot or the state is of another fleet."""
        ...

    def close(self) -> None:
        """Terminate and free all instances and the library; may be called again."""
        ...
