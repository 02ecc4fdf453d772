"""From a value to the registers that hold it."""

from hil_adapters.device.exchange import PlannedWrite
from hil_adapters.device.readings import Readings
from hil_adapters.errors import MapError
from hil_adapters.maps.codec import decode, encode
from hil_adapters.maps.schema import Access, Point, RegisterMap
from hil_adapters.samples import Quality

__all__ = ["planned_write", "writable_point"]


def writable_point(map_: RegisterMap, readings: Readings, name: str) -> Point:
    """Return a point that may be written.

    Raises:
        MapError: there is no such point, or it is read-only.
    """
    point = readings.points.get(name)
    if point is None:
        raise MapError(f"{map_.name}: there is no point {name}; check the name")
    if point.access is Access.READ:
        raise MapError(f"{map_.name}: {name} is read-only (access: r); it cannot be written")
    return point


def planned_write(map_: RegisterMap, readings: Readings, point: Point, value: float) -> PlannedWrite:
    """Return what is sent to give ``point`` a value, with the scale factor as it was read last.

    Raises:
        MapError: the scale factor is not known, or the registers cannot hold the value.
    """
    exponent = readings.exponent(point)
    registers = encode(point, value, map_.link, scale_exponent=exponent)
    written = decode(point, registers, map_.link, scale_exponent=exponent)
    if not isinstance(written, float):
        raise MapError(
            f"{map_.name}: {point.name}: {value:g} {point.unit} would not be read as a value again "
            f"(low {point.low}, high {point.high}); write another, or correct the map"
        )
    last = readings.last(point.name)
    return PlannedWrite(
        point=point.name,
        value=value,
        written=written,
        old=None if last.quality is Quality.BAD else last.value,
        table=point.table,
        address=point.address,
        registers=tuple(registers),
    )
