"""Real time for a run: absolute deadlines, what happens when one is missed, and evidence of both.

A step may start when its deadline has come and never before. Deadlines are a tick apart and count from the first step, so
that lateness does not add up. All times are on the monotonic clock.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from twin.errors import RunError

__all__ = ["LatePolicy", "Pace", "RealTimePace", "Schedule", "StepTiming", "Unpaced"]


class LatePolicy(StrEnum):
    """What happens after a step that started at least a whole tick late."""

    SKIP = "skip"
    """The ticks that were lost are given up: simulated time falls behind, no step is hurried."""
    CATCH_UP = "catch_up"
    """The steps after it follow each other without waiting until the schedule is met again."""
    ABORT = "abort"
    """The run ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTiming:
    """When a step ran."""

    step: int
    lateness_s: float
    """Start after its deadline [s]."""
    work_s: float
    """From its start to its end [s]."""
    lost_ticks: int
    """Ticks given up since the start of the run."""
    clock_jump_s: float
    """How far the wall clock moved against the monotonic one since the start of the run [s]."""


class Pace(Protocol):
    """Decides when a step may start."""

    def begin_step(self, step: int) -> None:
        """Return when the step may start."""
        ...

    def end_step(self, step: int) -> None:
        """Take note that the step is finished."""
        ...


class Unpaced:
    """As fast as it goes."""

    def begin_step(self, step: int) -> None:
        """Return at once."""

    def end_step(self, step: int) -> None:
        """Do nothing."""


class Schedule:
    """The deadlines of a run; pure, times are given."""

    def __init__(self, *, tick_s: float, policy: LatePolicy) -> None:
        self.tick_s = tick_s
        self.policy = policy
        self.lost_ticks = 0
        self._origin_s: float | None = None

    def deadline_s(self, step: int, now_s: float) -> float:
        """Return when a step is due; the first one that asks is due now."""
        if self._origin_s is None:
            self._origin_s = now_s - step * self.tick_s
        return self._origin_s + (step + self.lost_ticks) * self.tick_s

    def started(self, step: int, now_s: float) -> float:
        """Return how late a step that starts now is [s], and move later deadlines as the policy says.

        Raises:
            RunError: it is a tick late or more, and the policy is to abort.
        """
        lateness_s = max(0.0, now_s - self.deadline_s(step, now_s))
        missed = int(lateness_s / self.tick_s)
        if missed and self.policy is LatePolicy.ABORT:
            raise RunError(
                f"step {step} starts {lateness_s:.3f} s late, a tick is {self.tick_s:g} s; use a longer step, fewer devices, "
                "or live.on_late: skip"
            )
        if self.policy is LatePolicy.SKIP:
            self.lost_ticks += missed
        return lateness_s


class RealTimePace:
    """Waits for the deadlines of a schedule and tells how each step went."""

    def __init__(
        self, schedule: Schedule, *, stop: threading.Event, on_timing: Callable[[StepTiming], None]
    ) -> None:
        """Take the schedule, an event that ends the waiting, and who is told after each step."""
        self._schedule = schedule
        self._stop = stop
        self._on_timing = on_timing
        self._started_s = self._lateness_s = 0.0
        self._offset_s = time.time() - time.monotonic()

    def begin_step(self, step: int) -> None:
        """Wait for the deadline of the step.

        Raises:
            KeyboardInterrupt: the run was asked to stop.
            RunError: the step is too late.
        """
        due_s = self._schedule.deadline_s(step, time.monotonic())
        while (left_s := due_s - time.monotonic()) > 0.0:
            if self._stop.wait(left_s):
                break
        if self._stop.is_set():
            raise KeyboardInterrupt
        self._started_s = time.monotonic()
        self._lateness_s = self._schedule.started(step, self._started_s)

    def end_step(self, step: int) -> None:
        """Tell how the step went."""
        now_s = time.monotonic()
        self._on_timing(
            StepTiming(
                step=step,
                lateness_s=self._lateness_s,
                work_s=now_s - self._started_s,
                lost_ticks=self._schedule.lost_ticks,
                clock_jump_s=time.time() - now_s - self._offset_s,
            )
        )
