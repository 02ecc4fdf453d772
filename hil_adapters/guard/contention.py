"""Whether somebody else writes to a device: what is read back differs from what was written. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hil_adapters.samples import Quality, Sample

__all__ = ["ContentionWatch", "Mismatch", "matches"]

_IN_A_ROW = 2
"""One odd reading may be a device that answers between two registers."""
_ROUNDING = 1e-6


def matches(read: float, written: float, tolerance: float) -> bool:
    """Return whether a value read back is the one that was written, within the tolerance of its rules."""
    return abs(read - written) <= tolerance + _ROUNDING * max(1.0, abs(written))


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A point that does not hold what was written."""

    point: str
    read: float
    written: float


class ContentionWatch:
    """Compares readings with what was written. A reading counts once, and only if it is younger than the write."""

    def __init__(self) -> None:
        self._seen_s: dict[str, float] = {}
        self._odd: dict[str, int] = {}

    def clear(self) -> None:
        """Begin again, after a write."""
        self._odd.clear()

    def look(
        self,
        written: Mapping[str, float],
        tolerances: Mapping[str, float],
        values: Mapping[str, Sample],
        *,
        written_s: float,
    ) -> Mismatch | None:
        """Return a point that held another value in two readings in a row; None where all is well or nothing came.

        Args:
            written: What was written, by point, in its unit.
            tolerances: By point.
            values: Newest samples by point.
            written_s: When the last write was read back, on the clock of the samples [s].
        """
        for point, value in written.items():
            sample = values.get(point)
            if sample is None or sample.quality not in {Quality.GOOD, Quality.UNCERTAIN}:
                continue
            if sample.received_s <= max(written_s, self._seen_s.get(point, -math.inf)):
                continue
            self._seen_s[point] = sample.received_s
            if matches(sample.value, value, tolerances.get(point, 0.0)):
                self._odd.pop(point, None)
                continue
            self._odd[point] = self._odd.get(point, 0) + 1
            if self._odd[point] >= _IN_A_ROW:
                return Mismatch(point, sample.value, value)
        return None
