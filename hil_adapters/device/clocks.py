"""The clocks of a session, and a watch that notices when the wall clock is set or when the computer slept."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

__all__ = ["SYSTEM_CLOCKS", "ClockWatch", "Clocks"]

_SMALLEST_JUMP_S = 0.5
"""Clocks that are disciplined are slewed by at most 0.5 ms a second; a step is larger than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """What a session knows of time."""

    monotonic: Callable[[], float] = time.monotonic
    """For deadlines, ages and rates [s]."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Waits on the monotonic clock [s]."""
    wall: Callable[[], float] = time.time
    """Seconds since 1970-01-01 UTC; only compared with the monotonic clock."""


SYSTEM_CLOCKS = Clocks()


class ClockWatch:
    """Compares the wall clock with the monotonic clock.

    Deadlines, ages and rates never use the wall clock; a jump matters only for stamps, and as a sign that the computer
    was suspended (on Linux the monotonic clock stands still meanwhile).
    """

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._offset_s = clocks.wall() - clocks.monotonic()

    def jump_s(self) -> float | None:
        """Return how far the wall clock jumped since the last call [s], forward positive; None where it did not."""
        offset_s = self._clocks.wall() - self._clocks.monotonic()
        jump_s = offset_s - self._offset_s
        self._offset_s = offset_s
        return jump_s if abs(jump_s) > _SMALLEST_JUMP_S else None
