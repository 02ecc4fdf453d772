"""What happened to the requests of a session: counts by cause, and how long answers took."""

import math
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from hil_adapters.errors import (
    ExceptionReplyError,
    LinkError,
    LinkLostError,
    LinkTimeoutError,
    ProtocolViolationError,
)
from hil_adapters.wire.codes import GATEWAY

__all__ = ["Cause", "Latency", "SessionStatistics", "cause_of"]

_SMALLEST_S = 20e-6
_RATIO = 1.05
_EDGES_S = tuple(_SMALLEST_S * _RATIO**step for step in range(320))
"""Upper edges of the classes; the last lies beyond 110 s. A quantile is therefore at most 5 % too large."""


class Cause(StrEnum):
    """How a request ended."""

    GOOD = "good"
    TIMEOUT = "timeout"
    LOST = "lost"
    VIOLATION = "violation"
    EXCEPTION = "exception"
    GATEWAY = "gateway"
    """Exception 10 or 11: the gateway answered for a device that did not."""
    OTHER = "other"


def cause_of(error: LinkError) -> Cause:
    """Return the class a failed request is counted in."""
    match error:
        case LinkTimeoutError():
            return Cause.TIMEOUT
        case LinkLostError():
            return Cause.LOST
        case ProtocolViolationError():
            return Cause.VIOLATION
        case ExceptionReplyError(code=code) if code in GATEWAY:
            return Cause.GATEWAY
        case ExceptionReplyError():
            return Cause.EXCEPTION
        case _:
            return Cause.OTHER


class Latency:
    """A histogram of times with classes 5 % wide, from 20 µs to 110 s."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_EDGES_S) + 1)
        self._total = 0
        self._longest_s = math.nan

    def add(self, latency_s: float) -> None:
        """Count one time [s]."""
        self._counts[bisect_left(_EDGES_S, latency_s)] += 1
        self._total += 1
        if not latency_s <= self._longest_s:
            self._longest_s = latency_s

    @property
    def count(self) -> int:
        """How many were counted."""
        return self._total

    @property
    def longest_s(self) -> float:
        """The longest [s]; NaN without any."""
        return self._longest_s

    def quantile_s(self, share: float) -> float:
        """Return the time that ``share`` (0 to 1) of all do not exceed [s]; NaN without any.

        It is the upper edge of its class: never too small, at most 5 % too large (below 20 µs: 20 µs).
        """
        if self._total == 0:
            return math.nan
        wanted = max(1, math.ceil(share * self._total))
        seen = 0
        for edge_s, count in zip(_EDGES_S, self._counts, strict=False):
            seen += count
            if seen >= wanted:
                return min(edge_s, max(self._longest_s, _SMALLEST_S))
        return self._longest_s

    @property
    def p50_s(self) -> float:
        """Half of the answers took no longer than this [s]."""
        return self.quantile_s(0.5)

    @property
    def p99_s(self) -> float:
        """99 of 100 answers took no longer than this [s]."""
        return self.quantile_s(0.99)


@dataclass(slots=True, kw_only=True)
class SessionStatistics:
    """Counts of one session since it was made."""

    causes: Counter[Cause] = field(default_factory=Counter)
    """Requests by how they ended."""
    exceptions: Counter[int] = field(default_factory=Counter)
    """Exception answers by code."""
    latency: Latency = field(default_factory=Latency)
    """From request to good answer; waiting for other users of a shared link is part of it."""
    retries: int = 0
    """Requests that were repeated: the device was busy (exception 6), or a line garbled the answer to a read."""
    connects: int = 0
    """Times the device was identified on a fresh connection."""
    aborts: int = 0
    """Connections this session gave up because no good answer came for three periods."""
    cycles: int = 0
    skipped: int = 0
    """Periods without a poll because the one before took too long."""

    @property
    def requests(self) -> int:
        """Requests that were sent."""
        return self.causes.total()

    @property
    def failed_share(self) -> float:
        """Share of requests without a good answer; NaN without any request."""
        total = self.requests
        return math.nan if total == 0 else 1.0 - self.causes[Cause.GOOD] / total

    def good(self, latency_s: float) -> None:
        """Count a good answer that took ``latency_s`` [s]."""
        self.causes[Cause.GOOD] += 1
        self.latency.add(latency_s)

    def failed(self, error: LinkError) -> None:
        """Count a request that failed."""
        self.causes[cause_of(error)] += 1
        if isinstance(error, ExceptionReplyError):
            self.exceptions[error.code] += 1
