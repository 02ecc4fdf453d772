"""Where the store has its time from."""

import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "WallClock"]


class Clock(Protocol):
    """When to flush, and when an event was written."""

    def monotonic_s(self) -> float:
        """Return a time that never goes back [s]."""
        ...

    def utc_now(self) -> datetime:
        """Return the time of day, with its zone."""
        ...


class WallClock:
    """The clock of the computer."""

    def monotonic_s(self) -> float:
        """Return the monotonic clock [s]."""
        return time.monotonic()

    def utc_now(self) -> datetime:
        """Return the time of day in UTC."""
        return datetime.now(UTC)
