"""Whole frames taken apart and put together again, and what a request asks for. No I/O."""

import struct
from dataclasses import dataclass, replace

from hil_adapters.wire.base import Table
from hil_adapters.wire.framing import rtu_frame
from hil_adapters.wire.station import Framing

__all__ = ["READS", "WRITES", "Adu", "Asked", "asked_by", "parse"]

_HEADER = struct.Struct(">HHHB")
_PAIR = struct.Struct(">HH")
_SHORTEST_RTU = 4
_CRC_BYTES = 2

READS = {1: Table.COIL, 2: Table.DISCRETE, 3: Table.HOLDING, 4: Table.INPUT, 23: Table.HOLDING}
"""Function codes whose answer holds values, with their table."""
WRITES = {5: Table.COIL, 6: Table.HOLDING, 15: Table.COIL, 16: Table.HOLDING, 22: Table.HOLDING}
"""Function codes whose answer repeats the beginning of the request, with their table."""

_ONE_REGISTER = frozenset({5, 6, 22})


@dataclass(frozen=True, slots=True, kw_only=True)
class Adu:
    """One frame."""

    framing: Framing
    unit: int
    pdu: bytes
    transaction: int = 0
    """0 over RTU, which has none."""
    protocol: int = 0

    @property
    def function(self) -> int:
        """The function code, with 0x80 in an exception."""
        return self.pdu[0]

    @property
    def is_exception(self) -> bool:
        """Whether it is an exception reply."""
        return bool(self.function & 0x80)

    def with_pdu(self, pdu: bytes) -> "Adu":
        """Return it around another PDU."""
        return replace(self, pdu=pdu)

    def frame(self) -> bytes:
        """Return the bytes on the wire."""
        if self.framing is Framing.TCP:
            return _HEADER.pack(self.transaction, self.protocol, len(self.pdu) + 1, self.unit) + self.pdu
        return rtu_frame(self.unit, self.pdu)


def parse(frame: bytes, framing: Framing) -> Adu | None:
    """Return the parts of a whole frame; None where it is too short to have a function code."""
    if framing is Framing.TCP:
        if len(frame) <= _HEADER.size:
            return None
        transaction, protocol, _, unit = _HEADER.unpack_from(frame)
        pdu = frame[_HEADER.size :]
        return Adu(framing=framing, unit=unit, pdu=pdu, transaction=transaction, protocol=protocol)
    if len(frame) < _SHORTEST_RTU:
        return None
    return Adu(framing=framing, unit=frame[0], pdu=frame[1:-_CRC_BYTES])


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request is about."""

    unit: int
    function: int
    table: Table | None = None
    """None where the function is not about registers."""
    address: int = 0
    count: int = 0


def asked_by(unit: int, pdu: bytes) -> Asked:
    """Return what a request PDU asks for; function 23 counts by the registers it reads."""
    function = pdu[0]
    table = READS.get(function, WRITES.get(function))
    if table is None or len(pdu) < 1 + _PAIR.size:
        return Asked(unit=unit, function=function)
    address, second = _PAIR.unpack_from(pdu, 1)
    count = 1 if function in _ONE_REGISTER else second
    return Asked(unit=unit, function=function, table=table, address=address, count=count)
