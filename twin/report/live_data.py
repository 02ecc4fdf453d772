"""What a report shows of a run in real time, independent of where it was stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Curve",
    "LiveDevice",
    "LiveEvent",
    "LiveRun",
    "OutsideDevice",
    "Reading",
    "Seen",
    "StrategyLive",
    "Traffic",
    "WireSeries",
    "Writes",
]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the simulation used for one signal of one device, in steps."""

    signal: str
    live: int
    held: int
    model: int
    safe: int
    oldest_s: float
    """Largest age of a reading that was used, live or held [s]."""

    @property
    def steps(self) -> int:
        """All of them."""
        return self.live + self.held + self.model + self.safe

    @property
    def share_not_live(self) -> float:
        """Share of the steps in which the value was not live [1]; 0 before the first."""
        return 1.0 - self.live / self.steps if self.steps else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveDevice:
    """One device on the wire."""

    name: str
    hardware: bool
    map_name: str
    serial: str
    """Empty where it is not known."""
    target: str
    """Where it answered, in words; empty where it is not known."""
    stands_for: float
    alpha: float
    """Share of a change of voltage that it was told in a step [1]."""
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideDevice:
    """A device of the run's own that was emulated for a controller outside."""

    name: str
    address: str
    map_name: str
    steps: int
    steps_commanded: int
    """Steps in which a command was in force."""
    writes: int
    """Writes that were taken."""
    refused: int
    oldest_write_s: float | None
    """Largest age of the last write in a step [s]; None: nobody wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveEvent:
    """Something that happened."""

    utc: str
    """ISO time."""
    step: int | None
    """None where it is not known, as before the first step."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What passed between the program and a device."""

    requests: int
    unanswered: int
    """Requests that no frame followed before the next one."""
    round_trip_s: Array
    """From a request to the next frame of the device, shape (requests - unanswered,) [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """What the guardian wrote to a device, from its audit."""

    commands: int = 0
    """Frames that carried a set-point into force or changed it, all their points counted."""
    refreshes: int = 0
    """Frames that only kept a watchdog from running out."""
    other: int = 0
    """Frames of releases and safe states."""
    not_confirmed: int = 0
    refused: int = 0
    """Set-points that a rule refused; of repeated ones the first."""
    dry: int = 0
    """What would have been written in a dry run."""


@dataclass(frozen=True, kw_only=True, eq=False)
class WireSeries:
    """What the simulation used and stored of one device, shape (T,) each; powers of all that it stands for."""

    axis: str
    """pv, battery or load."""
    p_kw: Array
    q_kvar: Array
    quality: Array
    """0 good, 1 uncertain, 2 held, 3 replaced."""
    age_s: Array
    commanded_kw: Array | None
    """None for a device without commands."""
    in_force: Array | None
    vm_pu: Array | None
    """Simulated voltage at its bus [pu]; None where it was not stored."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """Readings of one device as it gave them, of the one device, shape (M,) each; only live ones."""

    step: NDArray[np.int64]
    vm_v: Array
    q_kvar: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Reactive power over voltage as the scenario sets it, for one device."""

    vm_pu: Array
    q_kvar: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class StrategyLive:
    """The real time of one strategy."""

    key: str
    label: str
    mode: str
    speed: float
    timing: Mapping[str, float] | None
    """Summary of the punctuality; None in a replay or where no step ended."""
    invalid: tuple[str, ...]
    lateness_s: Array
    """Start of each step after its deadline, shape (T,)."""
    work_s: Array
    devices: tuple[LiveDevice, ...]
    loop: str = ""
    """What was found of the loop of devices and feeder, in words; empty where no device sees the simulated voltage."""
    outside: tuple[OutsideDevice, ...] = ()
    series: Mapping[str, WireSeries] = field(default_factory=dict)
    """By device; those that are stored."""
    seen: Mapping[str, Seen] = field(default_factory=dict)
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    writes: Mapping[str, Writes] = field(default_factory=dict)
    events: tuple[LiveEvent, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveRun:
    """The strategies that ran in real time, or repeated one that did."""

    strategies: tuple[StrategyLive, ...]
    """At least one."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    """By device, of those with a Q(V) function in the scenario that may be drawn over their readings."""
    faults: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By label of the entry: faults that the scenario gives its devices."""
    replay_of: str = ""
    notes: tuple[str, ...] = ()
    """Sentences on what is not shown, and why."""
