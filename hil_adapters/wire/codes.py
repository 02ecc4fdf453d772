"""Function and exception codes of Modbus, and the refusal that a bank answers with.

Source: Modbus Application Protocol Specification V1.1b3, sections 6 and 7.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, Protocol, runtime_checkable

__all__ = [
    "EXCEPTION_FLAG",
    "MAX_PDU_BYTES",
    "WRITING",
    "ExceptionCode",
    "Function",
    "Identified",
    "Refusal",
    "exception_text",
]

EXCEPTION_FLAG: Final = 0x80
"""Set in the function code of an exception."""

MAX_PDU_BYTES: Final = 253


class Function(IntEnum):
    """Function codes that are spoken here."""

    READ_COILS = 1
    READ_DISCRETE_INPUTS = 2
    READ_HOLDING_REGISTERS = 3
    READ_INPUT_REGISTERS = 4
    WRITE_SINGLE_COIL = 5
    WRITE_SINGLE_REGISTER = 6
    WRITE_MULTIPLE_COILS = 15
    WRITE_MULTIPLE_REGISTERS = 16
    MASK_WRITE_REGISTER = 22
    READ_WRITE_REGISTERS = 23
    DEVICE_IDENTIFICATION = 43


WRITING: Final = frozenset({5, 6, 15, 16, 22, 23})
"""Function codes that change something."""


class ExceptionCode(IntEnum):
    """Why a device refuses."""

    FUNCTION = 1
    ADDRESS = 2
    VALUE = 3
    FAILURE = 4
    ACKNOWLEDGE = 5
    BUSY = 6
    GATEWAY_PATH = 10
    GATEWAY_TARGET = 11


_TEXTS: Final = {
    ExceptionCode.FUNCTION: "illegal function: the device does not support it here",
    ExceptionCode.ADDRESS: "illegal address: the device has no such register; check the register map",
    ExceptionCode.VALUE: "illegal value or count: the device refuses it",
    ExceptionCode.FAILURE: "device failure: it could not do it",
    ExceptionCode.ACKNOWLEDGE: "acknowledged: the device needs more time",
    ExceptionCode.BUSY: "busy: ask again later",
    ExceptionCode.GATEWAY_PATH: "no path through the gateway: check its configuration",
    ExceptionCode.GATEWAY_TARGET: "the device behind the gateway does not answer: check unit and wiring",
}


def exception_text(code: int) -> str:
    """Return what an exception code says."""
    if code in _TEXTS:
        return f"exception {code}, {_TEXTS[ExceptionCode(code)]}"
    return f"exception {code}, which is not defined: treat it as a device failure"


class Refusal(Exception):  # noqa: N818 - an answer of the protocol, not a mistake of the program
    """A bank refuses a request with an exception code."""

    def __init__(self, code: int) -> None:
        self.code = code
        """See :class:`ExceptionCode`."""
        super().__init__(exception_text(code))


@runtime_checkable
class Identified(Protocol):
    """A bank that also answers function 43/14 (device identification)."""

    def identification(self, unit: int) -> Mapping[int, str]:
        """Return the objects by number: 0 vendor, 1 product code, 2 revision, and any others up to 255."""
        ...
