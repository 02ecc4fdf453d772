"""How far a reading may be trusted, seen against the readings before it. Pure: the clock is given."""

import math
from dataclasses import dataclass

from hil_adapters.device.events import EventKind
from hil_adapters.maps.schema import Point, RegisterMap, ValueType, candidates
from hil_adapters.samples import Quality, Sample

__all__ = ["Finding", "PointJudge", "counters_of", "span_of"]

_HALF_A_DECADE = 10**0.5
"""A value nearer to ten times the last one than to the last one itself has jumped by a decade."""
_ROLL_OVER_SHARE = 1 / 16
"""A counter that seems to have advanced by less than this share of its span passed its end; else it was reset."""
_SPANS = {
    ValueType.UINT16: 2.0**16,
    ValueType.UINT32: 2.0**32,
    ValueType.UINT64: 2.0**64,
    # a counter in a signed type goes back to 0 after its largest value
    ValueType.INT16: 2.0**15,
    ValueType.INT32: 2.0**31,
    ValueType.INT64: 2.0**63,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something odd about a reading."""

    kind: EventKind
    text: str


def counters_of(map_: RegisterMap) -> frozenset[str]:
    """Return the points that only grow: declared as counters, or behind a signal of energy (``e_...``)."""
    names = {point.name for point in map_.points if point.role == "counter"}
    for signal, binding in map_.signals.items():
        if signal.startswith("e_"):
            names.update(candidates(binding.point))
    return frozenset(names & {point.name for point in map_.points})


def span_of(point: Point, exponent: int | None) -> float | None:
    """Return after how much a counter begins again at zero, in the unit of the point; None for floats."""
    span = _SPANS.get(point.type)
    if span is None:
        return None
    return span * abs(point.scale) * (1.0 if exponent is None else 10.0**exponent)


class PointJudge:
    """Remembers the last readings of one point and judges the next."""

    __slots__ = (
        "_carried",
        "_counts",
        "_exponent",
        "_frozen_told",
        "_last",
        "_plain",
        "_point",
        "_same_since_s",
        "_uptime",
    )

    def __init__(self, point: Point, *, counters: frozenset[str] = frozenset()) -> None:
        self._point = point
        self._counts = point.name in counters
        self._uptime = point.role == "uptime"
        self._plain = (
            not self._counts
            and not self._uptime
            and point.scale_point is None
            and point.frozen_after_s is None
        )
        self._last = math.nan
        self._exponent: int | None = None
        self._carried = 0.0
        """What roll-overs of a counter have added."""
        self._same_since_s = math.nan
        self._frozen_told = False

    def judge(
        self, value: float | None, *, exponent: int | None, now_s: float
    ) -> tuple[Sample, tuple[Finding, ...]]:
        """Return the sample of a reading, and what is odd about it.

        Args:
            value: in the unit of the point; None where the device has none.
            exponent: the scale factor that was read together with it.
            now_s: when it arrived, on the monotonic clock [s].
        """
        if value is None:
            return Sample(value=math.nan, quality=Quality.BAD, received_s=now_s), ()
        if self._plain:
            return Sample(value=value, quality=Quality.GOOD, received_s=now_s), ()
        found = [
            finding
            for finding in (
                self._scale(value, exponent),
                self._counter(value, exponent),
                self._frozen(value, now_s),
            )
            if finding is not None
        ]
        self._last, self._exponent = value, exponent
        doubtful = self._frozen_told or any(finding.kind is not EventKind.ROLL_OVER for finding in found)
        return Sample(
            value=value + self._carried,
            quality=Quality.UNCERTAIN if doubtful else Quality.GOOD,
            received_s=now_s,
        ), tuple(found)

    def _scale(self, value: float, exponent: int | None) -> Finding | None:
        if exponent == self._exponent or self._exponent is None or math.isnan(self._last):
            return None
        low, high = sorted((abs(value), abs(self._last)))
        if high == 0.0 or (low > 0.0 and high / low < _HALF_A_DECADE):
            return None
        return Finding(
            kind=EventKind.SCALE_CHANGED,
            text=f"{self._point.name}: scale factor changed from {self._exponent} to {exponent} and the value from "
            f"{self._last:g} to {value:g} {self._point.unit}; it is uncertain until it is read again",
        )

    def _counter(self, value: float, exponent: int | None) -> Finding | None:
        if not (self._counts or self._uptime) or not value < self._last:
            return None
        span = span_of(self._point, exponent)
        if self._counts and span is not None and value + span - self._last < _ROLL_OVER_SHARE * span:
            self._carried += span
            return Finding(
                kind=EventKind.ROLL_OVER,
                text=f"{self._point.name}: passed its end at {span:g} {self._point.unit} and is counted on",
            )
        self._carried = 0.0
        return Finding(
            kind=EventKind.REBOOT,
            text=f"{self._point.name}: went back from {self._last:g} to {value:g} {self._point.unit}; the device has "
            "restarted, its set-points and timers may be lost",
        )

    def _frozen(self, value: float, now_s: float) -> Finding | None:
        limit_s = self._point.frozen_after_s
        if limit_s is None:
            return None
        if value != self._last:
            self._same_since_s = now_s
            self._frozen_told = False
            return None
        if self._frozen_told or now_s - self._same_since_s <= limit_s:
            return None
        self._frozen_told = True
        return Finding(
            kind=EventKind.FROZEN,
            text=f"{self._point.name}: has read {value:g} {self._point.unit} for {now_s - self._same_since_s:.1f} s; "
            f"its map allows {limit_s:g} s; the device may repeat an old reading",
        )
