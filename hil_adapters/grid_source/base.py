"""What a source is that feeds the voltage of the simulated grid to a real device, and how far it may be moved."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from hil_adapters.errors import SourceError

__all__ = ["GridSource", "Output", "SourceLimits", "SourceReading", "Stepper"]


class Output(StrEnum):
    """The output of a source."""

    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLimits:
    """What may be asked of a source; set by a person for the rig."""

    nominal_v: float
    """Of a phase to neutral [V]."""
    low_v: float
    high_v: float
    step_v: float
    """Largest change of a phase in one update [V]."""
    nominal_hz: float = 50.0
    low_hz: float = 47.5
    high_hz: float = 51.5
    step_hz: float = 0.5
    """Largest change in one update [Hz]."""
    current_a: float | None = None
    """Current limit of the source [A]; None leaves the one that is set on it."""

    def __post_init__(self) -> None:
        """Refuse limits that exclude the nominal point."""
        if not (
            0.0 < self.low_v <= self.nominal_v <= self.high_v < math.inf and 0.0 < self.step_v < math.inf
        ):
            raise SourceError(
                f"limits of the source: {self.low_v:g} to {self.high_v:g} V with steps of {self.step_v:g} V do not "
                f"enclose {self.nominal_v:g} V; give low <= nominal <= high and a positive step"
            )
        if not (
            0.0 < self.low_hz <= self.nominal_hz <= self.high_hz < math.inf and 0.0 < self.step_hz < math.inf
        ):
            raise SourceError(
                f"limits of the source: {self.low_hz:g} to {self.high_hz:g} Hz with steps of {self.step_hz:g} Hz do "
                f"not enclose {self.nominal_hz:g} Hz; give low <= nominal <= high and a positive step"
            )
        if self.current_a is not None and not 0.0 < self.current_a < math.inf:
            raise SourceError(
                f"limits of the source: a current limit of {self.current_a:g} A; give a positive one"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReading:
    """What a source says of itself."""

    voltage_v: tuple[float, ...]
    """Set voltage by phase [V]."""
    frequency_hz: float
    output: Output


class GridSource(Protocol):
    """A source that can be set. Every method raises ``SourceError`` where the source refuses or does not answer."""

    @property
    def is_frozen(self) -> bool:
        """Whether changes are refused."""
        ...

    async def open(self) -> str:
        """Connect and return what the source calls itself."""
        ...

    async def configure(self, limits: SourceLimits) -> SourceReading:
        """Take the limits, read the set-points, and return them; nothing but the current limit is changed."""
        ...

    async def set_voltage(self, voltage_v: Sequence[float]) -> tuple[float, ...]:
        """Move each phase towards ``voltage_v`` by one step at most, and return what was set [V]."""
        ...

    async def set_frequency(self, frequency_hz: float) -> float:
        """Move towards ``frequency_hz`` by one step at most, and return what was set [Hz]."""
        ...

    async def switch(self, output: Output) -> None:
        """Switch the output; allowed while frozen."""
        ...

    async def read(self) -> SourceReading:
        """Return the set-points and the output as the source states them."""
        ...

    def freeze(self) -> None:
        """Keep voltage and frequency where they are; until :meth:`thaw` every change is refused."""
        ...

    def thaw(self) -> None:
        """Allow changes again."""
        ...

    async def close(self) -> None:
        """End the connection; the source keeps its set-points and its output."""
        ...


class Stepper:
    """Bounds the way to a target: never outside the limits, never more than a step at once. Pure."""

    def __init__(self, limits: SourceLimits, *, voltage_v: Sequence[float], frequency_hz: float) -> None:
        self.limits = limits
        self.voltage_v = tuple(voltage_v)
        """Where the phases are [V]."""
        self.frequency_hz = frequency_hz

    def next_voltage_v(self, target_v: Sequence[float]) -> tuple[float, ...]:
        """Return the next voltage of each phase on the way to ``target_v`` [V].

        Raises:
            SourceError: a target is not a number, or there are more or fewer than there are phases.
        """
        if len(target_v) != len(self.voltage_v):
            raise SourceError(
                f"voltage of the source: {len(target_v)} values for {len(self.voltage_v)} phases; give one for each"
            )
        limits = self.limits
        return tuple(
            _towards(held_v, target, low=limits.low_v, high=limits.high_v, step=limits.step_v)
            for held_v, target in zip(self.voltage_v, target_v, strict=True)
        )

    def next_frequency_hz(self, target_hz: float) -> float:
        """Return the next frequency on the way to ``target_hz`` [Hz]; ``SourceError`` where it is not a number."""
        limits = self.limits
        return _towards(
            self.frequency_hz, target_hz, low=limits.low_hz, high=limits.high_hz, step=limits.step_hz
        )


def _towards(held: float, target: float, *, low: float, high: float, step: float) -> float:
    if not math.isfinite(target):
        raise SourceError(f"set-point of the source: {target} is not a number; the source keeps {held:g}")
    wanted = min(max(target, low), high)
    return min(max(wanted, held - step), held + step)
