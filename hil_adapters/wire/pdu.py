"""Requests of a client, and the strict check of an answer against its request.

Source: Modbus Application Protocol Specification V1.1b3, section 6. Every length, count and echo is verified, because an
answer of the wrong shape belongs to another request or to another device.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from hil_adapters.errors import ExceptionReplyError, ProtocolViolationError
from hil_adapters.wire.base import Table
from hil_adapters.wire.codes import (
    ADDRESSES,
    EXCEPTION_FLAG,
    MAX_READ_BITS,
    MAX_READ_REGISTERS,
    MAX_READ_WRITE_REGISTERS,
    MAX_WRITE_BITS,
    MAX_WRITE_REGISTERS,
    Function,
    exception_text,
)

__all__ = [
    "check_answer",
    "check_request",
    "describe",
    "device_id_objects",
    "device_id_request",
    "mask_request",
    "read_request",
    "read_values",
    "read_write_request",
    "write_request",
]

_COIL_ON: Final = 0xFF00
_READ_DEVICE_ID: Final = 14
_CATEGORIES: Final = range(1, 5)
_MORE_FOLLOWS: Final = 0xFF
_FUNCTIONS: Final = frozenset(int(function) for function in Function)
_DEVICE_ID_HEAD: Final = 7
_EXCEPTION_BYTES: Final = 2
"""Function and code."""

_READ: Final = {
    Table.COIL: Function.READ_COILS,
    Table.DISCRETE: Function.READ_DISCRETE_INPUTS,
    Table.HOLDING: Function.READ_HOLDING_REGISTERS,
    Table.INPUT: Function.READ_INPUT_REGISTERS,
}
_NAMES: Final[Mapping[int, str]] = {
    Function.READ_COILS: "read of {} coils",
    Function.READ_DISCRETE_INPUTS: "read of {} discrete inputs",
    Function.READ_HOLDING_REGISTERS: "read of {} holding registers",
    Function.READ_INPUT_REGISTERS: "read of {} input registers",
    Function.WRITE_MULTIPLE_COILS: "write of {} coils",
    Function.WRITE_MULTIPLE_REGISTERS: "write of {} holding registers",
    Function.READ_WRITE_REGISTERS: "read of {} holding registers with a write",
}
_NAMES_OF_ONE: Final[Mapping[int, str]] = {
    Function.WRITE_SINGLE_COIL: "write to coil",
    Function.WRITE_SINGLE_REGISTER: "write to holding register",
    Function.MASK_WRITE_REGISTER: "write to holding register",
}
_ADDRESS: Final = struct.Struct(">xH")
_ADDRESS_AND_COUNT: Final = struct.Struct(">xHH")
"""Behind the function of a request."""


def read_request(table: Table, address: int, count: int) -> bytes:
    """Return the PDU that reads ``count`` bits or registers (functions 1 to 4).

    Raises:
        ValueError: ``count`` or ``address`` is outside what Modbus can carry.
    """
    most = MAX_READ_BITS if table in {Table.COIL, Table.DISCRETE} else MAX_READ_REGISTERS
    _check_span(address, count, most)
    return struct.pack(">BHH", _READ[table], address, count)


def write_request(table: Table, address: int, values: Sequence[int], *, single: bool) -> bytes:
    """Return the PDU that writes coils (0, 1) or holding registers (0 to 65535).

    ``single`` takes function 5 or 6, and exactly one value; otherwise 15 or 16.

    Raises:
        ValueError: the table cannot be written, or count, address or a value is outside what Modbus can carry.
    """
    if table not in {Table.COIL, Table.HOLDING}:
        raise ValueError(f"table {table} cannot be written: write to coils or holding registers")
    coils = table is Table.COIL
    _check_span(address, len(values), 1 if single else MAX_WRITE_BITS if coils else MAX_WRITE_REGISTERS)
    _check_values(values, 1 if coils else 0xFFFF)
    if single:
        function = Function.WRITE_SINGLE_COIL if coils else Function.WRITE_SINGLE_REGISTER
        return struct.pack(">BHH", function, address, values[0] * _COIL_ON if coils else values[0])
    if coils:
        packed = _packed_bits(values)
        return struct.pack(">BHHB", Function.WRITE_MULTIPLE_COILS, address, len(values), len(packed)) + packed
    head = struct.pack(">BHHB", Function.WRITE_MULTIPLE_REGISTERS, address, len(values), 2 * len(values))
    return head + struct.pack(f">{len(values)}H", *values)


def mask_request(address: int, *, and_mask: int, or_mask: int) -> bytes:
    """Return the PDU of function 22: register = (register AND and_mask) OR (or_mask AND NOT and_mask)."""
    _check_span(address, 1, 1)
    _check_values((and_mask, or_mask), 0xFFFF)
    return struct.pack(">BHHH", Function.MASK_WRITE_REGISTER, address, and_mask, or_mask)


def read_write_request(
    read_address: int, read_count: int, *, write_address: int, values: Sequence[int]
) -> bytes:
    """Return the PDU of function 23, which writes holding registers and then reads some."""
    _check_span(read_address, read_count, MAX_READ_REGISTERS)
    _check_span(write_address, len(values), MAX_READ_WRITE_REGISTERS)
    _check_values(values, 0xFFFF)
    n = len(values)
    head = (Function.READ_WRITE_REGISTERS, read_address, read_count, write_address, n, 2 * n)
    return struct.pack(f">BHHHHB{n}H", *head, *values)


def device_id_request(*, category: int = 1, first_object: int = 0) -> bytes:
    """Return the PDU of function 43/14: 1 basic, 2 regular, 3 extended objects, 4 one object."""
    if category not in _CATEGORIES:
        raise ValueError(f"category {category} of the device identification: give 1 to 4")
    _check_values((first_object,), 0xFF)
    return bytes((Function.DEVICE_IDENTIFICATION, _READ_DEVICE_ID, category, first_object))


def check_request(request: bytes) -> None:
    """Verify that an answer to ``request`` could be verified.

    Raises:
        ValueError: it is empty, or its function is not spoken here.
    """
    if not request or request[0] not in _FUNCTIONS:
        raise ValueError(f"a request of {request.hex(' ')}: its function is not spoken here")


def check_answer(request: bytes, answer: bytes) -> None:
    """Verify that ``answer`` answers ``request``: function, lengths, counts, and the echo of a write.

    Raises:
        ExceptionReplyError: the device refuses; the text names the code.
        ProtocolViolationError: the answer has another shape than this request asks for.
    """
    check_request(request)
    if not answer:
        raise ProtocolViolationError(f"empty answer to a {describe(request)}")
    function = request[0]
    if answer[0] != function:
        _check_exception(request, answer)
    if function <= Function.READ_INPUT_REGISTERS or function == Function.READ_WRITE_REGISTERS:
        count = request[3] << 8 | request[4]
        n_bytes = (count + 7) // 8 if function <= Function.READ_DISCRETE_INPUTS else 2 * count
        if len(answer) != n_bytes + 2 or answer[1] != n_bytes:
            raise _violation(
                request, f"{len(answer) - 2} bytes and a byte count of {answer[1:2].hex() or 'none'}"
            )
    elif function in {Function.WRITE_SINGLE_COIL, Function.WRITE_SINGLE_REGISTER}:
        _check_echo(request, answer, request)
    elif function in {Function.WRITE_MULTIPLE_COILS, Function.WRITE_MULTIPLE_REGISTERS}:
        _check_echo(request, answer, request[:5])
    elif function == Function.MASK_WRITE_REGISTER:
        _check_echo(request, answer, request)
    else:
        device_id_objects(request, answer)


def read_values(request: bytes, answer: bytes) -> list[int]:
    """Return the bits (0, 1) or registers (0 to 65535) of a verified answer to functions 1 to 4 and 23."""
    count = request[3] << 8 | request[4]
    if request[0] <= Function.READ_DISCRETE_INPUTS:
        bits = int.from_bytes(answer[2:], "little")
        return [bits >> i & 1 for i in range(count)]
    return list(struct.unpack_from(f">{count}H", answer, 2))


def device_id_objects(request: bytes, answer: bytes) -> tuple[dict[int, str], int | None]:
    """Return the objects of a 43/14 answer, and the object to ask for next; None where nothing follows.

    Raises:
        ProtocolViolationError: an object is longer than the answer, or something follows the last.
    """
    if len(answer) < _DEVICE_ID_HEAD or answer[1:3] != request[1:3]:
        raise _violation(request, f"a head of {answer[:_DEVICE_ID_HEAD].hex(' ')}")
    more, following, count = answer[4], answer[5], answer[6]
    objects: dict[int, str] = {}
    at = _DEVICE_ID_HEAD
    for _ in range(count):
        end = at + 2 + answer[at + 1] if at + 2 <= len(answer) else len(answer) + 1
        if end > len(answer):
            raise _violation(request, "an object that is longer than the answer")
        objects[answer[at]] = answer[at + 2 : end].decode("latin-1")
        at = end
    if at != len(answer):
        raise _violation(request, f"{len(answer) - at} bytes after the last object")
    return objects, following if more == _MORE_FOLLOWS else None


def describe(request: bytes) -> str:
    """Return a request in words, for messages."""
    function = request[0]
    if function in _NAMES and len(request) >= _ADDRESS_AND_COUNT.size:
        address, count = _ADDRESS_AND_COUNT.unpack_from(request)
        return f"{_NAMES[function].format(count)} from {address}"
    if function in _NAMES_OF_ONE and len(request) >= _ADDRESS.size:
        return f"{_NAMES_OF_ONE[function]} {_ADDRESS.unpack_from(request)[0]}"
    if function == Function.DEVICE_IDENTIFICATION:
        return "read of the device identification"
    return f"request with function {function}"


def _check_span(address: int, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise ValueError(f"count {count} at address {address}: Modbus carries 1 to {most} here; split it")
    if not (address >= 0 and address + count <= ADDRESSES):
        raise ValueError(f"addresses {address} to {address + count - 1}: Modbus has 0 to 65535")


def _check_values(values: Sequence[int], most: int) -> None:
    for value in values:
        if not 0 <= value <= most:
            raise ValueError(f"value {value}: must lie between 0 and {most}")


def _packed_bits(bits: Sequence[int]) -> bytes:
    return sum(bit << i for i, bit in enumerate(bits)).to_bytes((len(bits) + 7) // 8, "little")


def _check_exception(request: bytes, answer: bytes) -> None:
    if answer[0] != request[0] | EXCEPTION_FLAG:
        raise _violation(request, f"function {answer[0]}")
    if len(answer) != _EXCEPTION_BYTES:
        raise _violation(request, f"an exception of {len(answer)} bytes")
    code = answer[1]
    raise ExceptionReplyError(code, f"{describe(request)}: {exception_text(code)}")


def _check_echo(request: bytes, answer: bytes, expected: bytes) -> None:
    if answer != expected:
        raise _violation(request, f"{answer.hex(' ')} where {expected.hex(' ')} is due")


def _violation(request: bytes, came: str) -> ProtocolViolationError:
    return ProtocolViolationError(f"{describe(request)}: answered with {came}")
