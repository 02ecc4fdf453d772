"""Whether the run behind the guardian lives: finished steps, their pace, and a machine that slept. Pure."""

import math

from hil_adapters.errors import GuardError

__all__ = ["Feed", "SleepDetector"]

_SLEPT_S = 1.0


class Feed:
    """Finished steps of a run. Only a step that was not seen before shows that the run lives."""

    def __init__(self, *, timeout_s: float, step_s: float | None) -> None:
        self._timeout_s = timeout_s
        self._step_s = step_s
        self._first: tuple[int, float] | None = None
        self._last_step = -1
        self._last_s = 0.0

    @property
    def last_step(self) -> int:
        """The newest finished step; -1 before the first."""
        return self._last_step

    @property
    def has_begun(self) -> bool:
        """Whether a step was ever finished."""
        return self._first is not None

    def finished(self, step: int, *, sent_s: float, expires_s: float, now_s: float) -> None:
        """Take notice of a finished step, told at ``sent_s`` on the same monotonic clock, with set-points for ``expires_s`` [s].

        Raises:
            GuardError: it was seen before, waited longer on its way than the feed may be silent, or never expires.
        """
        if not 0.0 < expires_s < math.inf:
            raise GuardError(f"step {step}: set-points must expire; {expires_s} s is no time")
        if not sent_s <= now_s:
            raise GuardError(
                f"step {step}: was sent in the future; both ends must use this machine's monotonic clock"
            )
        if now_s - sent_s > self._timeout_s:
            raise GuardError(f"step {step}: came {now_s - sent_s:.1f} s late and is not carried out")
        if step <= self._last_step:
            raise GuardError(f"step {step}: is not newer than step {self._last_step}; it renews nothing")
        if self._first is None:
            self._first = (step, sent_s)
        self._last_step = step
        self._last_s = sent_s

    def lives(self, *, now_s: float) -> bool:
        """Return whether a step was finished within the time allowed."""
        return self.has_begun and now_s - self._last_s <= self._timeout_s

    def ends_s(self) -> float:
        """Return when it counts as dead unless another step is finished [s]."""
        return self._last_s + self._timeout_s

    def too_fast(self, *, now_s: float) -> str | None:
        """Return how far the run is ahead of the clock where that is more than a step; None where it keeps to it.

        A run that catches up after a delay is behind the clock and is not meant.
        """
        if self._first is None or self._step_s is None:
            return None
        first_step, first_s = self._first
        ahead_s = (self._last_step - first_step) * self._step_s - (now_s - first_s)
        # the first step may have been told late by up to one step, and a step is told at its start or at its end
        if ahead_s <= 2.0 * self._step_s:
            return None
        return f"the run is {ahead_s:.1f} s ahead of the clock: faster than real time with armed devices"


class SleepDetector:
    """Notices that the machine slept: a clock that counts sleep runs ahead of one that does not."""

    def __init__(self, *, monotonic_s: float, with_sleep_s: float) -> None:
        self._offset_s = with_sleep_s - monotonic_s

    def slept_s(self, *, monotonic_s: float, with_sleep_s: float) -> float:
        """Return how long it slept since the last call [s]; 0 where it did not (less than 1 s is not told)."""
        offset_s = with_sleep_s - monotonic_s
        slept_s = offset_s - self._offset_s
        self._offset_s = offset_s
        return slept_s if slept_s > _SLEPT_S else 0.0
