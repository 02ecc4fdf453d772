"""Mistakes in single points and between them."""

from collections.abc import Iterator, Mapping

from hil_adapters.maps.codec import register_count
from hil_adapters.maps.plan import fits_one_read
from hil_adapters.maps.schema import Access, Point, RegisterMap, ValueType
from hil_adapters.maps.units import UNITS
from hil_adapters.wire.base import Table

__all__ = ["Mistake", "point_mistakes"]

Mistake = tuple[tuple[str | int, ...], str]
"""Path in the map, and what is wrong there."""

_BIT_TABLES = frozenset((Table.COIL, Table.DISCRETE))
_READ_ONLY_TABLES = frozenset((Table.DISCRETE, Table.INPUT))
_NOT_WHOLE = frozenset((ValueType.FLOAT32, ValueType.FLOAT64, ValueType.STRING))
_LAST = 65535


def point_mistakes(register_map: RegisterMap) -> Iterator[Mistake]:
    """Yield the mistakes of all points of a map."""
    points = {point.name: point for point in register_map.points}
    seen: set[str] = set()
    for at, point in enumerate(register_map.points):
        where = ("points", at)
        if point.name in seen:
            yield (*where, "name"), "stands twice; names are unique in a map"
        seen.add(point.name)
        for field, text in (*_own(point), *_scaling(point, points, register_map)):
            yield (*where, field), text
        for name in point.overlaps:
            if name not in points:
                yield (*where, "overlaps"), f"there is no point {name!r}; correct the name"
    yield from _overlaps(register_map)


def _own(point: Point) -> Iterator[tuple[str, str]]:
    """Yield field and text of what is wrong with a point alone."""
    count = register_count(point)
    if point.address + count - 1 > _LAST:
        yield "address", f"takes {count} registers, the last address is {_LAST}; correct address or type"
    if (point.type is ValueType.BOOL) != (point.table in _BIT_TABLES):
        yield (
            "type",
            f"{point.type} does not go with table {point.table}; coils and discrete inputs are bool, registers not",
        )
    if (point.type is ValueType.STRING) != (point.length is not None):
        yield "length", "text needs its number of registers here, other types must not have it"
    if point.table in _READ_ONLY_TABLES and point.access is not Access.READ:
        yield "access", f"table {point.table} cannot be written; write access: r, or correct the table"
    if point.unit not in UNITS:
        yield "unit", f"{point.unit!r} is not known; write one of {', '.join(sorted(UNITS))}"
    if point.role != "value" and point.type in {ValueType.STRING, ValueType.BOOL}:
        yield "role", "text does not count, nor does a bit; leave the role out"
    if point.scale == 0:
        yield "scale", "zero makes every value zero; correct it"
    if point.low is not None and point.high is not None and point.low >= point.high:
        yield "low", f"{point.low:g} must lie below high {point.high:g}"
    yield from _codes(point, count)


def _codes(point: Point, count: int) -> Iterator[tuple[str, str]]:
    bits = 1 if point.type is ValueType.BOOL else 16 * count
    if point.type is ValueType.STRING and point.missing:
        yield "missing", "text that is not there is empty; leave missing out"
    elif any(not 0 <= value < 2**bits for value in point.missing):
        yield "missing", f"a raw value of {point.type} lies from 0 to {2**bits - 1:#x}, unsigned; correct it"
    if point.type in _NOT_WHOLE and (point.bits or point.values):
        yield (
            "bits" if point.bits else "values",
            f"{point.type} is no whole number; only whole numbers have names",
        )
    if any(not 0 <= bit < bits for bit in point.bits):
        yield "bits", f"{point.type} has bits 0 to {bits - 1}; correct them"
    if point.type in {ValueType.STRING, ValueType.BOOL} and (
        point.scale != 1 or point.offset != 0 or point.scale_point
    ):
        yield "scale", f"{point.type} is not scaled; leave scale, offset and scale_point out"


def _scaling(
    point: Point, points: Mapping[str, Point], register_map: RegisterMap
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong between a point and its scale point."""
    if point.scale_point is None:
        return
    scale_point = points.get(point.scale_point)
    if scale_point is None:
        yield "scale_point", f"there is no point {point.scale_point!r}; correct the name"
        return
    if (
        scale_point.type in _NOT_WHOLE
        or scale_point.type is ValueType.BOOL
        or scale_point.scale_point is not None
    ):
        yield "scale_point", f"{scale_point.name} must be a whole number without a scale point of its own"
    if scale_point.scale != 1 or scale_point.offset != 0 or scale_point.unit != "1":
        yield "scale_point", f"{scale_point.name} is a power of ten: it has no scale, no offset and unit '1'"
    if point.type in _NOT_WHOLE:
        yield "scale_point", f"{point.type} carries its own exponent; leave scale_point out"
    if scale_point.access is Access.WRITE:
        yield "scale_point", f"{scale_point.name} cannot be read (access: w); correct it"
    if not fits_one_read(point, scale_point, register_map.link):
        yield (
            "scale_point",
            (
                f"{scale_point.name} does not come in one read with it: same table, at most {register_map.link.max_registers} "
                "registers from first to last"
            ),
        )
    elif (
        register_map.discovery is None and (unknown := _unknown_between(point, scale_point, register_map)) > 0
    ):
        yield (
            "scale_point",
            (
                f"{unknown} registers without a point lie between it and {scale_point.name}, max_gap is "
                f"{register_map.link.max_gap}; describe them or raise link.max_gap"
            ),
        )


def _unknown_between(point: Point, scale_point: Point, register_map: RegisterMap) -> int:
    """Return how many registers without a point lie in the gaps that are longer than allowed."""
    first, second = sorted((point, scale_point), key=lambda part: part.address)
    known = {
        address
        for other in register_map.points
        if other.table is point.table and other.access is not Access.WRITE
        for address in range(other.address, other.address + register_count(other))
    }
    gap = range(first.address + register_count(first), second.address)
    unknown = sum(address not in known for address in gap)
    return unknown if unknown > register_map.link.max_gap else 0


def _overlaps(register_map: RegisterMap) -> Iterator[Mistake]:
    """Yield points that share registers without saying so; compared with the one that reaches farthest so far."""
    placed = sorted(enumerate(register_map.points), key=lambda entry: (entry[1].table, entry[1].address))
    open_points: list[tuple[int, Point]] = []
    for at, point in placed:
        open_points = [entry for entry in open_points if _meet(entry[1], point)]
        for _, other in open_points:
            if other.name not in point.overlaps and point.name not in other.overlaps:
                yield (
                    ("points", at, "address"),
                    (
                        f"shares {point.table} registers with {other.name} (from {other.address}); correct the address, "
                        f"or say overlaps: [{other.name}]"
                    ),
                )
        open_points.append((at, point))


def _meet(earlier: Point, later: Point) -> bool:
    return earlier.table is later.table and earlier.address + register_count(earlier) > later.address
