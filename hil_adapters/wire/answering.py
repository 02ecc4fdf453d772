"""The server's side of Modbus: from a request PDU and a bank to the answer PDU, without input or output.

Source: Modbus Application Protocol Specification V1.1b3, section 6; the order of the checks (function, count, address,
then the value) follows its state diagrams.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from hil_adapters.wire.base import Bank, Peer, Table
from hil_adapters.wire.codes import (
    ADDRESSES,
    EXCEPTION_FLAG,
    MAX_PDU_BYTES,
    MAX_READ_BITS,
    MAX_READ_REGISTERS,
    MAX_READ_WRITE_REGISTERS,
    MAX_WRITE_BITS,
    MAX_WRITE_REGISTERS,
    ExceptionCode,
    Function,
    Identified,
    Refusal,
)

__all__ = ["refuse", "serve"]

_HIGHEST_BASIC: Final = 2
_HIGHEST_REGULAR: Final = 0x7F
_HIGHEST: Final = {1: _HIGHEST_BASIC, 2: _HIGHEST_REGULAR, 3: 0xFF}
_ONE_OBJECT: Final = 4
_CONFORMITY: Final = 0x83
"""Basic, regular and extended objects, as a stream and one by one."""

Handler = Callable[[Bank, int, bytes, Peer], bytes]


def serve(bank: Bank, unit: int, request: bytes, peer: Peer) -> bytes:
    """Return the answer PDU of a bank that has ``unit``; exceptions 1 to 4 and what the bank refuses with."""
    handler = _HANDLERS.get(request[0])
    if handler is None:
        return refuse(request[0], ExceptionCode.FUNCTION)
    try:
        return handler(bank, unit, request, peer)
    except Refusal as refusal:
        return refuse(request[0], refusal.code)


def refuse(function: int, code: int) -> bytes:
    """Return the PDU of an exception."""
    return bytes((function & 0x7F | EXCEPTION_FLAG, code))


def _read_bits(bank: Bank, unit: int, request: bytes, _peer: Peer) -> bytes:
    function, address, count = _unpacked(">BHH", request)
    _check_span(address, count, MAX_READ_BITS)
    table = Table.COIL if function == Function.READ_COILS else Table.DISCRETE
    bits = _whole(bank.read(unit, table, address, count), count)
    n_bytes = (count + 7) // 8
    packed = sum((bit & 1) << i for i, bit in enumerate(bits)).to_bytes(n_bytes, "little")
    return bytes((function, n_bytes)) + packed


def _read_registers(bank: Bank, unit: int, request: bytes, _peer: Peer) -> bytes:
    function, address, count = _unpacked(">BHH", request)
    _check_span(address, count, MAX_READ_REGISTERS)
    table = Table.HOLDING if function == Function.READ_HOLDING_REGISTERS else Table.INPUT
    return _registers(function, _whole(bank.read(unit, table, address, count), count))


def _write_coil(bank: Bank, unit: int, request: bytes, peer: Peer) -> bytes:
    _, address, value = _unpacked(">BHH", request)
    if value not in {0, 0xFF00}:
        raise Refusal(ExceptionCode.VALUE)
    bank.write(unit, Table.COIL, address, [value >> 15], peer=peer, single=True)
    return request


def _write_register(bank: Bank, unit: int, request: bytes, peer: Peer) -> bytes:
    _, address, value = _unpacked(">BHH", request)
    bank.write(unit, Table.HOLDING, address, [value], peer=peer, single=True)
    return request


def _write_coils(bank: Bank, unit: int, request: bytes, peer: Peer) -> bytes:
    address, count, data = _counted(request, MAX_WRITE_BITS)
    if len(data) != (count + 7) // 8:
        raise Refusal(ExceptionCode.VALUE)
    bits = int.from_bytes(data, "little")
    values = [bits >> i & 1 for i in range(count)]
    bank.write(unit, Table.COIL, address, values, peer=peer, single=False)
    return request[:5]


def _write_registers(bank: Bank, unit: int, request: bytes, peer: Peer) -> bytes:
    address, count, data = _counted(request, MAX_WRITE_REGISTERS)
    if len(data) != 2 * count:
        raise Refusal(ExceptionCode.VALUE)
    values = list(struct.unpack(f">{count}H", data))
    bank.write(unit, Table.HOLDING, address, values, peer=peer, single=False)
    return request[:5]


def _mask_register(bank: Bank, unit: int, request: bytes, peer: Peer) -> bytes:
    _, address, and_mask, or_mask = _unpacked(">BHHH", request)
    [held] = _whole(bank.read(unit, Table.HOLDING, address, 1), 1)
    value = held & and_mask | or_mask & ~and_mask & 0xFFFF
    bank.write(unit, Table.HOLDING, address, [value], peer=peer, single=False)
    return request


def _read_write(bank: Bank, unit: int, request: bytes, peer: Peer) -> bytes:
    head, data = request[:10], request[10:]
    function, read_address, read_count, address, count, n_bytes = _unpacked(">BHHHHB", head)
    if not (n_bytes == len(data) == 2 * count):
        raise Refusal(ExceptionCode.VALUE)
    _check_count(read_count, MAX_READ_REGISTERS)
    _check_span(address, count, MAX_READ_WRITE_REGISTERS)
    _check_span(read_address, read_count, MAX_READ_REGISTERS)
    values = list(struct.unpack(f">{count}H", data))
    bank.write(unit, Table.HOLDING, address, values, peer=peer, single=False)
    return _registers(function, _whole(bank.read(unit, Table.HOLDING, read_address, read_count), read_count))


def _identify(bank: Bank, unit: int, request: bytes, _peer: Peer) -> bytes:
    if not isinstance(bank, Identified) or request[1:2] != b"\x0e":
        raise Refusal(ExceptionCode.FUNCTION)
    function, kind, category, first = _unpacked(">BBBB", request)
    objects = bank.identification(unit)
    if category == _ONE_OBJECT:
        if first not in objects:
            raise Refusal(ExceptionCode.ADDRESS)
        chosen = [first]
    elif category in _HIGHEST:
        known = sorted(number for number in objects if number <= _HIGHEST[category])
        # an unknown first object means: from the beginning
        chosen = [number for number in known if number >= first] if first in known else known
    else:
        raise Refusal(ExceptionCode.VALUE)
    body, n_sent = _object_list(objects, chosen)
    following = chosen[n_sent] if n_sent < len(chosen) else None
    more = (0, 0) if following is None else (0xFF, following)
    return bytes((function, kind, category, _CONFORMITY, *more, n_sent)) + body


def _object_list(objects: Mapping[int, str], chosen: Sequence[int]) -> tuple[bytes, int]:
    """Return as many objects as one PDU holds, and how many those are."""
    body = b""
    for n_sent, number in enumerate(chosen):
        text = objects[number].encode("latin-1", "replace")[: MAX_PDU_BYTES - 9]
        part = bytes((number, len(text))) + text
        if len(body) + len(part) + 7 > MAX_PDU_BYTES:
            return body, n_sent
        body += part
    return body, len(chosen)


_HANDLERS: Final[dict[int, Handler]] = {
    Function.READ_COILS: _read_bits,
    Function.READ_DISCRETE_INPUTS: _read_bits,
    Function.READ_HOLDING_REGISTERS: _read_registers,
    Function.READ_INPUT_REGISTERS: _read_registers,
    Function.WRITE_SINGLE_COIL: _write_coil,
    Function.WRITE_SINGLE_REGISTER: _write_register,
    Function.WRITE_MULTIPLE_COILS: _write_coils,
    Function.WRITE_MULTIPLE_REGISTERS: _write_registers,
    Function.MASK_WRITE_REGISTER: _mask_register,
    Function.READ_WRITE_REGISTERS: _read_write,
    Function.DEVICE_IDENTIFICATION: _identify,
}


def _unpacked(layout: str, request: bytes) -> tuple[int, ...]:
    if len(request) != struct.calcsize(layout):
        raise Refusal(ExceptionCode.VALUE)
    return struct.unpack(layout, request)


def _counted(request: bytes, most: int) -> tuple[int, int, bytes]:
    """Take functions 15 and 16 apart: address, count, data."""
    _, address, count, n_bytes = _unpacked(">BHHB", request[:6])
    data = request[6:]
    if len(data) != n_bytes:
        raise Refusal(ExceptionCode.VALUE)
    _check_span(address, count, most)
    return address, count, data


def _check_count(count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise Refusal(ExceptionCode.VALUE)


def _check_span(address: int, count: int, most: int) -> None:
    _check_count(count, most)
    if address + count > ADDRESSES:
        raise Refusal(ExceptionCode.ADDRESS)


def _whole(values: list[int], count: int) -> list[int]:
    if len(values) != count:
        raise ValueError(f"the bank gave {len(values)} values where {count} were asked for")
    return values


def _registers(function: int, values: Sequence[int]) -> bytes:
    n = len(values)
    return struct.pack(f">BB{n}H", function, 2 * n, *values)
