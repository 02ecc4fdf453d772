"""One request and its answer on a connection, without input or output; the clock is given.

A shell (``wire.links``) writes what ``start`` returns, hands in what arrives, and calls ``tick`` at ``wakes_at_s``.
Nothing that belongs to an earlier request can answer a later one.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from hil_adapters.errors import LinkError, LinkTimeoutError
from hil_adapters.wire.pdu import describe

__all__ = ["NO_VERDICT", "Asked", "Exchange", "Verdict", "timed_out"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a request, and of the connection."""

    answer: bytes | None = None
    """The verified PDU."""
    error: LinkError | None = None
    drop: str | None = None
    """Why the connection must be dropped; None where it may stand."""
    heard: tuple[bytes, ...] = ()
    """Whole frames (ADU) that arrived, for the record."""


NO_VERDICT: Final = Verdict()


@dataclass(frozen=True, slots=True)
class Asked:
    """The request under way."""

    unit: int
    pdu: bytes
    deadline_s: float
    timeout_s: float


class Exchange(Protocol):
    """Sends one request at a time and judges what comes back."""

    @property
    def wakes_at_s(self) -> float:
        """When ``tick`` is due; infinite where never [s]."""
        ...

    def wait_s(self, now_s: float) -> float:
        """Return how long the line must stay silent before the next request [s]."""
        ...

    def start(self, unit: int, pdu: bytes, *, now_s: float, timeout_s: float) -> bytes:
        """Begin a request; return the frame to send."""
        ...

    def feed(self, data: bytes, *, now_s: float) -> Verdict:
        """Judge what arrived."""
        ...

    def tick(self, now_s: float) -> Verdict:
        """Judge that nothing more arrived until now."""
        ...

    def abandon(self, now_s: float) -> str | None:
        """Give the request up; return why the connection must be dropped, None where it may stand."""
        ...

    def reconnected(self) -> None:
        """Forget what an earlier connection left over."""
        ...


def timed_out(asked: Asked, *, other_unit: int | None = None) -> LinkTimeoutError:
    """Return the error of a request that got no answer; ``other_unit`` was heard instead."""
    text = f"{describe(asked.pdu)}: no answer within {asked.timeout_s:g} s"
    if other_unit is not None:
        return LinkTimeoutError(f"{text}, but a frame of unit {other_unit} came: check the unit numbers")
    return LinkTimeoutError(f"{text}: check that the device is on and reachable, or allow more time")
