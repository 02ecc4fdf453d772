"""Faults of values: what a device says is well formed and wrong. Clock given, no I/O.

One object serves a server (through :class:`~hil_adapters.faults.bank.FaultyBank`) or a proxy. Bits know only
``frozen``, ``map_shift``, ``second_master`` and ``ignored_write``; the other faults leave them as they are.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from hil_adapters.faults.adu import Asked
from hil_adapters.faults.catalogue import Fault
from hil_adapters.faults.rules import AddressRange, FaultRule, FaultScript
from hil_adapters.faults.striking import armed_rules
from hil_adapters.wire.base import Table

__all__ = ["OutsideWrite", "ValueFaults"]

_REGISTER = 0x10000
_MISSING_SCALE = 0x8000
_REGISTER_TABLES = frozenset({Table.HOLDING, Table.INPUT})
_READ_FAULTS = frozenset(
    {
        Fault.MISSING_VALUE,
        Fault.SCALE_OUT_OF_RANGE,
        Fault.SCALE_MISSING,
        Fault.SCALE_CHANGE,
        Fault.FROZEN,
        Fault.COUNTER_RESET,
        Fault.COUNTER_ROLLOVER,
    }
)
_WHOLE = (AddressRange(first=0, last=65535),)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideWrite:
    """A write of the second master."""

    unit: int
    table: Table
    address: int
    values: tuple[int, ...]


Place = tuple[int, int, Table, int]
"""Rule, unit, table and address that something is remembered for."""


class ValueFaults:
    """Spoils what is read and written, by the value rules of a script."""

    def __init__(self, script: FaultScript, *, elapsed_s: Callable[[], float]) -> None:
        self._elapsed_s = elapsed_s
        self._reads = armed_rules(script, _READ_FAULTS)
        self._shifts = armed_rules(script, frozenset({Fault.MAP_SHIFT}))
        self._ignored = armed_rules(script, frozenset({Fault.IGNORED_WRITE}))
        self._masters = armed_rules(script, frozenset({Fault.SECOND_MASTER}))
        self._reboots = armed_rules(script, frozenset({Fault.REBOOT}))
        self._remembered: dict[Place, int] = {}
        self._next_write_s = {number: master.rule.from_s for number, master in enumerate(self._masters)}
        self._rebooted: set[int] = set()
        self.counts: Counter[Fault] = Counter()
        """Injected faults, by kind."""

    @property
    def has_reboots(self) -> bool:
        """Whether the script lets the device restart."""
        return bool(self._reboots)

    def moved(self, asked: Asked) -> int:
        """Return the address that is read instead; unchanged without a shift of the map. May lie out of range."""
        address = asked.address
        for armed in self._shifts:
            if armed.strikes(asked, self._elapsed_s()):
                self.counts[armed.rule.fault] += 1
                address += int(armed.rule.number("by"))
        return address

    def is_ignored(self, asked: Asked) -> bool:
        """Return whether a write is confirmed and not carried out."""
        struck = [armed.rule for armed in self._ignored if armed.strikes(asked, self._elapsed_s())]
        self.counts[Fault.IGNORED_WRITE] += bool(struck)
        return bool(struck)

    def spoiled(self, asked: Asked, values: list[int]) -> list[int]:
        """Return what is said instead of ``values``, read from ``asked.address`` on."""
        elapsed_s, said = self._elapsed_s(), list(values)
        for number, armed in enumerate(self._reads):
            if armed.strikes(asked, elapsed_s):
                said = self._struck(number, armed.rule, asked, said)
        for number, armed in enumerate(self._reboots):
            if elapsed_s >= armed.rule.from_s and armed.rule.addresses is not None:
                said = self._counters(len(self._reads) + number, armed.rule, asked, said)
        return said

    def due_writes(self) -> tuple[OutsideWrite, ...]:
        """Return what a second master writes by the time of this call; each write once, missed ones not made up."""
        elapsed_s, due = self._elapsed_s(), []
        for number, armed in enumerate(self._masters):
            rule = armed.rule
            if not rule.is_due(elapsed_s) or elapsed_s < self._next_write_s[number]:
                continue
            self._next_write_s[number] = elapsed_s + rule.number("every_s")
            self.counts[rule.fault] += 1
            due += _writes_of(rule)
        return tuple(due)

    def has_rebooted(self) -> bool:
        """Return whether a reboot has passed since the last call; what was written before it is lost."""
        elapsed_s = self._elapsed_s()
        passed = {
            number for number, armed in enumerate(self._reboots) if elapsed_s >= armed.rule.from_s
        } - self._rebooted
        self._rebooted |= passed
        return bool(passed)

    def _struck(self, number: int, rule: FaultRule, asked: Asked, said: list[int]) -> list[int]:
        if asked.table not in _REGISTER_TABLES and rule.fault is not Fault.FROZEN:
            return said
        self.counts[rule.fault] += 1
        if rule.fault is Fault.MISSING_VALUE:
            return _missing(rule, asked, said)
        if rule.fault in {Fault.COUNTER_RESET, Fault.COUNTER_ROLLOVER}:
            return self._counters(number, rule, asked, said)
        return _each(
            rule, asked, said, lambda address, value: self._changed(number, rule, asked, address, value)
        )

    def _changed(self, number: int, rule: FaultRule, asked: Asked, *register: int) -> int:
        """Return what one register says; ``register`` is its address and its value."""
        address, value = register
        match rule.fault:
            case Fault.FROZEN:
                return self._first(number, asked, address, value)
            case Fault.SCALE_OUT_OF_RANGE:
                return int(rule.number("exponent")) % _REGISTER
            case Fault.SCALE_MISSING:
                return _MISSING_SCALE
            case _:
                return (value + int(rule.number("add"))) % _REGISTER

    def _first(self, number: int, asked: Asked, address: int, value: int) -> int:
        return self._remembered.setdefault((number, asked.unit, _table(asked), address), value)

    def _counters(self, number: int, rule: FaultRule, asked: Asked, said: list[int]) -> list[int]:
        """Let each counter (one range of addresses, big end first) start anew; parts of a counter stay as they are."""
        left = rule.number("left") if rule.fault is Fault.COUNTER_ROLLOVER else None
        for part in () if rule.addresses is None else rule.addresses:
            start = part.first - asked.address
            if start < 0 or start + part.size > len(said):
                continue
            registers = said[start : start + part.size]
            counter = int.from_bytes(b"".join(value.to_bytes(2, "big") for value in registers), "big")
            span = _REGISTER**part.size
            base = self._first(number, asked, part.first, counter)
            begin = 0 if left is None else span - int(left)
            changed = ((counter - base + begin) % span).to_bytes(2 * part.size, "big")
            said = [
                *said[:start],
                *(int.from_bytes(changed[at : at + 2], "big") for at in range(0, len(changed), 2)),
                *said[start + part.size :],
            ]
        return said


def _table(asked: Asked) -> Table:
    if asked.table is None:
        raise ValueError("a read has a table; ask for values of functions that have registers")
    return asked.table


def _each(rule: FaultRule, asked: Asked, said: list[int], change: Callable[[int, int], int]) -> list[int]:
    """Return ``said`` with ``change(address, value)`` where the rule has the address."""
    parts = _WHOLE if rule.addresses is None else rule.addresses
    return [
        change(address, value) if any(address in part for part in parts) else value
        for address, value in enumerate(said, start=asked.address)
    ]


def _missing(rule: FaultRule, asked: Asked, said: list[int]) -> list[int]:
    firsts = None if rule.addresses is None else {part.first for part in rule.addresses}
    first, rest = int(rule.number("first")), int(rule.number("rest"))
    return _each(rule, asked, said, lambda address, _: first if firsts is None or address in firsts else rest)


def _writes_of(rule: FaultRule) -> list[OutsideWrite]:
    """Return the writes of a second master: its value to each address, on each unit (1 where none is named)."""
    value = int(rule.number("value"))
    return [
        OutsideWrite(unit=unit, table=table, address=part.first, values=(value,) * part.size)
        for unit in (rule.units if rule.units is not None else (1,))
        for table in (rule.tables if rule.tables is not None else (Table.HOLDING,))
        for part in (rule.addresses if rule.addresses is not None else ())
    ]
