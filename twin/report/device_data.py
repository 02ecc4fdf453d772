"""What a report shows of devices that keep their own state, independent of where it was stored."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.signals import Axis

__all__ = ["DeviceEntry", "DeviceOutput", "DeviceRun", "Energy", "OutputValues", "StrategyDevices"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOutput:
    """An output that is stored of each device of an entry."""

    name: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEntry:
    """The devices of one entry of the scenario."""

    label: str
    axis: Axis
    """LOAD, PV or BATTERY: whose powers are theirs."""
    devices: tuple[str, ...]
    """Names on the axis, at least one."""
    origin: str
    """What computes them, in all detail."""
    outputs: tuple[DeviceOutput, ...]
    buses: tuple[str, ...] = ()
    """Bus of each device; none for a run that was stored without them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Energy of all devices of an entry over the stored steps [kWh]."""

    taken_kwh: float
    """Consumed or charged, at least 0."""
    given_kwh: float
    """Fed in or discharged, at most 0."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OutputValues:
    """One output over the devices of an entry and the stored steps, in its unit."""

    lowest: float
    lowest_device: str
    lowest_step: int
    mean: float
    highest: float
    highest_device: str
    highest_step: int
    mean_series: NDArray[np.float64]
    """Mean over the devices in each step, shape (T,)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StrategyDevices:
    """What one strategy stored of the devices, in the order of the entries."""

    label: str
    position: int
    """Place of the strategy in the run, which decides its colour."""
    energy: tuple[Energy | None, ...]
    """None where not all devices of the entry have series."""
    outputs: tuple[tuple[OutputValues | None, ...], ...]
    """By entry and output; None where not all devices of the entry have series."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DeviceRun:
    """The devices of a run that keep their own state."""

    entries: tuple[DeviceEntry, ...]
    """At least one."""
    strategies: tuple[StrategyDevices, ...]
    """Those with a stored step."""
    left_out: tuple[str, ...] = ()
    """Sentences on what is not shown, and why."""
