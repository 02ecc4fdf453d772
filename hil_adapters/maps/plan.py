"""Which registers are read together.

Neighbours share a request; a value and its scale point always come in the same one. Registers of other readable points may
be read along, registers without a point only as far as the map allows (``max_gap``).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hil_adapters.errors import MapError
from hil_adapters.maps.codec import register_count
from hil_adapters.maps.schema import Access, Group, LinkDefaults, Point, RegisterMap
from hil_adapters.wire.base import Table
from hil_adapters.wire.codes import MAX_READ_BITS

__all__ = ["READ_ALONG", "ReadBlock", "fits_one_read", "group_plan", "read_plan"]

READ_ALONG = 20
"""Registers of other points that a read may span: two bytes each cost less than another request (13 bytes on a serial line,
two silences and the device's turnaround)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBlock:
    """One read request."""

    table: Table
    address: int
    count: int
    points: tuple[str, ...]
    """Points whose values are taken from it, by address. A scale point stands in every block that needs it."""


@dataclass(frozen=True, slots=True)
class _Span:
    """Registers that must come together: those of a point and of its scale point."""

    start: int
    end: int
    points: tuple[Point, ...]


def read_plan(register_map: RegisterMap, names: Iterable[str]) -> tuple[ReadBlock, ...]:
    """Return the reads that give the values of the named points, by table and address.

    Raises:
        MapError: a point is not in the map, cannot be read, or lies too far from its scale point.
    """
    points = {point.name: point for point in register_map.points}
    wanted = [_readable(points, name) for name in dict.fromkeys(names)]
    blocks: list[ReadBlock] = []
    for table in Table:
        spans = [_span(points, point, register_map.link) for point in wanted if point.table is table]
        known = _known(register_map.points, table) if spans else frozenset()
        blocks.extend(_blocks(table, spans, known, register_map.link))
    return tuple(blocks)


def group_plan(register_map: RegisterMap, group: Group) -> tuple[ReadBlock, ...]:
    """Return the reads that give the values of all readable points of a group.

    Raises:
        MapError: a point lies too far from its scale point.
    """
    names = [
        point.name
        for point in register_map.points
        if point.group == group and point.access is not Access.WRITE
    ]
    return read_plan(register_map, names)


def fits_one_read(point: Point, scale_point: Point, link: LinkDefaults) -> bool:
    """Return whether a point and its scale point can be read in one request."""
    return point.table is scale_point.table and _length(_join(point, scale_point)) <= _longest(
        point.table, link
    )


def _readable(points: dict[str, Point], name: str) -> Point:
    point = points.get(name)
    if point is None:
        raise MapError(f"{name}: there is no such point; the map has {len(points)} others, check the name")
    if point.access is Access.WRITE:
        raise MapError(f"{name}: the point cannot be read (access: w); leave it out")
    return point


def _span(points: dict[str, Point], point: Point, link: LinkDefaults) -> _Span:
    if point.scale_point is None:
        return _Span(point.address, point.address + register_count(point), (point,))
    scale_point = _readable(points, point.scale_point)
    if not fits_one_read(point, scale_point, link):
        raise MapError(
            f"{point.name}: its scale point {scale_point.name} ({scale_point.table} {scale_point.address}) cannot be read "
            f"in one request with it ({point.table} {point.address}, {_longest(point.table, link)} at most); "
            "leave the point out or raise link.max_registers"
        )
    return _join(point, scale_point)


def _join(point: Point, scale_point: Point) -> _Span:
    both = (point, scale_point)
    return _Span(
        min(part.address for part in both), max(part.address + register_count(part) for part in both), both
    )


def _length(span: _Span) -> int:
    return span.end - span.start


def _longest(table: Table, link: LinkDefaults) -> int:
    """Return the longest read; coils lie sixteen to a register."""
    if table in {Table.COIL, Table.DISCRETE}:
        return min(MAX_READ_BITS, 16 * link.max_registers)
    return link.max_registers


def _known(points: Iterable[Point], table: Table) -> frozenset[int]:
    return frozenset(
        address
        for point in points
        if point.table is table and point.access is not Access.WRITE
        for address in range(point.address, point.address + register_count(point))
    )


def _blocks(
    table: Table, spans: list[_Span], known: frozenset[int], link: LinkDefaults
) -> Iterator[ReadBlock]:
    """Take spans by address into a block as long as it stays short enough and the gaps allow it."""
    longest = _longest(table, link)
    taken: list[_Span] = []
    start = end = 0
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        joins = (
            taken and max(end, span.end) - start <= longest and _bridges(range(end, span.start), known, link)
        )
        if not joins:
            if taken:
                yield _block(table, taken)
            taken, start, end = [], span.start, span.end
        taken.append(span)
        end = max(end, span.end)
    if taken:
        yield _block(table, taken)


def _bridges(gap: range, known: frozenset[int], link: LinkDefaults) -> bool:
    """Return whether the registers between two spans are read along."""
    unknown = sum(address not in known for address in gap)
    return unknown <= link.max_gap and len(gap) <= max(READ_ALONG, link.max_gap)


def _block(table: Table, spans: list[_Span]) -> ReadBlock:
    points = {point.name: point for span in spans for point in span.points}
    ordered = sorted(points.values(), key=lambda point: point.address)
    start = min(span.start for span in spans)
    return ReadBlock(
        table=table,
        address=start,
        count=max(span.end for span in spans) - start,
        points=tuple(point.name for point in ordered),
    )
