"""The rows of the fault catalogue."""

from collections.abc import Mapping
from types import MappingProxyType

from hil_adapters.faults.catalogue import Fault, FaultEntry, Level, Outcome, Parameter, number
from hil_adapters.faults.entries_of_values import VALUE_ENTRIES

__all__ = ["CATALOGUE"]

_RIGHT = frozenset({Outcome.RIGHT})
_TIMEOUT = frozenset({Outcome.TIMEOUT})
_VIOLATION = frozenset({Outcome.VIOLATION})
_LOST = frozenset({Outcome.LOST})
_EXCEPTION = frozenset({Outcome.EXCEPTION})
_NOT_USED = _TIMEOUT | _VIOLATION
"""Nothing of the answer is used; which of the two depends on whether the end of the frame can be seen."""
_NEVER_MIND = _RIGHT | _TIMEOUT | _VIOLATION
"""The right values, or none."""


def _delay(default_s: float, text: str) -> Parameter:
    return Parameter(name="delay_s", default=default_s, low=0.0, high=3600.0, text=text)


_CONNECTION = (
    FaultEntry(
        fault=Fault.REFUSED,
        level=Level.CONNECTION,
        effect="no connection is accepted",
        required="lost at once; tried again with growing pauses",
        tcp=_LOST,
        rtu=_LOST,
    ),
    FaultEntry(
        fault=Fault.ONE_CLIENT,
        level=Level.CONNECTION,
        effect="further clients are refused",
        required="the second client is told; the first goes on undisturbed",
        tcp=_LOST,
        rtu=_LOST,
        parameters=(number("clients", 1, "how many are served", low=1, high=1000),),
    ),
    FaultEntry(
        fault=Fault.RESET,
        level=Level.CONNECTION,
        effect="the connection is reset (RST) instead of an answer",
        required="lost at once, without waiting for the deadline",
        tcp=_LOST,
        rtu=_LOST,
        parameters=(_delay(0.0, "wait before the reset"),),
    ),
    FaultEntry(
        fault=Fault.CLOSE,
        level=Level.CONNECTION,
        effect="the connection is closed (FIN) instead of an answer",
        required="lost at once, without waiting for the deadline",
        tcp=_LOST,
        rtu=_LOST,
        parameters=(_delay(0.0, "wait before the end"),),
    ),
    FaultEntry(
        fault=Fault.HALF_OPEN,
        level=Level.CONNECTION,
        effect="after the first hit nothing is answered until the rule ends; the connection stands",
        required="every request ends at its deadline; the age of values tells, not the socket",
        tcp=_TIMEOUT,
        rtu=_TIMEOUT,
    ),
)

_REQUEST = (
    FaultEntry(
        fault=Fault.LOST_REQUEST,
        level=Level.REQUEST,
        effect="the request does not reach the device",
        required="ends at its deadline",
        tcp=_TIMEOUT,
        rtu=_TIMEOUT,
    ),
)

_TIMING = (
    FaultEntry(
        fault=Fault.SILENT,
        level=Level.ANSWER,
        effect="the device acts and does not answer",
        required="ends at its deadline",
        tcp=_TIMEOUT,
        rtu=_TIMEOUT,
    ),
    FaultEntry(
        fault=Fault.SLOW,
        level=Level.ANSWER,
        effect="the answer comes late, within the deadline",
        required="taken",
        tcp=_RIGHT,
        rtu=_RIGHT,
        parameters=(_delay(0.05, "wait before the answer"),),
    ),
    FaultEntry(
        fault=Fault.LATE,
        level=Level.ANSWER,
        effect="the answer comes after the deadline",
        required="ends at its deadline; the late answer is dropped, never taken for another request",
        tcp=_TIMEOUT,
        rtu=_TIMEOUT,
        parameters=(_delay(1.0, "wait before the answer; longer than the client's deadline"),),
    ),
    FaultEntry(
        fault=Fault.DUPLICATE,
        level=Level.ANSWER,
        effect="the answer is sent twice",
        required="the first is taken, the second dropped",
        tcp=_NEVER_MIND,
        rtu=_NEVER_MIND,
    ),
    FaultEntry(
        fault=Fault.STALE_FIRST,
        level=Level.ANSWER,
        effect="the answer before is repeated in front of the right one",
        required="the old answer is not used (over RTU nothing in a frame tells it from an older one of the same shape)",
        tcp=_NEVER_MIND,
    ),
    FaultEntry(
        fault=Fault.SPLIT,
        level=Level.ANSWER,
        effect="the answer comes in pieces",
        required="taken",
        tcp=_RIGHT,
        rtu=_RIGHT,
        parameters=(
            number("piece_bytes", 3, "length of a piece", low=1, high=260),
            _delay(0.002, "wait between pieces"),
        ),
    ),
)

_HEADER = (
    FaultEntry(
        fault=Fault.WRONG_UNIT,
        level=Level.ANSWER,
        effect="another unit answers",
        required="not used; over TCP the connection is dropped",
        tcp=_VIOLATION,
        rtu=_NOT_USED,
    ),
    FaultEntry(
        fault=Fault.WRONG_TRANSACTION,
        level=Level.ANSWER,
        effect="the transaction number is another one",
        required="not used",
        tcp=_NOT_USED,
    ),
    FaultEntry(
        fault=Fault.ZERO_TRANSACTION,
        level=Level.ANSWER,
        effect="the transaction number is 0",
        required="not used, except where the map declares it as a quirk",
        tcp=_NOT_USED,
    ),
    FaultEntry(
        fault=Fault.WRONG_PROTOCOL,
        level=Level.ANSWER,
        effect="the protocol number is not 0",
        required="not used; the connection is dropped",
        tcp=_VIOLATION,
    ),
    FaultEntry(
        fault=Fault.LENGTH_LOW,
        level=Level.ANSWER,
        effect="the length in the header is too small",
        required="not used; the connection is dropped",
        tcp=_VIOLATION,
        parameters=(number("bytes", 2, "how far off", low=1, high=250),),
    ),
    FaultEntry(
        fault=Fault.LENGTH_HIGH,
        level=Level.ANSWER,
        effect="the length in the header is too large",
        required="not used; the connection is dropped because bytes are left over",
        tcp=_NOT_USED,
        parameters=(number("bytes", 2, "how far off", low=1, high=60000),),
    ),
    FaultEntry(
        fault=Fault.BAD_CRC,
        level=Level.ANSWER,
        effect="the check sum is wrong",
        required="not used; counted as line quality",
        rtu=_NOT_USED,
    ),
    FaultEntry(
        fault=Fault.LOCAL_ECHO,
        level=Level.ANSWER,
        effect="the client's own request comes back in front of the answer",
        required="the echo is not taken for the answer",
        rtu=_NEVER_MIND,
    ),
)

_BODY = (
    FaultEntry(
        fault=Fault.EXCEPTION,
        level=Level.ANSWER,
        effect="the device answers with an exception",
        required="told with its code; the connection stays",
        tcp=_EXCEPTION,
        rtu=_EXCEPTION,
        parameters=(number("code", 4, "exception code", low=1, high=255),),
    ),
    FaultEntry(
        fault=Fault.FEWER_REGISTERS,
        level=Level.ANSWER,
        effect="fewer registers than asked for, in a frame that is right in itself",
        required="the whole block is refused; the connection is dropped",
        tcp=_VIOLATION,
        rtu=_NOT_USED,
        parameters=(number("registers", 1, "how many are missing", low=1, high=125),),
    ),
    FaultEntry(
        fault=Fault.MORE_REGISTERS,
        level=Level.ANSWER,
        effect="more registers than asked for, in a frame that is right in itself",
        required="the whole block is refused; the connection is dropped",
        tcp=_VIOLATION,
        rtu=_NOT_USED,
        parameters=(number("registers", 1, "how many too many", low=1, high=125),),
    ),
    FaultEntry(
        fault=Fault.BYTE_COUNT_LOW,
        level=Level.ANSWER,
        effect="the byte count is too small for the bytes that follow",
        required="the whole block is refused",
        tcp=_VIOLATION,
        rtu=_NOT_USED,
        parameters=(number("bytes", 2, "how far off", low=1, high=250),),
    ),
    FaultEntry(
        fault=Fault.BYTE_COUNT_HIGH,
        level=Level.ANSWER,
        effect="the byte count is too large for the bytes that follow",
        required="the whole block is refused",
        tcp=_VIOLATION,
        rtu=_NOT_USED,
        parameters=(number("bytes", 2, "how far off", low=1, high=250),),
    ),
    FaultEntry(
        fault=Fault.WRONG_FUNCTION,
        level=Level.ANSWER,
        effect="the function code is another one",
        required="not used; the connection is dropped",
        tcp=_VIOLATION,
        rtu=_NOT_USED,
    ),
    FaultEntry(
        fault=Fault.WRONG_ECHO,
        level=Level.ANSWER,
        effect="a write is confirmed with another address",
        required="the write counts as failed; the connection is dropped",
        tcp=_VIOLATION,
        rtu=_NOT_USED,
    ),
    FaultEntry(
        fault=Fault.GARBAGE_BEFORE,
        level=Level.ANSWER,
        effect="bytes without meaning in front of the answer",
        required="the right values or none",
        tcp=_NOT_USED,
        rtu=_NEVER_MIND,
        parameters=(number("bytes", 5, "how many", low=1, high=260),),
    ),
    FaultEntry(
        fault=Fault.GARBAGE_ONLY,
        level=Level.ANSWER,
        effect="bytes without meaning instead of the answer",
        required="not used; the connection is dropped",
        tcp=_NOT_USED,
        rtu=_NOT_USED,
        parameters=(number("bytes", 13, "how many", low=1, high=260),),
    ),
    FaultEntry(
        fault=Fault.TRUNCATED,
        level=Level.ANSWER,
        effect="the answer stops before its end",
        required="ends at its deadline; nothing of it is used, and bytes left over drop the connection",
        tcp=_TIMEOUT,
        rtu=_NOT_USED,
        parameters=(number("bytes", 3, "how many are missing", low=1, high=250),),
    ),
)

CATALOGUE: Mapping[Fault, FaultEntry] = MappingProxyType(
    {entry.fault: entry for entry in (*_CONNECTION, *_REQUEST, *_TIMING, *_HEADER, *_BODY, *VALUE_ENTRIES)}
)
"""Every fault by name."""
