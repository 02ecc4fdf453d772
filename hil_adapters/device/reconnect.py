"""How long to wait before the next attempt to connect."""

from collections.abc import Callable
from secrets import SystemRandom

__all__ = ["Backoff"]

_FIRST_S = 0.2
_LONGEST_S = 5.0
_JITTER = 0.2
"""Share of a wait that is drawn: many sessions that lost one gateway must not come back at the same moment."""
_DRAW = SystemRandom().uniform


class Backoff:
    """Waits that double from 0.2 s to 5 s, each shortened by a random share of up to 20 %."""

    def __init__(self, *, uniform: Callable[[float, float], float] = _DRAW) -> None:
        self._uniform = uniform
        self._next_s = _FIRST_S

    def next_s(self) -> float:
        """Return the next wait [s]; never longer than 5 s."""
        wait_s = self._next_s * self._uniform(1.0 - _JITTER, 1.0)
        self._next_s = min(2.0 * self._next_s, _LONGEST_S)
        return wait_s

    def longest_s(self) -> float:
        """Return a wait of the longest kind [s], for a device that is there but is the wrong one."""
        self._next_s = _LONGEST_S
        return self.next_s()

    def reset(self) -> None:
        """Begin again at the shortest wait."""
        self._next_s = _FIRST_S
