"""What a fault makes of an answer on the wire: bytes in, actions out. No state, no clock, no I/O.

Every function returns None where the fault cannot show on this answer (a wrong echo on a read); the answer then stays
as it is and the fault does not count as injected.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from hil_adapters.faults.adu import READS, WRITES, Adu
from hil_adapters.faults.catalogue import Fault
from hil_adapters.faults.rules import FaultRule
from hil_adapters.wire.base import Cut, FaultAction, Send, Table

__all__ = ["Exchange", "spoil"]

_LENGTH_AT = slice(4, 6)
_SWAPPED = {1: 2, 2: 1, 3: 4, 4: 3, 5: 6, 6: 5, 15: 16, 16: 15, 22: 6, 23: 3}
"""Another function with an answer of the same shape."""

Actions = tuple[FaultAction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request, its right answer, and the answer before it on this layer."""

    request: Adu
    answer: Adu
    previous: bytes | None


def spoil(rule: FaultRule, exchange: Exchange) -> Actions | None:
    """Return what happens instead of the right answer; None where the fault cannot show on it."""
    maker = _MAKERS.get(rule.fault)
    return None if maker is None else maker(rule, exchange)


def _sent(answer: Adu) -> Actions:
    return (Send(frame=answer.frame()),)


def _silent(_rule: FaultRule, _exchange: Exchange) -> Actions:
    return ()


def _delayed(rule: FaultRule, exchange: Exchange) -> Actions:
    return (Send(frame=exchange.answer.frame(), after_s=rule.number("delay_s")),)


def _reset(rule: FaultRule, _exchange: Exchange) -> Actions:
    return (Cut(after_s=rule.number("delay_s"), reset=True),)


def _close(rule: FaultRule, _exchange: Exchange) -> Actions:
    return (Cut(after_s=rule.number("delay_s")),)


def _duplicate(_rule: FaultRule, exchange: Exchange) -> Actions:
    return (Send(frame=exchange.answer.frame() * 2),)


def _stale_first(_rule: FaultRule, exchange: Exchange) -> Actions | None:
    if exchange.previous is None:
        return None
    return (Send(frame=exchange.previous + exchange.answer.frame()),)


def _split(rule: FaultRule, exchange: Exchange) -> Actions:
    frame, size = exchange.answer.frame(), int(rule.number("piece_bytes"))
    pieces = [frame[start : start + size] for start in range(0, len(frame), size)]
    pause_s = rule.number("delay_s")
    return tuple(Send(frame=piece, after_s=pause_s if number else 0.0) for number, piece in enumerate(pieces))


def _exception(rule: FaultRule, exchange: Exchange) -> Actions:
    function = exchange.request.function
    return _sent(exchange.answer.with_pdu(bytes([function | 0x80, int(rule.number("code"))])))


def _wrong_unit(_rule: FaultRule, exchange: Exchange) -> Actions:
    return _sent(replace(exchange.answer, unit=(exchange.answer.unit + 1) % 256))


def _wrong_transaction(_rule: FaultRule, exchange: Exchange) -> Actions:
    return _sent(replace(exchange.answer, transaction=exchange.answer.transaction ^ 0x5A5A))


def _zero_transaction(_rule: FaultRule, exchange: Exchange) -> Actions | None:
    if exchange.answer.transaction == 0:
        return None
    return _sent(replace(exchange.answer, transaction=0))


def _wrong_protocol(_rule: FaultRule, exchange: Exchange) -> Actions:
    return _sent(replace(exchange.answer, protocol=1))


def _length_off(frame: bytes, off_bytes: int) -> Actions:
    length = int.from_bytes(frame[_LENGTH_AT], "big") + off_bytes
    changed = min(max(length, 1), 0xFFFF).to_bytes(2, "big")
    return (Send(frame=frame[: _LENGTH_AT.start] + changed + frame[_LENGTH_AT.stop :]),)


def _length_low(rule: FaultRule, exchange: Exchange) -> Actions:
    return _length_off(exchange.answer.frame(), -int(rule.number("bytes")))


def _length_high(rule: FaultRule, exchange: Exchange) -> Actions:
    return _length_off(exchange.answer.frame(), int(rule.number("bytes")))


def _has_values(exchange: Exchange) -> bool:
    return not exchange.answer.is_exception and exchange.answer.function in READS


def _other_size(exchange: Exchange, registers: int) -> Actions | None:
    """Return the answer with registers (or bytes of bits) more or fewer, right in itself."""
    if not _has_values(exchange):
        return None
    bits = READS[exchange.answer.function] in {Table.COIL, Table.DISCRETE}
    size = registers if bits else 2 * registers
    content = exchange.answer.pdu[2:]
    content = content + bytes(size) if size > 0 else content[: max(len(content) + size, 0)]
    content = content[:254] if bits else content[:252]
    return _sent(exchange.answer.with_pdu(bytes([exchange.answer.function, len(content) & 0xFF]) + content))


def _fewer(rule: FaultRule, exchange: Exchange) -> Actions | None:
    return _other_size(exchange, -int(rule.number("registers")))


def _more(rule: FaultRule, exchange: Exchange) -> Actions | None:
    return _other_size(exchange, int(rule.number("registers")))


def _count_off(exchange: Exchange, off_bytes: int) -> Actions | None:
    if not _has_values(exchange):
        return None
    pdu = exchange.answer.pdu
    count = min(max(pdu[1] + off_bytes, 0), 255)
    return _sent(exchange.answer.with_pdu(pdu[:1] + bytes([count]) + pdu[2:]))


def _byte_count_low(rule: FaultRule, exchange: Exchange) -> Actions | None:
    return _count_off(exchange, -int(rule.number("bytes")))


def _byte_count_high(rule: FaultRule, exchange: Exchange) -> Actions | None:
    return _count_off(exchange, int(rule.number("bytes")))


def _wrong_function(_rule: FaultRule, exchange: Exchange) -> Actions | None:
    function = exchange.answer.function
    if function not in _SWAPPED:
        return None
    return _sent(exchange.answer.with_pdu(bytes([_SWAPPED[function]]) + exchange.answer.pdu[1:]))


def _wrong_echo(_rule: FaultRule, exchange: Exchange) -> Actions | None:
    pdu = exchange.answer.pdu
    if exchange.answer.function not in WRITES:
        return None
    address = (int.from_bytes(pdu[1:3], "big") + 1) % 0x10000
    return _sent(exchange.answer.with_pdu(pdu[:1] + address.to_bytes(2, "big") + pdu[3:]))


def _garbage(size: int) -> bytes:
    return bytes((37 * number + 91) % 256 for number in range(size))


def _garbage_before(rule: FaultRule, exchange: Exchange) -> Actions:
    return (Send(frame=_garbage(int(rule.number("bytes"))) + exchange.answer.frame()),)


def _garbage_only(rule: FaultRule, _exchange: Exchange) -> Actions:
    return (Send(frame=_garbage(int(rule.number("bytes")))),)


def _truncated(rule: FaultRule, exchange: Exchange) -> Actions:
    frame = exchange.answer.frame()
    return (Send(frame=frame[: max(len(frame) - int(rule.number("bytes")), 1)]),)


def _bad_crc(_rule: FaultRule, exchange: Exchange) -> Actions:
    frame = exchange.answer.frame()
    return (Send(frame=frame[:-1] + bytes([frame[-1] ^ 0xFF])),)


def _local_echo(_rule: FaultRule, exchange: Exchange) -> Actions:
    return (Send(frame=exchange.request.frame() + exchange.answer.frame()),)


_Maker = Callable[[FaultRule, Exchange], Actions | None]

_MAKERS: Mapping[Fault, _Maker] = MappingProxyType(
    {
        Fault.RESET: _reset,
        Fault.CLOSE: _close,
        Fault.HALF_OPEN: _silent,
        Fault.SILENT: _silent,
        Fault.SLOW: _delayed,
        Fault.LATE: _delayed,
        Fault.DUPLICATE: _duplicate,
        Fault.STALE_FIRST: _stale_first,
        Fault.SPLIT: _split,
        Fault.EXCEPTION: _exception,
        Fault.WRONG_UNIT: _wrong_unit,
        Fault.WRONG_TRANSACTION: _wrong_transaction,
        Fault.ZERO_TRANSACTION: _zero_transaction,
        Fault.WRONG_PROTOCOL: _wrong_protocol,
        Fault.LENGTH_LOW: _length_low,
        Fault.LENGTH_HIGH: _length_high,
        Fault.FEWER_REGISTERS: _fewer,
        Fault.MORE_REGISTERS: _more,
        Fault.BYTE_COUNT_LOW: _byte_count_low,
        Fault.BYTE_COUNT_HIGH: _byte_count_high,
        Fault.WRONG_FUNCTION: _wrong_function,
        Fault.WRONG_ECHO: _wrong_echo,
        Fault.GARBAGE_BEFORE: _garbage_before,
        Fault.GARBAGE_ONLY: _garbage_only,
        Fault.TRUNCATED: _truncated,
        Fault.BAD_CRC: _bad_crc,
        Fault.LOCAL_ECHO: _local_echo,
    }
)
