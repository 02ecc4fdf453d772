"""What an acceptance test is asked to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hil_adapters.guard.messages import Limits
from hil_adapters.wire.base import Target

__all__ = ["AcceptanceOptions", "MeterOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterOptions:
    """A meter at the terminal of the device."""

    map_file: Path
    target: Target
    unit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceOptions:
    """One acceptance test."""

    map_file: Path
    target: Target
    unit: int
    folder: Path
    """Gets the audit of every write, and all frames and samples."""
    serial: str | None = None
    """Serial number that must answer; needed to write."""
    confirmation: str | None = None
    """Serial number as a person typed it to allow writes; None: nothing is written."""
    limits: Mapping[str, Limits] = field(default_factory=dict)
    """Limits of the lab by command; a command without any is not tried."""
    meter: MeterOptions | None = None
    seconds: float = 60.0
    """How long the device is only read [s]."""
    poll_s: float = 0.2
    """Period of readings [s]."""
    settle_s: float = 15.0
    """How long a step may take to settle, besides the time of the lab's ramp [s]."""
    valid_days: float = 30.0
    """How long the report counts."""
