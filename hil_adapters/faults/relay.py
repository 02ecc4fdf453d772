"""What a proxy does with one request: ask the device, spoil the values, let the plan spoil the answer."""

import logging
from collections.abc import Sequence

from hil_adapters.errors import (
    ExceptionReplyError,
    LinkError,
    LinkLostError,
    LinkTimeoutError,
    ProtocolViolationError,
)
from hil_adapters.faults.adu import READS, WRITES, Adu, Asked, asked_by
from hil_adapters.faults.plan import FaultPlan
from hil_adapters.wire.answering import refuse
from hil_adapters.wire.base import Cut, FaultAction, ModbusLink
from hil_adapters.wire.codes import ADDRESSES, ExceptionCode
from hil_adapters.wire.framing import Frame
from hil_adapters.wire.pdu import read_values, write_request
from hil_adapters.wire.station import Framing

__all__ = ["Relay"]

_log = logging.getLogger(__name__)

_BROADCAST = 0
_ECHO_BYTES = 5
_COUNTED_WRITES = frozenset({15, 16})
_BIT_READS = frozenset({1, 2})


class Relay:
    """Passes requests on to a device over a link, with the faults of a plan.

    What the device itself answers wrongly is not passed on: the link is strict, so the client sees silence (after a
    timeout) or a cut (after a loss or a violation), and the log says why. A broadcast (unit 0 over RTU) is not passed on.
    """

    def __init__(self, plan: FaultPlan, *, timeout_s: float) -> None:
        self._plan = plan
        self._timeout_s = timeout_s

    async def respond(self, frame: Frame, link: ModbusLink) -> Sequence[FaultAction]:
        """Return what is sent to the client."""
        if self._plan.framing is Framing.RTU and frame.unit == _BROADCAST:
            _log.warning("a broadcast (unit 0) is not passed on; address the device by its unit")
            return ()
        if self._plan.request(frame.adu) is None:
            return ()
        try:
            await link.open()
            await self._write_from_outside(link)
            answer = await self._answered(frame.unit, frame.pdu, link)
        except LinkTimeoutError as error:
            _log.warning("%s", error)
            return ()
        except (LinkLostError, ProtocolViolationError) as error:
            _log.warning("%s; the client's connection ends", error)
            return (Cut(),)
        except LinkError as error:
            _log.warning("%s; the request is dropped", error)
            return ()
        adu = Adu(
            framing=self._plan.framing, unit=frame.unit, pdu=answer, transaction=frame.transaction
        ).frame()
        return self._plan.answer(frame.adu, adu)

    async def _answered(self, unit: int, pdu: bytes, link: ModbusLink) -> bytes:
        """Return the PDU of the device's answer, its values spoiled."""
        asked = asked_by(unit, pdu)
        if asked.function in WRITES and self._plan.values.is_ignored(asked):
            return pdu[:_ECHO_BYTES] if asked.function in _COUNTED_WRITES else pdu
        reads = asked.table is not None and asked.function in READS
        if reads:
            moved = self._plan.values.moved(asked)
            if not 0 <= moved <= ADDRESSES - asked.count:
                return refuse(asked.function, ExceptionCode.ADDRESS)
            pdu = pdu[:1] + moved.to_bytes(2, "big") + pdu[3:]
        try:
            answer = await link.request(unit, pdu, timeout_s=self._timeout_s)
        except ExceptionReplyError as refused:
            return refuse(asked.function, refused.code)
        return self._spoiled(asked, pdu, answer) if reads else answer

    def _spoiled(self, asked: Asked, request: bytes, answer: bytes) -> bytes:
        values = read_values(request, answer)
        said = self._plan.values.spoiled(asked, values)
        if said == values:
            return answer
        if asked.function in _BIT_READS:
            bits = sum((bit & 1) << at for at, bit in enumerate(said))
            return answer[:2] + bits.to_bytes(answer[1], "little")
        return answer[:2] + b"".join(value.to_bytes(2, "big") for value in said)

    async def _write_from_outside(self, link: ModbusLink) -> None:
        for due in self._plan.values.due_writes():
            pdu = write_request(due.table, due.address, due.values, single=False)
            try:
                await link.request(due.unit, pdu, timeout_s=self._timeout_s)
            except ExceptionReplyError as refused:
                _log.warning("the second master was refused: %s", refused)
