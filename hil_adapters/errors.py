"""Errors of devices on the wire. A message says what, where and the remedy.

HilError
├── MapError            a register map is wrong or does not fit the device
├── LinkError           nothing usable came back for a request
│   ├── LinkTimeoutError      no answer before the deadline
│   ├── LinkLostError         the connection was refused, reset, closed, or is down
│   ├── ProtocolViolationError  the answer does not belong to the request; the connection is dropped
│   └── ExceptionReplyError   the device answered with an exception code
├── IdentityError       another device, another firmware or another register map answers
├── GuardError          the guard refuses a write or a change of state
│   └── TrippedError    the guard has tripped and waits for a person
├── GuardianError       the guardian process cannot start, has ended or does not answer
├── FaultScriptError    a script of faults is wrong
├── RecordingError      a recording cannot be written or read
└── SourceError         the source that feeds the grid's voltage to a device refuses or does not answer
"""

__all__ = [
    "ExceptionReplyError",
    "FaultScriptError",
    "GuardError",
    "GuardianError",
    "HilError",
    "IdentityError",
    "LinkError",
    "LinkLostError",
    "LinkTimeoutError",
    "MapError",
    "ProtocolViolationError",
    "RecordingError",
    "SourceError",
    "TrippedError",
]


class HilError(Exception):
    """Root of the errors of ``hil_adapters``."""


class MapError(HilError):
    """A register map is wrong or does not fit the device."""


class LinkError(HilError):
    """Nothing usable came back for a request."""


class LinkTimeoutError(LinkError):
    """No answer came before the deadline."""


class LinkLostError(LinkError):
    """The connection was refused, reset or closed, or is down."""


class ProtocolViolationError(LinkError):
    """The answer does not belong to the request, or is malformed; the connection is dropped."""


class ExceptionReplyError(LinkError):
    """The device answered with an exception."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        """1 function, 2 address, 3 value, 4 failure, 5 acknowledge, 6 busy, 10 and 11 gateway; others count as 4."""
        super().__init__(message)


class IdentityError(HilError):
    """Another device, another firmware or another register map answers."""


class GuardError(HilError):
    """The guard refuses a write or a change of state."""


class TrippedError(GuardError):
    """The guard has tripped; only a person can reset it."""


class GuardianError(HilError):
    """The guardian process cannot start, has ended or does not answer."""


class FaultScriptError(HilError):
    """A script of faults is wrong."""


class RecordingError(HilError):
    """A recording cannot be written or read."""


class SourceError(HilError):
    """The source that feeds the grid's voltage to a device refuses or does not answer."""
