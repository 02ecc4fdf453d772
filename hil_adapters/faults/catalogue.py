"""The faults that can be injected: what each one does to the wire or to the values, and what a client must make of it.

The table is data. Scripts, the fault layer of servers and the proxy read it, and the matrix of the tests checks every row
against the shipped client (``docs/faults.md``).
"""

from dataclasses import dataclass
from enum import StrEnum

from hil_adapters.wire.station import Framing

__all__ = ["Fault", "FaultEntry", "Level", "Outcome", "Parameter", "number"]


class Fault(StrEnum):
    """A fault by name."""

    REFUSED = "refused"
    ONE_CLIENT = "one_client"
    RESET = "reset"
    CLOSE = "close"
    HALF_OPEN = "half_open"
    LOST_REQUEST = "lost_request"
    SILENT = "silent"
    SLOW = "slow"
    LATE = "late"
    DUPLICATE = "duplicate"
    STALE_FIRST = "stale_first"
    SPLIT = "split"
    EXCEPTION = "exception"
    WRONG_UNIT = "wrong_unit"
    WRONG_TRANSACTION = "wrong_transaction"
    ZERO_TRANSACTION = "zero_transaction"
    WRONG_PROTOCOL = "wrong_protocol"
    LENGTH_LOW = "length_low"
    LENGTH_HIGH = "length_high"
    FEWER_REGISTERS = "fewer_registers"
    MORE_REGISTERS = "more_registers"
    BYTE_COUNT_LOW = "byte_count_low"
    BYTE_COUNT_HIGH = "byte_count_high"
    WRONG_FUNCTION = "wrong_function"
    WRONG_ECHO = "wrong_echo"
    GARBAGE_BEFORE = "garbage_before"
    GARBAGE_ONLY = "garbage_only"
    TRUNCATED = "truncated"
    BAD_CRC = "bad_crc"
    LOCAL_ECHO = "local_echo"
    MISSING_VALUE = "missing_value"
    SCALE_OUT_OF_RANGE = "scale_out_of_range"
    SCALE_MISSING = "scale_missing"
    SCALE_CHANGE = "scale_change"
    FROZEN = "frozen"
    MAP_SHIFT = "map_shift"
    COUNTER_RESET = "counter_reset"
    COUNTER_ROLLOVER = "counter_rollover"
    REBOOT = "reboot"
    SECOND_MASTER = "second_master"
    IGNORED_WRITE = "ignored_write"


class Level(StrEnum):
    """Where a fault acts."""

    CONNECTION = "connection"
    REQUEST = "request"
    ANSWER = "answer"
    VALUE = "value"


class Outcome(StrEnum):
    """What a request under a fault may end in."""

    RIGHT = "right values"
    TIMEOUT = "timeout"
    VIOLATION = "violation"
    LOST = "connection lost"
    EXCEPTION = "exception"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A number that shapes a fault."""

    name: str
    """With its unit."""
    default: float
    low: float
    high: float
    text: str


def number(name: str, default: float, text: str, *, low: float = 0.0, high: float = 65535.0) -> Parameter:
    """Return a parameter; without bounds it fits into a register."""
    return Parameter(name=name, default=default, low=low, high=high, text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultEntry:
    """One row of the catalogue."""

    fault: Fault
    level: Level
    effect: str
    """What happens instead of the right answer."""
    required: str
    """What a client must make of it."""
    tcp: frozenset[Outcome] = frozenset()
    """How a request may end over Modbus TCP; empty where the fault does not exist there."""
    rtu: frozenset[Outcome] = frozenset()
    """The same over RTU."""
    parameters: tuple[Parameter, ...] = ()

    @property
    def framings(self) -> frozenset[Framing]:
        """Where the fault exists."""
        found = {Framing.TCP: self.tcp, Framing.RTU: self.rtu}
        return frozenset(framing for framing, outcomes in found.items() if outcomes)
