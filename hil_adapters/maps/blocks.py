"""Values of all points of one read at once; compiled per block, because this runs for every poll of every device."""

import struct
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from hil_adapters.errors import MapError
from hil_adapters.maps.codec import Rule, byte_positions
from hil_adapters.maps.plan import ReadBlock
from hil_adapters.maps.schema import Point, RegisterMap
from hil_adapters.wire.base import Table

__all__ = ["BlockDecoder"]


class BlockDecoder:
    """Decodes the registers of one :class:`ReadBlock`."""

    __slots__ = ("_arrange", "_block", "_points", "_read", "_unpack")

    def __init__(self, register_map: RegisterMap, block: ReadBlock) -> None:
        """Compile the decoder; ``MapError`` where a point of the block is not in the map."""
        by_name = {point.name: point for point in register_map.points}
        absent = [name for name in block.points if name not in by_name]
        if absent:
            raise MapError(
                f"{', '.join(absent)}: not in the map {register_map.name}; plan the block from this map"
            )
        points = [by_name[name] for name in block.points]
        is_bits = block.table in {Table.COIL, Table.DISCRETE}
        positions = [at for point in points for at in _positions(point, block, register_map, is_bits=is_bits)]
        rules = [Rule(point) for point in points]
        self._block = block
        self._read = struct.Struct(f">{block.count}H").pack
        self._arrange = _arranger(positions)
        self._unpack = struct.Struct(">" + "".join(rule.code for rule in rules)).unpack
        index = {point.name: at for at, point in enumerate(points)}
        self._points = [
            (point.name, rule, None if point.scale_point is None else index[point.scale_point])
            for point, rule in zip(points, rules, strict=True)
        ]

    def decode(self, registers: Sequence[int]) -> dict[str, float | str | None]:
        """Return the values by point; None where there is none, then :meth:`reasons` say why.

        Args:
            registers: All of the block, each from 0 to 65535 (bits: 0 or 1).

        Raises:
            MapError: another number of registers than the block has.
        """
        raws = self._raws(registers)
        return {
            name: rule.value(raws[at], None if scale_at is None else self._exponent(raws, scale_at))
            for at, (name, rule, scale_at) in enumerate(self._points)
        }

    def reasons(self, registers: Sequence[int]) -> dict[str, str]:
        """Return why points have no value, by point; without an entry where a point has one."""
        raws = self._raws(registers)
        found = {
            name: rule.reason(raws[at], None if scale_at is None else self._exponent(raws, scale_at))
            for at, (name, rule, scale_at) in enumerate(self._points)
        }
        return {name: reason for name, reason in found.items() if reason}

    def _raws(self, registers: Sequence[int]) -> tuple[Any, ...]:
        if len(registers) != self._block.count:
            raise MapError(
                f"{len(registers)} values for a block of {self._block.count} ({self._block.table} {self._block.address}); "
                "decode what this block has read"
            )
        return self._unpack(self._arrange(self._read(*registers)))

    def _exponent(self, raws: tuple[Any, ...], at: int) -> int | None:
        value = self._points[at][1].value(raws[at], None)
        return int(value) if isinstance(value, float) else None


def _positions(point: Point, block: ReadBlock, register_map: RegisterMap, *, is_bits: bool) -> list[int]:
    """Return where in the bytes of the block the bytes of a point lie, most significant first."""
    first = 2 * (point.address - block.address)
    if is_bits:
        return [first, first + 1]
    return [first + at for at in byte_positions(point, register_map.link)]


def _arranger(positions: list[int]) -> Callable[[bytes], bytes]:
    """Return what brings the bytes of a block into the order of its points."""
    if positions == list(range(len(positions))):
        length = len(positions)
        return lambda data: data[:length]
    pick = itemgetter(*positions)
    return lambda data: bytes(pick(data))
