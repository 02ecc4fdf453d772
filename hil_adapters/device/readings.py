"""What a session knows of its device: the newest sample of every point, and which reads keep it new. Does no I/O."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

from hil_adapters.device.judging import Finding, PointJudge, counters_of
from hil_adapters.device.oddities import Oddities, merged
from hil_adapters.errors import MapError
from hil_adapters.maps.blocks import BlockDecoder
from hil_adapters.maps.plan import ReadBlock, group_plan, read_plan
from hil_adapters.maps.schema import Group, Point, RegisterMap
from hil_adapters.samples import NOTHING, Quality, Sample

__all__ = ["Readings"]

_ABSENT = "not implemented"
"""How the reason begins where the device sends its sign for a missing value, which is nothing odd."""
_GROUPS: tuple[Group, ...] = ("once", "slow", "fast")


class Readings:
    """Samples by point, judged as they come in, and the blocks that are read for each group."""

    def __init__(self, map_: RegisterMap) -> None:
        self._limits_s: dict[Group, float] = dict.fromkeys(_GROUPS, math.inf)
        self._map = map_
        self._points: dict[str, Point] = {}
        self._judges: dict[str, PointJudge] = {}
        self._samples: dict[str, Sample] = {}
        self._texts: dict[str, str] = {}
        self._reasons: dict[str, str] = {}
        self._decoders: dict[ReadBlock, BlockDecoder] = {}
        self._oddities = Oddities(self._points)
        self._refused: set[str] = set()
        self._blocks: dict[Group, list[ReadBlock]] = {}
        self.reset(map_)

    def reset(self, map_: RegisterMap) -> None:
        """Begin again with another map: nothing of what was read is kept.

        Raises:
            MapError: points cannot be read as the map says.
        """
        self._map = map_
        self._points = {point.name: point for point in map_.points}
        counters = counters_of(map_)
        self._judges = {point.name: PointJudge(point, counters=counters) for point in map_.points}
        self._oddities = Oddities(self._points)
        self._decoders.clear()
        self._reasons.clear()
        self.forget()
        self.forget_refusals()

    @property
    def points(self) -> Mapping[str, Point]:
        """The points of the map by name."""
        return self._points

    @property
    def texts(self) -> Mapping[str, str]:
        """Values of points that hold text."""
        return self._texts

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why points have no value, by point, in words."""
        return self._reasons

    @property
    def refused(self) -> frozenset[str]:
        """Points that are not polled again on this connection because the device refuses them."""
        return frozenset(self._refused)

    def blocks(self, group: Group) -> Sequence[ReadBlock]:
        """Return the reads of a group."""
        return self._blocks[group]

    def plan(self, names: Iterable[str]) -> tuple[ReadBlock, ...]:
        """Return the reads that give the named points.

        Raises:
            MapError: a point is not in the map or cannot be read.
        """
        return read_plan(self._map, names)

    def forget_refusals(self) -> None:
        """Poll every readable point again: on a fresh connection the device may have changed its mind."""
        self._refused.clear()
        for group in _GROUPS:
            self._blocks[group] = list(group_plan(self._map, group))

    def limit_age(self, *, fast_s: float, slow_s: float) -> None:
        """Call samples stale that are older than this [s]; points of the group ``once`` never are."""
        self._limits_s = {"fast": fast_s, "slow": slow_s, "once": math.inf}

    def take(self, block: ReadBlock, registers: Sequence[int], *, now_s: float) -> list[Finding]:
        """Take the answer to a read and return what is odd about it, or not odd any more; one finding for each cause."""
        decoder = self._decoders.get(block)
        if decoder is None:
            decoder = self._decoders[block] = BlockDecoder(self._map, block)
        values = decoder.decode(registers)
        found: list[tuple[str, Finding]] = []
        missing = False
        for name, value in values.items():
            if isinstance(value, str):
                self._texts[name] = value
                self._reasons.pop(name, None)
                continue
            if value is None:
                missing = True
                self._texts.pop(name, None)
            else:
                self._reasons.pop(name, None)
            self._samples[name], findings = self._judges[name].judge(
                value, exponent=self._exponent(name, values), now_s=now_s
            )
            found.extend((name, finding) for finding in findings)
        reasons = decoder.reasons(registers) if missing else {}
        self._reasons.update(reasons)
        odd = {name: reason for name, reason in reasons.items() if not reason.startswith(_ABSENT)}
        return [*merged(found, self._points), *self._oddities.take(values, odd)]

    def doubt(self, names: Iterable[str]) -> None:
        """Call the newest samples of points uncertain: the device failed to renew them."""
        for name in names:
            sample = self._samples.get(name)
            if sample is not None and sample.quality is Quality.GOOD:
                self._samples[name] = dataclasses.replace(sample, quality=Quality.UNCERTAIN)

    def refuse(self, name: str, reason: str) -> None:
        """Call a point bad for this connection and read it no more, nor what is scaled by it."""
        gone = {name, *(point.name for point in self._map.points if point.scale_point == name)}
        self._refused |= gone
        for lost in gone:
            self._samples[lost] = NOTHING
            self._texts.pop(lost, None)
            self._reasons[lost] = reason

    def narrow(self, group: Group, block: ReadBlock, parts: Iterable[ReadBlock]) -> None:
        """Read ``parts`` in place of a block that the device refuses as a whole."""
        kept = [other for other in self._blocks[group] if other != block]
        self._blocks[group] = [*kept, *parts]

    def forget(self) -> None:
        """Call everything bad: what was read belongs to another device."""
        self._samples.clear()
        self._texts.clear()

    def has_value(self, name: str) -> bool:
        """Return whether a point has a value, however old."""
        return name in self._texts or not math.isnan(self.last(name).value)

    def last(self, name: str) -> Sample:
        """Return the newest sample of a point, whatever its age."""
        return self._samples.get(name, NOTHING)

    def samples(self, now_s: float) -> dict[str, Sample]:
        """Return the samples of all points that were read, those that are too old as stale."""
        return {name: self._aged(name, sample, now_s) for name, sample in self._samples.items()}

    def exponent(self, point: Point) -> int | None:
        """Return the scale factor of a point that was read last; None where it has none or it is not known.

        Raises:
            MapError: the point is scaled and its scale factor is not known.
        """
        if point.scale_point is None:
            return None
        value = self.last(point.scale_point).value
        if math.isnan(value):
            raise MapError(
                f"{point.name}: its scale factor {point.scale_point} is not implemented or was refused; "
                "the point cannot be written, use another or correct the map"
            )
        return int(value)

    def _exponent(self, name: str, values: Mapping[str, float | str | None]) -> int | None:
        scale_point = self._points[name].scale_point
        if scale_point is None:
            return None
        value = values[scale_point]
        return int(value) if isinstance(value, float) else None

    def _aged(self, name: str, sample: Sample, now_s: float) -> Sample:
        if (
            sample.quality < Quality.STALE
            and now_s - sample.received_s > self._limits_s[self._points[name].group]
        ):
            return dataclasses.replace(sample, quality=Quality.STALE)
        return sample
