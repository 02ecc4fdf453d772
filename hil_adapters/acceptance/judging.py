"""What readings say about a device: step responses, agreement with a meter, slope over voltage. Pure."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "Agreement",
    "Series",
    "Slope",
    "StepResponse",
    "agreement",
    "implausible",
    "slope_over_voltage",
    "step_response",
]

Series = Sequence[tuple[float, float]]
"""Times on one clock [s] and values, in order."""

_STAYED_S = 1.0
"""A value has settled when it has stayed inside its band for at least this long [s]."""
_BEGUN, _NEARLY_DONE = 0.1, 0.9
"""Shares of a step between which its speed is taken."""
_LEAST_SPAN_V = 2.0
_LEAST_R2 = 0.7
_LEAST_PAIRS = 20
_PLAUSIBLE: Mapping[str, tuple[float, float]] = {
    "vm_v": (0.0, 480.0),
    "vm_l1_v": (0.0, 480.0),
    "vm_l2_v": (0.0, 480.0),
    "vm_l3_v": (0.0, 480.0),
    "frequency_hz": (45.0, 66.0),
    "soc": (0.0, 1.0),
    "soh": (0.0, 1.2),
    "temp_degc": (-40.0, 120.0),
}
"""Readings outside cannot be true on a low-voltage grid of 50 or 60 Hz."""
_RATED_TOLERANCE = 1.2
_WATTS_FOR_KILOWATTS = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResponse:
    """How a device followed a step."""

    reached_after_s: float | None
    """When it first was inside the band [s]; None: never."""
    settled_after_s: float | None
    """When it came into the band for good [s]; None: it did not, or not for long enough."""
    ramp_per_s: float | None
    """Speed between 10 % and 90 % of the step, in the unit of the values a second; None: faster than the readings."""
    final: float
    """Mean of what it gave once settled, or of the last readings; NaN without any."""


def step_response(
    series: Series, *, start_s: float, begin: float, low: float, high: float, target: float
) -> StepResponse:
    """Return how values went from ``begin`` into the band from ``low`` to ``high``.

    Args:
        series: readings.
        start_s: when the step was asked for, on the clock of the readings; earlier ones do not count.
        begin: value before the step.
        low: lower end of the band in which the step is carried out; may be -inf.
        high: upper end; may be inf.
        target: value that the step leads to, for its ramp.
    """
    after = [(time_s - start_s, value) for time_s, value in series if time_s >= start_s]
    inside = [low <= value <= high for _, value in after]
    reached = next((time_s for (time_s, _), good in zip(after, inside, strict=True) if good), None)
    settled_at = len(after)
    while settled_at > 0 and inside[settled_at - 1]:
        settled_at -= 1
    settled = None
    if settled_at < len(after) and after[-1][0] - after[settled_at][0] >= _STAYED_S:
        settled = after[settled_at][0]
    last = [value for _, value in (after[settled_at:] if settled is not None else after[-3:])]
    return StepResponse(
        reached_after_s=reached,
        settled_after_s=settled,
        ramp_per_s=_ramp(after, begin, target),
        final=statistics.fmean(last) if last else math.nan,
    )


def _ramp(after: Series, begin: float, target: float) -> float | None:
    """Return the speed between 10 % and 90 % of a step; None where both lie between two readings, or are never passed."""
    step = target - begin
    if step == 0.0:
        return None
    share = [(time_s, (value - begin) / step) for time_s, value in after]
    tenth = next((time_s for time_s, done in share if done >= _BEGUN), None)
    most = next((time_s for time_s, done in share if done >= _NEARLY_DONE), None)
    if tenth is None or most is None or most <= tenth:
        return None
    return (_NEARLY_DONE - _BEGUN) * abs(step) / (most - tenth)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How readings of a device compare with those of a meter at the same terminal."""

    pairs: int
    device: float
    """Median of the device, over readings taken at about the same time."""
    meter: float
    """Median of the meter."""
    agrees: bool
    suspicion: str
    """What the difference looks like: the sign, or a power of ten; empty where nothing is obvious."""


def agreement(device: Series, meter: Series, *, tolerance: float, apart_s: float) -> Agreement:
    """Return how two series agree, from readings at most ``apart_s`` apart.

    Args:
        device: readings of the device.
        meter: readings of the meter, on the same clock and in the same unit.
        tolerance: largest difference of the medians.
        apart_s: how far two readings may lie apart in time [s].
    """
    pairs = [
        (value, near)
        for at_s, value in device
        if (near := _nearest(meter, at_s, apart_s=apart_s)) is not None
    ]
    if not pairs:
        return Agreement(pairs=0, device=math.nan, meter=math.nan, agrees=False, suspicion="")
    ours = statistics.median(value for value, _ in pairs)
    theirs = statistics.median(value for _, value in pairs)
    agrees = abs(ours - theirs) <= tolerance
    return Agreement(
        pairs=len(pairs),
        device=ours,
        meter=theirs,
        agrees=agrees,
        suspicion="" if agrees else _suspicion(ours, theirs, tolerance),
    )


def _nearest(series: Series, at_s: float, *, apart_s: float) -> float | None:
    """Return the value that was read nearest to ``at_s``; None where that is further away than ``apart_s``."""
    distance_s, value = min(
        ((abs(time_s - at_s), value) for time_s, value in series), default=(math.inf, math.nan)
    )
    return value if distance_s <= apart_s else None


def _suspicion(ours: float, theirs: float, tolerance: float) -> str:
    if abs(ours + theirs) <= tolerance:
        return "the sign is reversed"
    for power in (1, 2, 3, -1, -2, -3):
        scaled = ours * 10.0**power
        if abs(scaled - theirs) <= tolerance:
            return f"the scale is wrong by a factor of 10^{power}"
        if abs(scaled + theirs) <= tolerance:
            return f"the sign is reversed and the scale is wrong by a factor of 10^{power}"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """Power over voltage."""

    slope_kw_v: float | None
    """Consumption positive: positive where the device takes more or feeds in less at a higher voltage; None: not seen."""
    text: str


def slope_over_voltage(pairs: Sequence[tuple[float, float]]) -> Slope:
    """Return the slope of power [kW] over voltage [V] by least squares, where the voltage moved and explains the power.

    Args:
        pairs: voltage and power of the same moment.
    """
    if len(pairs) < _LEAST_PAIRS:
        return Slope(slope_kw_v=None, text=f"only {len(pairs)} readings of voltage and power")
    volts = [volt for volt, _ in pairs]
    span_v = max(volts) - min(volts)
    if span_v < _LEAST_SPAN_V:
        return Slope(
            slope_kw_v=None,
            text=f"the voltage moved by {span_v:.1f} V only; {_LEAST_SPAN_V:g} V are needed",
        )
    powers = [power for _, power in pairs]
    slope, offset = statistics.linear_regression(volts, powers)
    mean = statistics.fmean(powers)
    total = sum((power - mean) ** 2 for power in powers)
    left = sum((power - slope * volt - offset) ** 2 for volt, power in pairs)
    explained = 1.0 if total == 0.0 else 1.0 - left / total
    if explained < _LEAST_R2:
        return Slope(
            slope_kw_v=None,
            text=f"the voltage moved by {span_v:.1f} V and explains {100.0 * explained:.0f} % of the changes of power only",
        )
    return Slope(
        slope_kw_v=slope + 0.0,
        text=f"over {span_v:.1f} V; the voltage explains {100.0 * explained:.0f} % of the changes of power",
    )


def implausible(name: str, value: float, *, rated_kw: float | None) -> str | None:
    """Return why a signal cannot be true; None where it may be.

    Args:
        name: of the signal.
        value: in its unit.
        rated_kw: rating of the device, where it is known.
    """
    bounds = _PLAUSIBLE.get(name)
    if bounds is not None and not bounds[0] <= value <= bounds[1]:
        return f"{name} is {value:g}; {bounds[0]:g} to {bounds[1]:g} can be true"
    if name in {"p_kw", "q_kvar"} and rated_kw is not None and abs(value) > _RATED_TOLERANCE * rated_kw:
        hint = "; watts for kilowatts?" if abs(value) > _WATTS_FOR_KILOWATTS / 2.0 * rated_kw else ""
        return f"{name} is {value:g}, the device is rated {rated_kw:g} kW{hint}"
    return None
