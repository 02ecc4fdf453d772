"""What the simulation uses where a reading is old or missing: pure rules, one signal at a time.

A reading is *live* while it is as young as its polling makes it, *held* up to its limit of age, and then *substituted* by
the model that runs beside the device or by a declared safe value; or the run stops. It never becomes 0 by itself.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from hil_adapters.samples import NOTHING, Quality, Sample

__all__ = ["Choice", "SignalPolicy", "SourceUsed", "Then", "choose", "newest_good"]


class Then(StrEnum):
    """What follows a reading that is older than its limit."""

    MODEL = "model"
    """The model beside the device."""
    SAFE = "safe"
    """The declared safe value."""
    STOP = "stop"
    """The run ends."""


class SourceUsed(StrEnum):
    """Where a value of the simulation came from."""

    LIVE = "live"
    HELD = "held"
    MODEL = "model"
    SAFE = "safe"
    NONE = "none"
    """There is nothing to use: the run stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalPolicy:
    """Rules of one signal; times on the wall clock."""

    fresh_s: float
    """A reading is live up to this age [s]."""
    hold_s: float
    """The last good reading is used up to this age [s]."""
    then: Then
    safe: float | None = None
    """In the unit of the signal, of the one device; only with ``then: safe``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is used for one signal in one step."""

    value: float
    """In the unit of the signal; NaN only where ``source`` is NONE or MODEL (the caller has the model's value)."""
    quality: Quality
    age_s: float
    """Age of the last good reading [s]; infinite where there never was one."""
    source: SourceUsed


def newest_good(kept: Sample, arrived: Sample | None) -> Sample:
    """Return the newer of two readings that holds a number; ``NOTHING`` where neither does."""
    good = [
        sample
        for sample in (arrived, kept)  # of two with the same time the one that arrived
        if sample is not None and sample.quality <= Quality.STALE and math.isfinite(sample.value)
    ]
    return max(good, key=lambda sample: sample.received_s, default=NOTHING)


def choose(sample: Sample, policy: SignalPolicy, *, now_s: float) -> Choice:
    """Return what is used for a signal whose last good reading is ``sample``.

    Args:
        sample: as :func:`newest_good` returns it.
        policy: rules of the signal.
        now_s: the time on the clock of ``sample.received_s`` [s].
    """
    age_s = sample.age_s(now_s)
    has_value = sample.quality <= Quality.STALE and math.isfinite(sample.value)
    if has_value and sample.quality <= Quality.UNCERTAIN and age_s <= policy.fresh_s:
        return Choice(value=sample.value, quality=sample.quality, age_s=age_s, source=SourceUsed.LIVE)
    if has_value and age_s <= policy.hold_s:
        return Choice(value=sample.value, quality=Quality.STALE, age_s=age_s, source=SourceUsed.HELD)
    if policy.then is Then.SAFE and policy.safe is not None:
        return Choice(value=policy.safe, quality=Quality.SUBSTITUTED, age_s=age_s, source=SourceUsed.SAFE)
    if policy.then is Then.MODEL:
        return Choice(value=math.nan, quality=Quality.SUBSTITUTED, age_s=age_s, source=SourceUsed.MODEL)
    return Choice(value=math.nan, quality=Quality.BAD, age_s=age_s, source=SourceUsed.NONE)
