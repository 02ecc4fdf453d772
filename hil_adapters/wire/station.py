"""What a server does with a frame, without input or output: faults, units, roles, the bank, the frame of the answer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hil_adapters.wire.answering import refuse, serve
from hil_adapters.wire.base import Bank, Direction, FaultAction, FaultLayer, FrameObserver, Peer
from hil_adapters.wire.codes import WRITING, ExceptionCode
from hil_adapters.wire.framing import (
    Frame,
    MbapFramer,
    RtuFramer,
    answer_length,
    mbap_frame,
    parse_mbap,
    parse_rtu,
    request_length,
    rtu_frame,
)

__all__ = ["Admission", "Framing", "ServerStatistics", "Station", "request_framer"]

_BROADCAST: Final = 0
_UNITS: Final = range(1, 248)


class Framing(StrEnum):
    """How frames are cut and checked."""

    TCP = "tcp"
    RTU = "rtu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A client that may ask."""

    peer: Peer
    functions: frozenset[int] | None = None
    """Function codes its role allows; None: all."""


@dataclass(slots=True, kw_only=True)
class ServerStatistics:
    """What happened at a server since it was made; counts."""

    connections: int = 0
    refused_connections: int = 0
    requests: int = 0
    answers: int = 0
    violations: int = 0


def request_framer(framing: Framing) -> MbapFramer | RtuFramer:
    """Return what cuts the requests of clients; on a shared line it skips what other devices answer."""
    return MbapFramer() if framing is Framing.TCP else RtuFramer(request_length, answer_length)


class Station:
    """What the connections of one server share."""

    def __init__(
        self, bank: Bank, framing: Framing, *, faults: FaultLayer | None, observer: FrameObserver | None
    ) -> None:
        self.statistics = ServerStatistics()
        self.faults = faults
        self.framing = framing
        self._bank = bank
        self._observer = observer

    def new_framer(self) -> MbapFramer | RtuFramer:
        """Return a framer for one connection."""
        return request_framer(self.framing)

    def respond(self, frame: Frame, client: Admission) -> bytes | Sequence[FaultAction] | None:
        """Return the frame of the answer, or what a fault layer makes of it; None where nothing is to be said."""
        self.statistics.requests += 1
        self._observe(Direction.RECEIVED, frame.adu)
        if self.faults is None:
            return self._answer(frame, client)
        arrived = self.faults.request(frame.adu)
        if arrived is None:
            return None
        if arrived != frame.adu:
            changed = parse_mbap(arrived) if self.framing is Framing.TCP else parse_rtu(arrived)
            if changed is None:
                return None
            frame = changed
        answer = self._answer(frame, client)
        return None if answer is None else self.faults.answer(frame.adu, answer)

    def sent(self, adu: bytes) -> None:
        """Take note of a frame that goes out."""
        self.statistics.answers += 1
        self._observe(Direction.SENT, adu)

    def _answer(self, frame: Frame, client: Admission) -> bytes | None:
        unit, pdu = frame.unit, frame.pdu
        on_a_line = self.framing is Framing.RTU
        if on_a_line and unit == _BROADCAST:
            self._broadcast(pdu, client)
            return None
        if not self._bank.has_unit(unit):
            if on_a_line:
                return None
            answer = refuse(pdu[0], ExceptionCode.GATEWAY_TARGET)
        elif client.functions is not None and pdu[0] not in client.functions:
            answer = refuse(pdu[0], ExceptionCode.FUNCTION)
        else:
            answer = serve(self._bank, unit, pdu, client.peer)
        return rtu_frame(unit, answer) if on_a_line else mbap_frame(frame.transaction, unit, answer)

    def _broadcast(self, pdu: bytes, client: Admission) -> None:
        """Let every unit take a write; nobody answers."""
        if pdu[0] in WRITING and (client.functions is None or pdu[0] in client.functions):
            for unit in _UNITS:
                if self._bank.has_unit(unit):
                    serve(self._bank, unit, pdu, client.peer)

    def _observe(self, direction: Direction, adu: bytes) -> None:
        if self._observer is not None:
            self._observer(direction, adu, time.monotonic_ns())
