"""Interface protection of CEI 0-21 and the conditions of connection, as a state machine over time.

Thresholds and times of 59.S1, 59.S2, 27.S1, 27.S2, 81>.S1 and 81<.S1 are those of a maker's guide to the autotest of Italian
inverters (Solis); start-up and reconnection times, the frequency window and the ramp are those of another (Sungrow, p. 20).
K, not verified: the second pair of frequency thresholds with its times, that the first pair acts only on a signal, and
the voltages between which a generator may connect.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["InterfaceProtection", "ProtectionSettings", "ProtectionState", "Threshold"]


class Threshold(BaseModel):
    """A relay: trips once its quantity has been beyond ``limit`` for ``delay_s`` without a break."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    limit: float = Field(gt=0, description="In pu of nominal voltage, or in Hz.")
    delay_s: float = Field(ge=0)


def _threshold(limit: float, delay_s: float) -> Threshold:
    return Threshold(limit=limit, delay_s=delay_s)


class ProtectionSettings(BaseModel):
    """Thresholds and times; every one may be changed, as an autotest does."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    overvoltage_mean: Threshold = Field(
        default=_threshold(1.10, 3.0), description="59.S1: the sliding mean of 10 min, 253 V."
    )
    overvoltage: Threshold = Field(default=_threshold(1.15, 0.2), description="59.S2: 264.5 V.")
    undervoltage: Threshold = Field(default=_threshold(0.85, 1.5), description="27.S1: 195.5 V.")
    undervoltage_deep: Threshold = Field(default=_threshold(0.15, 0.2), description="27.S2: 34.5 V.")
    overfrequency_narrow: Threshold = Field(default=_threshold(50.2, 0.1), description="81>.S1.")
    underfrequency_narrow: Threshold = Field(default=_threshold(49.8, 0.1), description="81<.S1.")
    overfrequency: Threshold = Field(default=_threshold(51.5, 1.0), description="81>.S2; K: not verified.")
    underfrequency: Threshold = Field(default=_threshold(47.5, 4.0), description="81<.S2; K: not verified.")
    narrow_frequency: bool = Field(
        default=False, description="Whether 81>.S1 and 81<.S1 act; K: only on a signal from outside."
    )
    mean_window_s: float = Field(default=600.0, gt=0, description="Window of the mean of 59.S1 [s].")
    connect_low_pu: float = Field(default=0.85, gt=0, description="K: lowest voltage to connect at.")
    connect_high_pu: float = Field(default=1.10, gt=0, description="K: highest voltage to connect at.")
    connect_low_hz: float = Field(default=49.90, gt=0)
    connect_high_hz: float = Field(default=50.10, gt=0)
    start_wait_s: float = Field(default=30.0, ge=0, description="In the window before the first connection.")
    trip_wait_s: float = Field(default=300.0, ge=0, description="In the window after a trip.")
    ramp_share_min: float = Field(
        default=0.20, gt=0, description="Feed-in may grow by this share of Pn in a minute after connecting."
    )
    reduction_start_hz: float = Field(
        default=50.2, gt=0, description="Above this frequency feed-in is reduced; see virtual.frequency."
    )
    reduction_droop: float = Field(
        default=0.026,
        gt=0,
        description="Share of nominal frequency over which all feed-in goes; K: the default is not verified.",
    )
    reduction_wait_s: float = Field(
        default=300.0, ge=0, description="In the window of connection before reduced feed-in comes back."
    )


class ProtectionState(StrEnum):
    """Whether the device is on the grid."""

    STARTING = "starting"
    """Waits for its first connection."""
    CONNECTED = "connected"
    TRIPPED = "tripped"
    """Opened by the relay named in ``tripped_by``; waits to reconnect."""


_SECONDS_PER_MINUTE: Final = 60.0
_MEAN_PART_S: Final = 1.0
_ROUNDING_S: Final = 1e-9
"""Sums of steps reach a time within this."""


class InterfaceProtection:
    """The relays of one device."""

    def __init__(self, settings: ProtectionSettings) -> None:
        self._settings = settings
        self._mean = _SlidingMean(settings.mean_window_s)
        self._beyond_s: dict[str, float] = {}
        self._in_window_s = 0.0
        self._share = 0.0
        self.state = ProtectionState.STARTING
        self.tripped_by: str | None = None
        """Relay of the last trip, e.g. ``59.S1``; None before the first."""

    @property
    def is_connected(self) -> bool:
        """Whether the device may exchange power."""
        return self.state is ProtectionState.CONNECTED

    @property
    def feed_in_share(self) -> float:
        """Largest feed-in allowed, as a share of rated power: 0 while open, then the ramp, at last 1."""
        return self._share if self.is_connected else 0.0

    @property
    def mean_pu(self) -> float:
        """Sliding mean of the voltage [pu]; before a whole window has passed, the past counts as the first value seen."""
        return self._mean.value

    def step(self, vm_pu: float, frequency_hz: float, *, dt_s: float) -> None:
        """Take voltage and frequency as they were during the last ``dt_s`` [s]."""
        self._mean.add(vm_pu, dt_s)
        tripped_by = self._relays(vm_pu, frequency_hz, dt_s)
        if self.is_connected:
            if tripped_by is None:
                self._grow(dt_s)
            else:
                self.state, self.tripped_by = ProtectionState.TRIPPED, tripped_by
                self._in_window_s = self._share = 0.0
        else:
            self._wait(vm_pu, frequency_hz, dt_s)

    def _relays(self, vm_pu: float, frequency_hz: float, dt_s: float) -> str | None:
        """Return the first relay that trips."""
        entry = self._settings
        narrow = entry.narrow_frequency
        beyond = (
            ("59.S1", entry.overvoltage_mean, self._mean.value > entry.overvoltage_mean.limit),
            ("59.S2", entry.overvoltage, vm_pu > entry.overvoltage.limit),
            ("27.S1", entry.undervoltage, vm_pu < entry.undervoltage.limit),
            ("27.S2", entry.undervoltage_deep, vm_pu < entry.undervoltage_deep.limit),
            (
                "81>.S1",
                entry.overfrequency_narrow,
                narrow and frequency_hz > entry.overfrequency_narrow.limit,
            ),
            (
                "81<.S1",
                entry.underfrequency_narrow,
                narrow and frequency_hz < entry.underfrequency_narrow.limit,
            ),
            ("81>.S2", entry.overfrequency, frequency_hz > entry.overfrequency.limit),
            ("81<.S2", entry.underfrequency, frequency_hz < entry.underfrequency.limit),
        )
        over: list[tuple[float, str]] = []
        for name, threshold, is_beyond in beyond:
            self._beyond_s[name] = self._beyond_s.get(name, 0.0) + dt_s if is_beyond else 0.0
            excess_s = self._beyond_s[name] - threshold.delay_s
            if is_beyond and excess_s >= -_ROUNDING_S:
                over.append((-excess_s, name))
        return min(over)[1] if over else None

    def _wait(self, vm_pu: float, frequency_hz: float, dt_s: float) -> None:
        entry = self._settings
        inside = (
            entry.connect_low_pu <= vm_pu <= entry.connect_high_pu
            and entry.connect_low_hz <= frequency_hz <= entry.connect_high_hz
            and self._mean.value <= entry.overvoltage_mean.limit
        )
        if not inside:
            self._in_window_s = 0.0
            return
        self._in_window_s += dt_s
        is_first = self.state is ProtectionState.STARTING
        left_s = self._in_window_s - (entry.start_wait_s if is_first else entry.trip_wait_s)
        if left_s >= -_ROUNDING_S:
            self.state = ProtectionState.CONNECTED
            self._share = 0.0
            self._grow(max(left_s, 0.0))

    def _grow(self, dt_s: float) -> None:
        grown = self._share + self._settings.ramp_share_min * dt_s / _SECONDS_PER_MINUTE
        self._share = min(grown, 1.0)


@dataclass(slots=True)
class _Part:
    area: float
    length_s: float


class _SlidingMean:
    """Mean over the last ``window_s``; parts of a second keep it cheap."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._parts: deque[_Part] = deque()
        self._area = 0.0
        self.value = 1.0

    def add(self, value: float, length_s: float) -> None:
        if not self._parts:
            self._append(value, self._window_s)
        last = self._parts[-1]
        if last.length_s < _MEAN_PART_S:
            last.area += value * length_s
            last.length_s += length_s
            self._area += value * length_s
        else:
            self._append(value, length_s)
        self._drop(length_s)
        self.value = self._area / self._window_s

    def _append(self, value: float, length_s: float) -> None:
        self._parts.append(_Part(value * length_s, length_s))
        self._area += value * length_s

    def _drop(self, length_s: float) -> None:
        """Forget as much at the old end as was added at the new one."""
        while length_s > 0.0 and self._parts:
            first = self._parts[0]
            if first.length_s <= length_s + _ROUNDING_S:
                self._parts.popleft()
                self._area -= first.area
                length_s -= first.length_s
            else:
                gone = first.area * (length_s / first.length_s)
                first.area -= gone
                first.length_s -= length_s
                self._area -= gone
                return
