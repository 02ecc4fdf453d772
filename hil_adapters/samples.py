"""What is known of a value that comes from a device: the number, how good it is, and how old."""

import math
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["NOTHING", "Quality", "Sample"]


class Quality(IntEnum):
    """How far a value may be trusted; larger is worse."""

    GOOD = 0
    UNCERTAIN = 1
    """It came, but something about it is odd: a changed scale factor, a retry, a counter that went back."""
    STALE = 2
    """It was good once and is older than its limit."""
    SUBSTITUTED = 3
    """It comes from the model beside the device, or is the declared safe value."""
    BAD = 4
    """There is no value: not implemented, refused, or never read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value of a device."""

    value: float
    """In the unit of its point or signal; NaN only where ``quality`` is BAD."""
    quality: Quality
    received_s: float
    """When it arrived, on the monotonic clock of the process that read it [s]; NaN where it never did."""
    device_time_s: float = math.nan
    """The device's own time stamp, seconds since 1970-01-01 UTC, where it gives one."""

    def age_s(self, now_s: float) -> float:
        """Return the age at ``now_s`` on the same clock [s]; infinite where it never arrived."""
        return math.inf if math.isnan(self.received_s) else now_s - self.received_s


NOTHING = Sample(value=math.nan, quality=Quality.BAD, received_s=math.nan)
"""Nothing has arrived yet."""
