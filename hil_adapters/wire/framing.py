"""From a stream of bytes to frames, without input or output: Modbus TCP (MBAP) and RTU.

Sources: Modbus Messaging on TCP/IP V1.0b section 3.1.3 (header); Modbus over Serial Line V1.02 sections 2.5.1 (RTU framing,
silent interval) and 6.2 (CRC).
"""

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

__all__ = [
    "MAX_ADU_BYTES",
    "MIN_QUIET_S",
    "Frame",
    "MbapFramer",
    "RtuFramer",
    "Violation",
    "answer_length",
    "crc16",
    "mbap_frame",
    "parse_mbap",
    "parse_rtu",
    "request_length",
    "rtu_frame",
    "silent_interval_s",
]

MAX_ADU_BYTES: Final = 260
"""Longest MBAP frame; an RTU frame has at most 256 bytes."""

MIN_QUIET_S: Final = 0.05
"""Shortest pause that is taken for the end of a frame whose length is not clear [s].

USB adapters hand bytes over every 16 ms and serial servers cut frames into packets, so 3.5 characters would be too short.
"""

_MAX_RTU_BYTES: Final = 256
_MIN_RTU_BYTES: Final = 4
_HEADER: Final = struct.Struct(">HHHB")
_HEADER_BYTES: Final = 7
_BAUD_WITH_FIXED_GAPS: Final = 19200
_LENGTH_BEFORE_PDU: Final = 6
_UNIT_AND_FUNCTION: Final = 2
"""Bytes that every frame has behind the header of TCP, and at the beginning of RTU."""
_MAX_LENGTH: Final = MAX_ADU_BYTES - _LENGTH_BEFORE_PDU


class Frame(NamedTuple):
    """One frame (ADU) taken apart."""

    unit: int
    pdu: bytes
    transaction: int
    """0 in RTU, which has none."""
    adu: bytes


class Violation(NamedTuple):
    """Bytes that are no frame."""

    text: str
    data: bytes


def mbap_frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """Return a Modbus TCP frame."""
    return _HEADER.pack(transaction, 0, len(pdu) + 1, unit) + pdu


def parse_mbap(adu: bytes) -> Frame | None:
    """Return one whole Modbus TCP frame taken apart; None where it is none."""
    if not _HEADER_BYTES < len(adu) <= MAX_ADU_BYTES:
        return None
    transaction, protocol, length, unit = _HEADER.unpack_from(adu)
    if protocol != 0 or length + _LENGTH_BEFORE_PDU != len(adu):
        return None
    return Frame(unit, adu[_HEADER_BYTES:], transaction, adu)


class MbapFramer:
    """Cuts a TCP stream into frames. After a violation nothing more comes: such a stream cannot be trusted again."""

    def __init__(self) -> None:
        self._buffer = b""
        self._is_broken = False

    @property
    def n_left_over(self) -> int:
        """Bytes of a frame that is not complete."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame | Violation]:
        """Return the frames that ``data`` completes, and at most one violation as the last."""
        if self._is_broken:
            return []
        buffer = self._buffer + data if self._buffer else data
        found: list[Frame | Violation] = []
        at = 0
        while len(buffer) - at >= _HEADER_BYTES:
            transaction, protocol, length, unit = _HEADER.unpack_from(buffer, at)
            if protocol != 0 or not _UNIT_AND_FUNCTION <= length <= _MAX_LENGTH:
                self._is_broken = True
                self._buffer = b""
                found.append(Violation(_header_fault(protocol, length), buffer[at:]))
                return found
            end = at + _LENGTH_BEFORE_PDU + length
            if end > len(buffer):
                break
            found.append(
                Frame(unit, bytes(buffer[at + _HEADER_BYTES : end]), transaction, bytes(buffer[at:end]))
            )
            at = end
        self._buffer = buffer[at:]
        return found


def _header_fault(protocol: int, length: int) -> str:
    if protocol != 0:
        return (
            f"protocol {protocol} in the header where Modbus has 0: "
            "if this lasts, what answers there does not speak Modbus; check the port"
        )
    return f"length {length} in the header where 2 to 254 are possible"


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_CRC: Final = _crc_table()


def crc16(data: bytes) -> int:
    """Return the CRC of Modbus RTU; 0 over a frame that ends with its CRC (low byte first)."""
    crc = 0xFFFF
    table = _CRC
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """Return an RTU frame."""
    body = bytes((unit,)) + pdu
    return body + struct.pack("<H", crc16(body))


def parse_rtu(adu: bytes) -> Frame | None:
    """Return one whole RTU frame taken apart; None where length or CRC is wrong."""
    if not _MIN_RTU_BYTES <= len(adu) <= _MAX_RTU_BYTES or crc16(adu) != 0:
        return None
    return Frame(adu[0], adu[1:-2], 0, adu)


def silent_interval_s(baudrate: int, *, bits_per_character: int = 11) -> float:
    """Return the pause of 3.5 characters that ends an RTU frame; 1.75 ms above 19200 baud [s]."""
    if baudrate > _BAUD_WITH_FIXED_GAPS:
        return 0.00175
    return 3.5 * bits_per_character / baudrate


Measure = Callable[[bytes], int | None]
"""Length of the frame a buffer begins with; None while it is not known, 0 where only silence can tell."""

_REQUEST_BYTES: Final = {1: 8, 2: 8, 3: 8, 4: 8, 5: 8, 6: 8, 7: 4, 8: 8, 11: 4, 12: 4, 17: 4, 22: 10, 24: 6}
_REQUEST_COUNTED: Final = {15: 6, 16: 6, 20: 2, 21: 2, 23: 10}
"""Where the byte count is, from the unit on."""
_ANSWER_BYTES: Final = {5: 8, 6: 8, 7: 5, 8: 8, 11: 8, 15: 8, 16: 8, 22: 10}
_ANSWER_COUNTED: Final = {1: 2, 2: 2, 3: 2, 4: 2, 12: 2, 17: 2, 20: 2, 21: 2, 23: 2}
_DEVICE_ID: Final = 43
_EXCEPTION_BYTES: Final = 5


def request_length(buffer: bytes) -> int | None:
    """Measure a request of RTU by its function."""
    if len(buffer) < _UNIT_AND_FUNCTION:
        return None
    if buffer[1] == _DEVICE_ID:
        return 7
    return _measured(buffer, _REQUEST_BYTES, _REQUEST_COUNTED)


def answer_length(buffer: bytes) -> int | None:
    """Measure an answer of RTU by its function."""
    if len(buffer) < _UNIT_AND_FUNCTION:
        return None
    if buffer[1] & 0x80:
        return _EXCEPTION_BYTES
    if buffer[1] == _DEVICE_ID:
        return _device_id_length(buffer)
    return _measured(buffer, _ANSWER_BYTES, _ANSWER_COUNTED)


def _measured(buffer: bytes, fixed: dict[int, int], counted: dict[int, int]) -> int | None:
    function = buffer[1]
    if function in fixed:
        return fixed[function]
    if function not in counted:
        return 0
    at = counted[function]
    return None if len(buffer) <= at else at + 1 + buffer[at] + 2


def _device_id_length(buffer: bytes) -> int | None:
    """Walk over the objects of an answer to 43/14: unit, function and six bytes of head, then number, length, text."""
    at = 8
    if len(buffer) < at:
        return None
    for _ in range(buffer[at - 1]):
        if len(buffer) < at + 2:
            return None
        at += 2 + buffer[at + 1]
    return at + 2


class RtuFramer:
    """Cuts the bytes of a serial line into frames.

    A frame ends where the length that its function implies is reached with a right CRC, or else where the line falls
    silent. The first measure is of the frames wanted; frames that fit only a later one are what others on the line say,
    and are skipped.
    """

    def __init__(self, *measures: Measure) -> None:
        self._measures = measures
        self._buffer = b""

    @property
    def n_left_over(self) -> int:
        """Bytes that are no frame yet; silence ends them."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame | Violation]:
        """Return the frames that ``data`` completes."""
        self._buffer += data
        found: list[Frame | Violation] = []
        while (taken := self._first()) is not None:
            wanted, frame = taken
            self._buffer = self._buffer[len(frame.adu) :]
            if wanted:
                found.append(frame)
        # one byte more than a frame can have marks what is too long
        self._buffer = self._buffer[: _MAX_RTU_BYTES + 1]
        return found

    def silence(self) -> list[Frame | Violation]:
        """Take note that the line was silent for longer than the gap between frames; return what that ends."""
        rest, self._buffer = self._buffer, b""
        if not rest:
            return []
        frame = parse_rtu(rest)
        return [frame if frame is not None else _spoiled(rest)]

    def reset(self) -> None:
        """Forget everything."""
        self._buffer = b""

    def _first(self) -> tuple[bool, Frame] | None:
        """Return the frame the buffer begins with, and whether it is of the kind wanted."""
        for measure in self._measures:
            length = measure(self._buffer)
            if length and length <= len(self._buffer):
                frame = parse_rtu(self._buffer[:length])
                if frame is not None:
                    return measure is self._measures[0], frame
        return None


def _spoiled(data: bytes) -> Violation:
    if not _MIN_RTU_BYTES <= len(data) <= _MAX_RTU_BYTES:
        return Violation(f"{min(len(data), _MAX_RTU_BYTES)} bytes or more that are no frame", data)
    return Violation("the check sum (CRC) is wrong", data)
