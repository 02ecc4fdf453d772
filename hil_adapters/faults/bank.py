"""A bank whose values are spoiled: what a server answers from when its device is to say something wrong."""

import contextlib
from collections.abc import Callable, Mapping

from hil_adapters.faults.adu import Asked
from hil_adapters.faults.values import ValueFaults
from hil_adapters.wire.base import Bank, Peer, Table
from hil_adapters.wire.codes import ADDRESSES, ExceptionCode, Identified, Refusal

__all__ = ["SECOND_MASTER", "FaultyBank"]

SECOND_MASTER = Peer(address="second master")
"""Who writes when a script has a second master."""
_RESTART = Peer(address="restart")
_READ_FUNCTIONS = {Table.COIL: 1, Table.DISCRETE: 2, Table.HOLDING: 3, Table.INPUT: 4}
_BITS = frozenset({Table.COIL, Table.DISCRETE})


class FaultyBank:
    """A :class:`~hil_adapters.wire.base.Bank` around another one.

    Writes of a second master and restarts are carried out when the next request comes, before it is answered.
    """

    def __init__(
        self, bank: Bank, values: ValueFaults, *, on_reboot: Callable[[], None] | None = None
    ) -> None:
        """``on_reboot`` restarts the device; without it the registers that were written get their first values back."""
        self._bank = bank
        self._values = values
        self._on_reboot = self._restore if on_reboot is None else on_reboot
        self._first_values: dict[tuple[int, Table, int], int] = {}

    def has_unit(self, unit: int) -> bool:
        """Return whether the bank has a unit."""
        return self._bank.has_unit(unit)

    def read(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        """Return what the bank holds, spoiled."""
        self._catch_up()
        asked = Asked(unit=unit, function=_READ_FUNCTIONS[table], table=table, address=address, count=count)
        moved = self._values.moved(asked)
        if not 0 <= moved <= ADDRESSES - count:
            raise Refusal(ExceptionCode.ADDRESS)
        return self._values.spoiled(asked, self._bank.read(unit, table, moved, count))

    def write(
        self, unit: int, table: Table, address: int, values: list[int], *, peer: Peer, single: bool
    ) -> None:
        """Write to the bank, unless the write is ignored."""
        self._catch_up()
        function = (5 if single else 15) if table in _BITS else (6 if single else 16)
        asked = Asked(unit=unit, function=function, table=table, address=address, count=len(values))
        if self._values.is_ignored(asked):
            return
        if self._values.has_reboots:
            self._remember(asked)
        self._bank.write(unit, table, address, values, peer=peer, single=single)

    def identification(self, unit: int) -> Mapping[int, str]:
        """Return the objects of the device, unspoiled; refused (exception 1) where the bank has none."""
        if not isinstance(self._bank, Identified):
            raise Refusal(ExceptionCode.FUNCTION)
        return self._bank.identification(unit)

    def _catch_up(self) -> None:
        if self._values.has_rebooted():
            self._on_reboot()
        for due in self._values.due_writes():
            # a device may refuse a second master as it may refuse the first
            with contextlib.suppress(Refusal):
                self._bank.write(
                    due.unit, due.table, due.address, list(due.values), peer=SECOND_MASTER, single=False
                )

    def _remember(self, asked: Asked) -> None:
        if asked.table is None:
            return
        # what cannot be read cannot be put back
        with contextlib.suppress(Refusal):
            held = self._bank.read(asked.unit, asked.table, asked.address, asked.count)
            for address, value in enumerate(held, start=asked.address):
                self._first_values.setdefault((asked.unit, asked.table, address), value)

    def _restore(self) -> None:
        for (unit, table, address), value in self._first_values.items():
            with contextlib.suppress(Refusal):
                self._bank.write(unit, table, address, [value], peer=_RESTART, single=True)
