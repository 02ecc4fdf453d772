"""The registers of one emulated device, by address for the wire and by point for its inside."""

import difflib
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hil_adapters.errors import MapError
from hil_adapters.maps.codec import Rule, byte_positions, raw_limits, raw_of, register_count, registers_of
from hil_adapters.maps.schema import LinkDefaults, Point, RegisterMap, ValueType
from hil_adapters.wire.base import Table

__all__ = ["Cell", "RegisterStore"]

_FLOAT_CODES: Final = "fd"


@dataclass(frozen=True, slots=True)
class Cell:
    """A point at its place."""

    point: Point
    rule: Rule
    addresses: range
    positions: tuple[int, ...]
    """Where the bytes of its value lie in its registers, most significant first."""
    raw_low: float
    """Smallest raw value that its registers hold and that is not the sign for a missing value."""
    raw_high: float


class RegisterStore:
    """Holds registers and bits as on the wire; nothing is refused here."""

    def __init__(self, map_: RegisterMap, registers: Mapping[int, int] | None = None) -> None:
        """Make the registers of ``map_``, all 0; ``registers`` are holding registers as they are at the start.

        Registers without a point are there too where the map lets a read span them.
        """
        self.map = map_
        self.cells: dict[str, Cell] = {point.name: _cell(point, map_.link) for point in map_.points}
        self.tables: dict[Table, dict[int, int]] = {table: {} for table in Table}
        self._owners: dict[tuple[Table, int], list[Cell]] = {}
        self._shown: dict[str, float | str] = {}
        for cell in self.cells.values():
            table = self.tables[cell.point.table]
            for address in cell.addresses:
                table[address] = 0
                self._owners.setdefault((cell.point.table, address), []).append(cell)
        for table in self.tables.values():
            _bridge(table, map_.link.max_gap)
        if registers is not None:
            self.tables[Table.HOLDING].update(registers)

    def owners(self, table: Table, addresses: Iterable[int]) -> list[Cell]:
        """Return the points that lie at these addresses, each once; empty where one address has no point."""
        found: dict[str, Cell] = {}
        for address in addresses:
            cells = self._owners.get((table, address))
            if cells is None:
                return []
            found.update((cell.point.name, cell) for cell in cells)
        return list(found.values())

    def get(self, name: str) -> float | str | None:
        """Return the value of a point in its unit; None where it shows the sign for a missing value."""
        cell = self._named(name)
        return self.value_of(cell, [self.tables[cell.point.table][address] for address in cell.addresses])

    def number(self, name: str) -> float | None:
        """Return the value of a point that holds a number; None where there is no such point or no value."""
        if name not in self.cells:
            return None
        value = self.get(name)
        return None if isinstance(value, str) else value

    def value_of(self, cell: Cell, registers: Sequence[int]) -> float | str | None:
        """Return what ``registers`` would mean in a point, with its scale factor as it is."""
        raw = raw_of(cell.rule.code, registers, cell.positions)
        return cell.rule.value(raw, self._exponent(cell.point))

    def set(self, name: str, value: float | str) -> None:
        """Set a point to a value in its unit, rounded to the nearest raw value.

        A number beyond what the registers hold is held at the largest or smallest, as firmware does.

        Raises:
            MapError: there is no such point, text and number do not match, the value is not finite, or its scale
                factor is not implemented.
        """
        cell = self._named(name)
        if isinstance(value, str):
            raw: float | bytes = cell.rule.raw(value, None)
        else:
            raw = self._raw(cell, value)
        table = self.tables[cell.point.table]
        registers = registers_of(cell.rule.code, raw, cell.positions)
        for address, register in zip(cell.addresses, registers, strict=True):
            table[address] = register

    def show(self, name: str, value: float | str) -> None:
        """Do as :meth:`set` for a point that only the device itself changes; cheap where the value is the last one."""
        if self._shown.get(name) != value:
            self.set(name, value)
            self._shown[name] = value

    def saved(self) -> dict[Table, dict[int, int]]:
        """Return all registers and bits as they are."""
        return {table: dict(held) for table, held in self.tables.items()}

    def restore(self, saved: Mapping[Table, Mapping[int, int]]) -> None:
        """Put all registers and bits back as they were saved."""
        for table, held in saved.items():
            self.tables[table].update(held)
        self._shown.clear()

    def forget_shown(self) -> None:
        """Let :meth:`show` write everything again: a scale factor has changed."""
        self._shown.clear()

    def _raw(self, cell: Cell, value: float) -> float:
        point = cell.point
        exponent = self._exponent(point) if point.scale_point is not None else 0
        if exponent is None or point.type is ValueType.STRING or not math.isfinite(value):
            raw = cell.rule.raw(value, exponent)  # says what is wrong
            raise MapError(f"{point.name}: {value} cannot be shown as raw {raw!r}; correct the map")
        exact = (value - point.offset) / (point.scale * 10.0**exponent)
        rounded = exact if cell.rule.code in _FLOAT_CODES else round(exact)
        return min(max(rounded, cell.raw_low), cell.raw_high)

    def _exponent(self, point: Point) -> int | None:
        if point.scale_point is None:
            return None
        value = self.number(point.scale_point)
        return None if value is None else int(value)

    def _named(self, name: str) -> Cell:
        cell = self.cells.get(name)
        if cell is None:
            near = difflib.get_close_matches(name, self.cells, n=5, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {len(self.cells)} points"
            raise MapError(f"map {self.map.name} has no point {name!r}; {hint}")
        return cell


def _cell(point: Point, link: LinkDefaults) -> Cell:
    rule = Rule(point)
    low, high = _raw_limits(rule.code, point)
    return Cell(
        point=point,
        rule=rule,
        addresses=range(point.address, point.address + register_count(point)),
        positions=tuple(byte_positions(point, link)),
        raw_low=low,
        raw_high=high,
    )


def _raw_limits(code: str, point: Point) -> tuple[float, float]:
    """Return the smallest and largest raw number of a type, without a missing value at either end.

    Where only 0 means missing (counters) it stays: such a counter reads as not implemented until it has counted.
    """
    if point.type is ValueType.BOOL:
        return 0, 1
    if code.endswith("s"):
        return 0, 0
    low, high = raw_limits(code)
    if code in _FLOAT_CODES:
        return low, high
    span = high - low + 1
    missing = {raw - span if raw > high else raw for raw in point.missing}
    while low in missing and low < high and low != 0:
        low += 1
    while high in missing and low < high:
        high -= 1
    return low, high


def _bridge(table: dict[int, int], max_gap: int) -> None:
    """Add registers of 0 in gaps of at most ``max_gap``."""
    addresses = sorted(table)
    for before, after in itertools.pairwise(addresses):
        if after - before - 1 <= max_gap:
            for address in range(before + 1, after):
                table[address] = 0
