"""Long series day by day, for figures too narrow to show every step."""

from typing import Literal

import numpy as np

from twin.report.clock import Clock
from twin.report.model import Array

__all__ = ["LONG_DAYS", "by_day", "day_middles_s", "is_long"]

LONG_DAYS = 70
"""From here on a figure shows days instead of steps."""

_REDUCE = {"lowest": np.minimum, "highest": np.maximum, "mean": np.add}


def is_long(n_steps: int, clock: Clock) -> bool:
    """Return whether a series of ``n_steps`` is drawn by day."""
    return n_steps >= LONG_DAYS * clock.steps_per_day


def _starts(n_steps: int, clock: Clock) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(0, n_steps, clock.steps_per_day, dtype=np.int64)


def day_middles_s(n_steps: int, clock: Clock) -> Array:
    """Return the middle of each stretch of 24 h, seconds from the start; the last stretch may be shorter."""
    starts = _starts(n_steps, clock)
    ends = np.minimum(starts + clock.steps_per_day, n_steps)
    middles: Array = (starts + ends) / 2 * clock.dt_s
    return middles


def by_day(values: Array, clock: Clock, how: Literal["lowest", "highest", "mean"]) -> Array:
    """Return one value per stretch of 24 h from the start.

    Args:
        values: shape (n_steps,), at least one.
        clock: time base.
        how: what stands for the day.
    """
    starts = _starts(len(values), clock)
    reduced: Array = _REDUCE[how].reduceat(values.astype(np.float64), starts)
    if how == "mean":
        reduced = reduced / np.diff(np.append(starts, len(values)))
    return reduced
