"""What an emulated device lets a client read and write."""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hil_adapters.maps.schema import Access, RegisterMap
from hil_adapters.virtual.registers import Cell, RegisterStore
from hil_adapters.wire.base import Bank, Peer, Table
from hil_adapters.wire.codes import ExceptionCode, Identified, Refusal

if TYPE_CHECKING:
    from hil_adapters.sunspec.image import SunSpecImage

__all__ = ["BankRules", "DeviceBank", "Traffic", "UnitBank", "WriteRecord"]

_KEPT_WRITES: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BankRules:
    """Peculiarities of a device that no map tells."""

    refuses_single: frozenset[int] = frozenset()
    """Holding registers that function code 6 may not write."""
    refuses_multiple: frozenset[int] = frozenset()
    """Holding registers that function code 16 may not write, as some makers do for power limits."""
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Smallest and largest value that a client may write, by point, in its unit."""
    identification: Mapping[int, str] = field(default_factory=dict)
    """Objects of function 43/14: 0 vendor, 1 product, 2 revision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRecord:
    """One write as it came from the wire."""

    time_s: float
    """On the clock of the bank [s]."""
    peer: str
    table: Table
    address: int
    values: tuple[int, ...]
    points: tuple[str, ...]
    """Points that it changed; none where it was refused."""
    refused: int | None
    """Exception code, None where it was taken."""


@dataclass(slots=True)
class Traffic:
    """When a client last did something, on the clock of the bank [s]; -inf before."""

    read_s: float = -math.inf
    write_s: float = -math.inf


class DeviceBank:
    """The registers of one device under one unit number; a ``Bank``.

    A read outside the registers is refused with exception 2. A write is refused with 2 where an address has no point, the
    point is read-only, not implemented, or not written as a whole; with 1 where the register does not take the function;
    with 3 where a value lies outside the limits of its point or, in a point whose values have names, has no name. A
    point without limits has those of the map's rules for writing, but not in a SunSpec device, where these are the rules
    of a careful client and not the device's. A refused write changes nothing.
    """

    def __init__(
        self,
        map_: RegisterMap,
        *,
        unit: int,
        clock: Callable[[], float],
        image: "SunSpecImage | None" = None,
        rules: BankRules | None = None,
    ) -> None:
        """Make the registers of a device.

        Args:
            map_: its points; of a SunSpec device the resolved map.
            unit: number it answers to.
            clock: monotonic seconds, for the log of writes and the age of traffic.
            image: registers of a SunSpec device at the start; without it all are 0.
            rules: peculiarities.
        """
        self.store = RegisterStore(map_, None if image is None else image.registers)
        self.unit = unit
        self.writes: deque[WriteRecord] = deque(maxlen=_KEPT_WRITES)
        """The newest writes, refused ones included."""
        self.traffic = Traffic()
        self._log: list[Callable[[WriteRecord], None]] = []
        self._clock = clock
        self._rules = BankRules() if rules is None else rules
        self._limits = (
            self._rules.limits if image is not None else _limits_of_map(map_) | dict(self._rules.limits)
        )
        self._may_be_absent = image is not None
        self._written: list[Callable[[frozenset[str]], None]] = []

    def on_written(self, hook: Callable[[frozenset[str]], None]) -> None:
        """Call ``hook`` with the points of every write that was taken, after it."""
        self._written.append(hook)

    def on_record(self, hook: Callable[[WriteRecord], None]) -> None:
        """Call ``hook`` with every write that comes, before it takes effect; refused ones included."""
        self._log.append(hook)

    def has_unit(self, unit: int) -> bool:
        """Return whether this is its unit."""
        return unit == self.unit

    def identification(self, unit: int) -> Mapping[int, str]:
        """Return the objects of function 43/14."""
        self._check_unit(unit)
        return self._rules.identification

    def read(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        """Return registers or bits; raises ``Refusal``."""
        self._check_unit(unit)
        self.traffic.read_s = self._clock()
        held = self.store.tables[table]
        try:
            return [held[here] for here in range(address, address + count)]
        except KeyError:
            raise Refusal(ExceptionCode.ADDRESS) from None

    def write(
        self, unit: int, table: Table, address: int, values: list[int], *, peer: Peer, single: bool
    ) -> None:
        """Take registers or bits; raises ``Refusal``, then nothing has changed."""
        self._check_unit(unit)
        self.traffic.write_s = self._clock()
        try:
            cells = self._checked(table, address, values, single=single)
        except Refusal as refusal:
            self._record(peer, table, address, values, points=(), refused=refusal.code)
            raise
        points = tuple(cell.point.name for cell in cells)
        self._record(peer, table, address, values, points=points, refused=None)
        self.store.tables[table].update(enumerate(values, start=address))
        for hook in self._written:
            hook(frozenset(points))

    def _record(
        self,
        peer: Peer,
        table: Table,
        address: int,
        values: Sequence[int],
        *,
        points: tuple[str, ...],
        refused: int | None,
    ) -> None:
        record = WriteRecord(
            time_s=self.traffic.write_s,
            peer=peer.address,
            table=table,
            address=address,
            values=tuple(values),
            points=points,
            refused=refused,
        )
        self.writes.append(record)
        for hook in self._log:
            hook(record)

    def _check_unit(self, unit: int) -> None:
        if unit != self.unit:
            raise Refusal(ExceptionCode.ADDRESS)

    def _checked(self, table: Table, address: int, values: Sequence[int], *, single: bool) -> list[Cell]:
        """Return the points that a write changes."""
        addresses = range(address, address + len(values))
        cells = [cell for cell in self.store.owners(table, addresses) if self._takes_writes(cell)]
        covered = {here for cell in cells for here in cell.addresses}
        if covered != set(addresses):
            raise Refusal(ExceptionCode.ADDRESS)
        self._check_function(table, addresses, single=single)
        for cell in cells:
            start = cell.addresses.start - address
            if not self._is_allowed(cell, values[start : start + len(cell.addresses)]):
                raise Refusal(ExceptionCode.VALUE)
        return cells

    def _takes_writes(self, cell: Cell) -> bool:
        if cell.point.access is Access.READ:
            return False
        return not self._may_be_absent or self.store.get(cell.point.name) is not None

    def _check_function(self, table: Table, addresses: range, *, single: bool) -> None:
        quirks = self.store.map.link.quirks
        if single:
            refuses, here = quirks.no_single_write, self._rules.refuses_single
        else:
            refuses, here = quirks.no_multiple_write, self._rules.refuses_multiple
        if table is Table.HOLDING and (refuses or not here.isdisjoint(addresses)):
            raise Refusal(ExceptionCode.FUNCTION)

    def _is_allowed(self, cell: Cell, registers: Sequence[int]) -> bool:
        value = self.store.value_of(cell, registers)
        if value is None:
            return False
        if isinstance(value, str):
            return True
        point = cell.point
        if point.values and value not in point.values:
            return False
        low, high = self._limits.get(point.name, (value, value))
        return low <= value <= high


def _limits_of_map(map_: RegisterMap) -> dict[str, tuple[float, float]]:
    """Return the limits that the rules for writing give to points without limits of their own."""
    bounded = {point.name for point in map_.points if point.low is not None or point.high is not None}
    return {name: (rules.low, rules.high) for name, rules in map_.writes.items() if name not in bounded}


class UnitBank:
    """Several devices behind one server, by unit number; a ``Bank``."""

    def __init__(self, banks: Mapping[int, Bank]) -> None:
        self._banks = dict(banks)

    def has_unit(self, unit: int) -> bool:
        """Return whether a device has this number."""
        return unit in self._banks

    def identification(self, unit: int) -> Mapping[int, str]:
        """Return the objects of function 43/14 of a device; raises ``Refusal`` where it has none."""
        bank = self._bank(unit)
        if not isinstance(bank, Identified):
            raise Refusal(ExceptionCode.FUNCTION)
        return bank.identification(unit)

    def read(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        """Return registers or bits of a device; raises ``Refusal``."""
        return self._bank(unit).read(unit, table, address, count)

    def write(
        self, unit: int, table: Table, address: int, values: list[int], *, peer: Peer, single: bool
    ) -> None:
        """Write registers or bits of a device; raises ``Refusal``."""
        self._bank(unit).write(unit, table, address, values, peer=peer, single=single)

    def _bank(self, unit: int) -> Bank:
        bank = self._banks.get(unit)
        if bank is None:
            raise Refusal(ExceptionCode.ADDRESS)
        return bank
