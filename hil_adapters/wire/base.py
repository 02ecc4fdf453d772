"""What the layers above know of the wire: targets, a link that carries one request at a time, a bank that answers."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

__all__ = [
    "Bank",
    "Cut",
    "Direction",
    "FaultAction",
    "FaultLayer",
    "FrameObserver",
    "LinkStatistics",
    "ModbusLink",
    "Parity",
    "Peer",
    "RtuOverTcpTarget",
    "Send",
    "SerialTarget",
    "Table",
    "Target",
    "TcpTarget",
]


class Table(StrEnum):
    """The four tables of Modbus."""

    COIL = "coil"
    """Function codes 1, 5, 15."""
    DISCRETE = "discrete"
    """Function code 2."""
    INPUT = "input"
    """Function code 4."""
    HOLDING = "holding"
    """Function codes 3, 6, 16, 22, 23."""


class Direction(StrEnum):
    """Which way a frame went, seen from this program."""

    SENT = "sent"
    RECEIVED = "received"


class Parity(StrEnum):
    """Parity of a serial line."""

    NONE = "none"
    EVEN = "even"
    ODD = "odd"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpTarget:
    """A Modbus TCP server; with ``tls`` Modbus/TCP Security."""

    host: str
    port: int = 502
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        """Return it as a person writes it."""
        return f"{'tls' if self.tls else 'tcp'}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RtuOverTcpTarget:
    """A serial server that passes RTU frames over TCP unchanged."""

    host: str
    port: int
    turnaround_s: float = 0.3
    """As of a serial line; network included [s]."""

    def __str__(self) -> str:
        """Return it as a person writes it."""
        return f"rtu+tcp://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialTarget:
    """A serial line with Modbus RTU."""

    path: str
    baudrate: int = 19200
    parity: Parity = Parity.EVEN
    stopbits: int = 1
    turnaround_s: float = 0.3
    """Longest time a device on the line takes to begin its answer [s]; kept silent after a timeout."""

    def __str__(self) -> str:
        """Return it as a person writes it."""
        return f"rtu:{self.path}@{self.baudrate}"


Target = TcpTarget | RtuOverTcpTarget | SerialTarget

FrameObserver = Callable[[Direction, bytes, int], None]
"""Is given every whole frame (ADU) as sent or received, with ``time.monotonic_ns()``."""


@dataclass(slots=True, kw_only=True)
class LinkStatistics:
    """What happened on a link since it was made; counts."""

    requests: int = 0
    answers: int = 0
    exceptions: int = 0
    timeouts: int = 0
    violations: int = 0
    crc_errors: int = 0
    late_answers: int = 0
    """Answers that came after their deadline or twice; dropped."""
    connects: int = 0
    losses: int = 0


class ModbusLink(Protocol):
    """A client's end of a connection. One request at a time; callers wait for each other in order."""

    @property
    def target(self) -> Target:
        """Where it leads."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether a connection stands, as far as is known."""
        ...

    @property
    def statistics(self) -> LinkStatistics:
        """Counts since the link was made."""
        ...

    async def open(self) -> None:
        """Connect once; ``LinkLostError`` where that fails. Does nothing on an open link."""
        ...

    async def request(self, unit: int, pdu: bytes, *, timeout_s: float) -> bytes:
        """Send a request and return the PDU of its answer, verified against the request.

        Function, unit, transaction, byte count and the echo of writes are checked. After a violation, after a timeout
        with bytes left over, and after a loss the connection is closed; the caller opens it again. RTU stays open after
        a violation and after a timeout: the line is kept silent for its turnaround instead.

        ``timeout_s`` counts from the moment the request is sent, not while it waits for its turn.

        Raises:
            LinkTimeoutError, LinkLostError, ProtocolViolationError, ExceptionReplyError
            ValueError: the function is not spoken here.
        """
        ...

    async def close(self) -> None:
        """Close; may be called again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who asks a server."""

    address: str
    role: str | None = None
    """Role in the certificate of a TLS client (OID 1.3.6.1.4.1.50316.802.1); None without TLS."""


class Bank(Protocol):
    """What a server answers from: registers and coils of several units."""

    def has_unit(self, unit: int) -> bool:
        """Return whether a unit is there; an absent one gets exception 0x0B, or silence on a serial line."""
        ...

    def read(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        """Return ``count`` registers (0 to 65535) or bits (0, 1); raise :class:`Refusal` of ``wire.codes``."""
        ...

    def write(
        self, unit: int, table: Table, address: int, values: list[int], *, peer: Peer, single: bool
    ) -> None:
        """Take registers or bits; ``single`` for function codes 5 and 6. Raise :class:`Refusal` of ``wire.codes``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send these bytes, ``after_s`` seconds after the action before."""

    frame: bytes
    after_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """End the connection, by FIN or (``reset``) by RST."""

    after_s: float = 0.0
    reset: bool = False


FaultAction = Send | Cut


class FaultLayer(Protocol):
    """What stands between a server (or a proxy) and its client, and spoils answers."""

    def refuses_connection(self, clients: int) -> bool:
        """Return whether a connection is refused while ``clients`` others stand."""
        ...

    def request(self, frame: bytes) -> bytes | None:
        """Return the request as it reaches the device; None where it is lost."""
        ...

    def answer(self, request: bytes, answer: bytes) -> Sequence[FaultAction]:
        """Return what happens instead of sending ``answer``; whole frames (ADU) of the framing in use."""
        ...
