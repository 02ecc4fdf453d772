"""What may be written: bounds, ramps and refusals. Pure; signals, previous values and times are arguments.

A command is a set-point of the twin in its own unit (kW, consumption positive; a limit is a magnitude). It must lie within the
lab's limits and the device's ratings, and ramps in its own unit. The points it is written to have rules of their own in the
register map; the tighter of all counts.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hil_adapters.guard.messages import Limits
from hil_adapters.maps.schema import WriteClass, WriteRules
from hil_adapters.samples import Quality, Sample

__all__ = [
    "RATINGS",
    "Accepted",
    "Range",
    "Refused",
    "Verdict",
    "admit",
    "admit_constant",
    "admit_point",
    "command_range",
    "held_between",
    "is_limit",
    "measured_breach",
    "narrow_by_soc",
    "ramp_allowance",
    "ramp_start",
    "ramped",
    "unknown_bound",
]

RATINGS = ("p_rated_kw", "charge_kw", "discharge_kw")
"""Signals by which a device tells what it can do [kW]."""

_DIGITS = 1e-9
_LONGEST_RAMP_S = 1.0
"""A ramp moves on at every turn of the guard; a longer pause does not save up for a jump."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A value that may be written; infinite: the release."""

    value: float
    notes: tuple[str, ...] = ()
    """What was changed, and by whose limit."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing may be written."""

    reason: str


Verdict = Accepted | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What a command may ask for, in its unit, and who says so."""

    low: float
    high: float
    low_by: str
    high_by: str

    def narrowed(self, low: float, high: float, by: str) -> "Range":
        """Return the tighter of this range and another one."""
        return Range(
            low=max(self.low, low),
            high=min(self.high, high),
            low_by=by if low > self.low else self.low_by,
            high_by=by if high < self.high else self.high_by,
        )


def is_limit(command: str) -> bool:
    """Return whether a command is a limit (``p_limit_kw``): a magnitude that infinity takes away."""
    return "_limit_" in command


def command_range(command: str, *, lab: Limits | None, signals: Mapping[str, Sample]) -> Range | Refused:
    """Return the tighter of the lab's limits and the ratings that the device itself tells.

    Ratings are the signals ``p_rated_kw``, ``charge_kw`` and ``discharge_kw``, as far as the map has them; one that it has
    and cannot read refuses the command.
    """
    found = Range(low=-math.inf, high=math.inf, low_by="", high_by="")
    if is_limit(command):
        found = found.narrowed(0.0, math.inf, "a limit is a magnitude")
    if lab is not None:
        found = found.narrowed(lab.low, lab.high, "the lab's limit")
    if not command.startswith("p_"):
        return _open(command, found)
    for name in RATINGS:
        sample = signals.get(name)
        if sample is None:
            continue
        rated_kw = abs(sample.value)
        if sample.quality not in {Quality.GOOD, Quality.UNCERTAIN, Quality.STALE} or not math.isfinite(
            rated_kw
        ):
            return Refused(f"{command}: the rating {name} of the device is not known; it must be read first")
        low_kw = -rated_kw if name != "charge_kw" else -math.inf
        high_kw = rated_kw if name != "discharge_kw" else math.inf
        found = found.narrowed(low_kw, high_kw, f"the device's rating {name}")
    return _open(command, found)


def _open(command: str, found: Range) -> Range | Refused:
    if found.low > found.high:
        return Refused(
            f"{command}: nothing is allowed between {found.low:g} ({found.low_by}) and {found.high:g} ({found.high_by})"
        )
    return found


def narrow_by_soc(
    command: str, allowed: Range, *, bounds: Limits | None, soc: Sample | None
) -> Range | Refused:
    """Return what a power set-point may ask of a battery whose own state of charge is ``soc`` (0 to 1).

    Charging ends at the upper bound and discharging at the lower one; without a good value of the device itself nothing is
    asked of it. The state of charge of a model beside the device is never used.
    """
    if command != "p_set_kw":
        return allowed
    if soc is None or soc.quality not in {Quality.GOOD, Quality.UNCERTAIN} or math.isnan(soc.value):
        return Refused(
            f"{command}: the device does not tell its state of charge; nothing is asked of a battery blindly"
        )
    low, high = (0.0, 1.0) if bounds is None else (bounds.low, bounds.high)
    if soc.value >= high:
        allowed = allowed.narrowed(-math.inf, 0.0, f"its state of charge of {soc.value:.3f}")
    if soc.value <= low:
        allowed = allowed.narrowed(0.0, math.inf, f"its state of charge of {soc.value:.3f}")
    return _open(command, allowed)


def measured_breach(limits: Mapping[str, Limits], signals: Mapping[str, Sample]) -> str | None:
    """Return what a measured signal (other than ``soc``) does outside its limits; None where all is well or not known."""
    for name, bounds in limits.items():
        sample = signals.get(name)
        if name == "soc" or sample is None or sample.quality not in {Quality.GOOD, Quality.UNCERTAIN}:
            continue
        if not bounds.low <= sample.value <= bounds.high:
            return f"{name} is {sample.value:g}, outside {bounds.low:g} to {bounds.high:g}"
    return None


def unknown_bound(limits: Mapping[str, Limits], signals: Mapping[str, Sample]) -> str | None:
    """Return which measured signal (other than ``soc``) the lab bounds and nobody can read; None where there is none.

    A signal that the device does not have is told when it is armed; names of commands are not signals.
    """
    for name in limits:
        sample = signals.get(name)
        if name == "soc" or sample is None:
            continue
        if sample.quality not in {Quality.GOOD, Quality.UNCERTAIN} or math.isnan(sample.value):
            return f"{name}, which the lab bounds, is not known; nothing is asked of the device blindly"
    return None


def held_between(low: float, high: float, *, step: float, offset: float) -> tuple[float, float]:
    """Return the smallest and the largest value from ``low`` to ``high`` that a register holds: ``offset`` plus steps.

    Without a step that is known the ends are left; the write is refused for the same reason.
    """
    if not 0.0 < step < math.inf:
        return low, high
    first, last = (low - offset) / step, (high - offset) / step
    # an end that is itself held must not be lost to the last digit of a division
    return (
        low if math.isinf(first) else math.ceil(first - _DIGITS * max(1.0, abs(first))) * step + offset,
        high if math.isinf(last) else math.floor(last + _DIGITS * max(1.0, abs(last))) * step + offset,
    )


def admit(command: str, asked: float, allowed: Range) -> Verdict:
    """Return what of a command's value may go on: refuses what is no number, clamps to the range."""
    if math.isnan(asked):
        return Refused(f"{command}: is not a number")
    if asked == math.inf and is_limit(command):
        return Accepted(math.inf)
    if math.isinf(asked):
        return Refused(f"{command}: {asked} is not a set-point")
    if asked > allowed.high:
        return Accepted(allowed.high, (f"{command}: clamped to {allowed.high:g} by {allowed.high_by}",))
    if asked < allowed.low:
        return Accepted(allowed.low, (f"{command}: clamped to {allowed.low:g} by {allowed.low_by}",))
    return Accepted(asked)


def ramp_allowance(ramp_per_s: float | None, *, since_s: float, min_interval_s: float = 0.0) -> float:
    """Return by how much a value may change, ``since_s`` after it was written last; infinite without a ramp."""
    if ramp_per_s is None:
        return math.inf
    return ramp_per_s * min(max(since_s, 0.0), max(_LONGEST_RAMP_S, min_interval_s))


def ramped(asked: float, previous: float | None, allowance: float) -> Verdict:
    """Return ``asked``, or as near to it as ``allowance`` lets it come from ``previous``.

    Where there is a ramp, a start that is not known refuses: the step could have any height.
    """
    if math.isinf(allowance):
        return Accepted(asked)
    if previous is None or not math.isfinite(previous):
        return Refused("its present value is not known and it has a ramp; it must be read first")
    return Accepted(min(max(asked, previous - allowance), previous + allowance))


def ramp_start(command: str, allowed: Range, signals: Mapping[str, Sample]) -> float | None:
    """Return where a command that is not in force begins its ramp; None where that is not known.

    A limit begins at the top of its range, because a device without a limit may give that much; a set-point begins at the
    power that the device measures.
    """
    if is_limit(command) and math.isfinite(allowed.high):
        return allowed.high
    measured = signals.get("p_kw" if command.startswith("p_") else "q_kvar")
    if measured is None or measured.quality not in {Quality.GOOD, Quality.UNCERTAIN}:
        return None
    return abs(measured.value) if is_limit(command) else measured.value


def admit_point(
    point: str, asked: float, rules: WriteRules | None, *, previous: float | None, allowance: float
) -> Verdict:
    """Return what of a set-point may be written to a point: allow-list, class, bounds, ramp.

    Args:
        point: Its name.
        asked: In the point's unit.
        rules: Those of the map; None: the point is not on the allow-list.
        previous: What is in force, in the point's unit; None where that is not known.
        allowance: Largest change from ``previous``; infinite without a ramp.
    """
    refusal = _refusal(asked, rules)
    if rules is None or refusal is not None:
        return Refused(f"{point}: {refusal}")
    value = min(max(asked, rules.low), rules.high)
    notes = () if value == asked else (f"{point}: clamped to {value:g} by the register map",)
    match ramped(value, previous, allowance):
        case Refused(reason):
            return Refused(f"{point}: {reason}")
        case Accepted(value):
            # where the device holds a value outside, the ramp leads back in, but the map's bounds are stronger
            return Accepted(min(max(value, rules.low), rules.high), notes)


def admit_constant(point: str, value: float, rules: WriteRules | None) -> Verdict:
    """Return whether a constant of a sequence may be written; it is never changed to fit."""
    refusal = _refusal(value, rules)
    if rules is None or refusal is not None:
        return Refused(f"{point}: {refusal}")
    if not rules.low <= value <= rules.high:
        return Refused(
            f"{point}: {value:g} lies outside {rules.low:g} to {rules.high:g} of its rules; correct the map"
        )
    return Accepted(value)


def _refusal(value: float, rules: WriteRules | None) -> str | None:
    if rules is None:
        return "has no rules in the register map and is never written"
    if rules.write_class is not WriteClass.VOLATILE:
        return f"is kept in flash or may be ({rules.write_class.value}); it is not written in a loop"
    if not math.isfinite(value):
        return f"{value} is not a number that can be written"
    return None
