"""Function and exception codes of Modbus, and the refusal that a bank answers with.

Source: Modbus Application Protocol Specification V1.1b3, sections 6 and 7.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, Protocol, runtime_checkable

__all__ = [
    "ADDRESSES",
    "EXCEPTION_FLAG",
    "GATEWAY",
    "MAX_PDU_BYTES",
    "MAX_READ_BITS",
    "MAX_READ_REGISTERS",
    "MAX_READ_WRITE_REGISTERS",
    "MAX_WRITE_BITS",
    "MAX_WRITE_REGISTERS",
    "PERMANENT",
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

ADDRESSES: Final = 0x10000
"""How many addresses a table has."""
MAX_READ_BITS: Final = 2000
MAX_READ_REGISTERS: Final = 125
MAX_WRITE_BITS: Final = 1968
MAX_WRITE_REGISTERS: Final = 123
MAX_READ_WRITE_REGISTERS: Final = 121
"""Written by function 23."""


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


WRITING: Final = frozenset(
    {
        Function.WRITE_SINGLE_COIL,
        Function.WRITE_SINGLE_REGISTER,
        Function.WRITE_MULTIPLE_COILS,
        Function.WRITE_MULTIPLE_REGISTERS,
        Function.MASK_WRITE_REGISTER,
        Function.READ_WRITE_REGISTERS,
    }
)
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


PERMANENT: Final = frozenset({ExceptionCode.FUNCTION, ExceptionCode.ADDRESS, ExceptionCode.VALUE})
"""Exceptions by which a device refuses a request for good."""
GATEWAY: Final = frozenset({ExceptionCode.GATEWAY_PATH, ExceptionCode.GATEWAY_TARGET})
"""Exceptions by which a gateway says that the device behind it does not answer."""

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
