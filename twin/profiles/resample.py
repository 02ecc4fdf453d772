"""Series of mean values moved from one step to another with their integral kept."""

import numpy as np
from numpy.typing import NDArray

from twin.clock import time_units

__all__ = ["resample_mean"]

FloatArray = NDArray[np.float64]


def resample_mean(
    values: FloatArray, dt_from_s: int, dt_to_s: float, *, offset_s: int = 0, n_steps: int | None = None
) -> FloatArray:
    """Return the means over steps of ``dt_to_s`` of a series of means over steps of ``dt_from_s``.

    Finer steps are averaged, coarser ones held; where edges do not meet, parts count by their overlap. The integral
    over the steps returned is that of the input over the same time.

    Args:
        values: shape (T, ...), means over consecutive steps.
        dt_from_s: step of ``values`` [s].
        dt_to_s: step wanted [s].
        offset_s: start of the first step wanted after the start of ``values`` [s].
        n_steps: steps wanted; None for all, which then must come out even.

    Returns:
        Shape (n_steps, ...).

    Raises:
        ValueError: steps not above 0, or ``values`` do not cover the steps wanted.
    """
    if dt_from_s <= 0 or dt_to_s <= 0:
        raise ValueError(f"steps must be above 0 s (got {dt_from_s} and {dt_to_s})")
    span_s = len(values) * dt_from_s
    step, second = time_units(dt_to_s)
    if n_steps is None:
        n_steps, rest = divmod((span_s - offset_s) * second, step)
        if rest:
            raise ValueError(
                f"{span_s - offset_s} s are no whole number of steps of {dt_to_s} s; say how many to take"
            )
    if n_steps < 0 or offset_s < 0 or offset_s * second + n_steps * step > span_s * second:
        raise ValueError(f"{n_steps} steps of {dt_to_s} s from {offset_s} s do not lie within {span_s} s")
    if n_steps == 0:
        return np.zeros((0, *values.shape[1:]))
    if dt_from_s == dt_to_s and offset_s % dt_from_s == 0:
        first = offset_s // dt_from_s
        return np.array(values[first : first + n_steps], dtype=np.float64)
    given = dt_from_s * second
    wanted_at = offset_s * second + step * np.arange(n_steps + 1, dtype=np.int64)
    given_at = given * np.arange(wanted_at[0] // given, -(-wanted_at[-1] // given) + 1, dtype=np.int64)
    edges = np.union1d(wanted_at, given_at[(given_at > wanted_at[0]) & (given_at < wanted_at[-1])])
    weight = (np.diff(edges) / step).reshape(-1, *(1 for _ in values.shape[1:]))
    parts = values[edges[:-1] // given] * weight
    means: FloatArray = np.add.reduceat(parts, np.searchsorted(edges, wanted_at[:-1]), axis=0)
    return means
