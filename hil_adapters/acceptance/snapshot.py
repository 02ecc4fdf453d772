"""Everything a device says at one moment: every point with its registers. Only reads."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hil_adapters.device.session import DeviceSession
from hil_adapters.errors import ExceptionReplyError
from hil_adapters.maps.blocks import BlockDecoder
from hil_adapters.maps.codec import register_count
from hil_adapters.maps.plan import ReadBlock, read_plan
from hil_adapters.maps.schema import Access, Point, RegisterMap
from hil_adapters.samples import Quality
from hil_adapters.wire.pdu import read_request, read_values

__all__ = ["PointReading", "readable_points", "snapshot"]

_REFUSED = frozenset({1, 2, 3})
"""Exceptions by which a device refuses a read for good; a block is then read point by point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointReading:
    """One point as it was read."""

    point: Point
    value: float | str | None
    """In the unit of the point; None where the device gives none."""
    registers: tuple[int, ...]
    """As on the wire; empty where the device refused the read."""
    reason: str
    """Why there is no value; empty where there is one."""

    @property
    def quality(self) -> Quality:
        """Good, or bad where there is no value."""
        return Quality.BAD if self.value is None else Quality.GOOD

    @property
    def meaning(self) -> str:
        """The name that the map gives to the value or to its bits; empty where it gives none."""
        if not isinstance(self.value, float) or not math.isfinite(self.value):
            return ""
        number = int(self.value)
        if self.point.values:
            return self.point.values.get(number, "")
        return ", ".join(name for bit, name in sorted(self.point.bits.items()) if number >> bit & 1)


def readable_points(register_map: RegisterMap) -> tuple[str, ...]:
    """Return the names of the points that can be read."""
    return tuple(point.name for point in register_map.points if point.access is not Access.WRITE)


async def snapshot(session: DeviceSession, names: Sequence[str] | None = None) -> tuple[PointReading, ...]:
    """Read points of a connected device and return them in the order of the map.

    Args:
        session: connected.
        names: of the points; None: all that can be read.

    Raises:
        LinkError: the device does not answer; a refusal (exceptions 1 to 3) is a reading without a value.
        MapError: a name is not in the map, or cannot be read.
    """
    wanted = readable_points(session.map) if names is None else tuple(names)
    found: dict[str, PointReading] = {}
    for block in read_plan(session.map, wanted):
        found.update(await _block(session, block))
    chosen = set(wanted)
    return tuple(
        found[point.name] for point in session.map.points if point.name in chosen and point.name in found
    )


async def _block(session: DeviceSession, block: ReadBlock) -> dict[str, PointReading]:
    """Return the readings of a block; where the device refuses it, those of its points one by one."""
    try:
        registers = await _registers(session, block)
    except ExceptionReplyError as error:
        if error.code not in _REFUSED:
            raise
        if len(block.points) == 1:
            return _refused(session.map, block.points, str(error))
        found: dict[str, PointReading] = {}
        for name in block.points:
            for part in read_plan(session.map, (name,)):
                found.update(await _alone(session, part, name))
        return found
    decoder = BlockDecoder(session.map, block)
    values, reasons = decoder.decode(registers), decoder.reasons(registers)
    return {
        point.name: PointReading(
            point=point,
            value=values[point.name],
            registers=tuple(registers[point.address - block.address :][: register_count(point)]),
            reason=reasons.get(point.name, "" if values[point.name] is not None else "empty"),
        )
        for point in _points(session.map, block.points)
    }


async def _alone(session: DeviceSession, block: ReadBlock, name: str) -> dict[str, PointReading]:
    """Return the reading of one point, read with nothing but its scale point."""
    try:
        registers = await _registers(session, block)
    except ExceptionReplyError as error:
        if error.code not in _REFUSED:
            raise
        return _refused(session.map, (name,), str(error))
    decoder = BlockDecoder(session.map, block)
    value = decoder.decode(registers)[name]
    (point,) = _points(session.map, (name,))
    return {
        name: PointReading(
            point=point,
            value=value,
            registers=tuple(registers[point.address - block.address :][: register_count(point)]),
            reason=decoder.reasons(registers).get(name, "" if value is not None else "empty"),
        )
    }


async def _registers(session: DeviceSession, block: ReadBlock) -> list[int]:
    request = read_request(block.table, block.address, block.count)
    answer = await session.link.request(session.unit, request, timeout_s=session.timeout_s)
    return read_values(request, answer)


def _refused(register_map: RegisterMap, names: Iterable[str], reason: str) -> dict[str, PointReading]:
    return {
        point.name: PointReading(point=point, value=None, registers=(), reason=reason)
        for point in _points(register_map, names)
    }


def _points(register_map: RegisterMap, names: Iterable[str]) -> list[Point]:
    by_name = {point.name: point for point in register_map.points}
    return [by_name[name] for name in names]
