"""Statistics that can be merged: what one stretch of a run leaves behind for the KPIs.

Every part of the KPIs reduces a block of steps to a :class:`Stats`; blocks are merged in time order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import gcd
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from twin.clock import time_units
from twin.kpis.base import FloatArray, IntArray, KpiContext

__all__ = [
    "Ends",
    "Extremes",
    "Stats",
    "WindowMeans",
    "Worst",
    "column_sums",
    "finite_or_none",
    "highest",
    "lowest",
    "sum_by_home",
    "window_means",
    "worst_of",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Extremes:
    """Largest (``sign`` 1) or smallest (``sign`` -1) value of each element and the step of its first occurrence."""

    sign: int
    value: FloatArray
    """Shape (N,); infinite where there was no value."""
    step: IntArray
    """Shape (N,); -1 where there was no value."""

    def merge(self, later: "Extremes") -> "Extremes":
        """Return the extremes of both; at a tie the earlier one stands."""
        better = self.sign * later.value > self.sign * self.value
        return Extremes(
            sign=self.sign,
            value=np.where(better, later.value, self.value),
            step=np.where(better, later.step, self.step),
        )


def _extremes(values: NDArray[np.floating], steps: IntArray, *, sign: int) -> Extremes:
    n = values.shape[1]
    if len(values) == 0 or n == 0:
        return Extremes(sign=sign, value=np.full(n, -sign * np.inf), step=np.full(n, -1, dtype=np.int64))
    row = np.argmax(values, axis=0) if sign > 0 else np.argmin(values, axis=0)
    return Extremes(sign=sign, value=values[row, np.arange(n)].astype(np.float64), step=steps[row])


def highest(values: NDArray[np.floating], steps: IntArray) -> Extremes:
    """Return the largest value of each column of ``values``, shape (T, N), with its entry of ``steps``, shape (T,)."""
    return _extremes(values, steps, sign=1)


def lowest(values: NDArray[np.floating], steps: IntArray) -> Extremes:
    """Return the smallest value of each column of ``values``, shape (T, N), with its entry of ``steps``, shape (T,)."""
    return _extremes(values, steps, sign=-1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Ends:
    """Value of each element at the start and at the end of a stretch, shape (N,) each."""

    first: FloatArray
    last: FloatArray

    def merge(self, later: "Ends") -> "Ends":
        """Return the ends of both stretches together."""
        return Ends(first=self.first, last=later.last)

    @property
    def change(self) -> FloatArray:
        """End less start."""
        return self.last - self.first


@dataclass(frozen=True, kw_only=True, eq=False)
class Stats:
    """Base of all statistics: fields are :class:`Extremes`, :class:`Ends`, or numbers and arrays that add up."""

    def merge(self, later: Self) -> Self:
        """Return the statistics of this stretch and the one right after it."""
        return replace(
            self,
            **{
                entry.name: _joined(getattr(self, entry.name), getattr(later, entry.name))
                for entry in fields(self)
            },
        )


def _joined(earlier: Any, later: Any) -> Any:
    return earlier.merge(later) if isinstance(earlier, Extremes | Ends) else earlier + later


def column_sums(values: NDArray[Any]) -> FloatArray:
    """Return the sum of each column in float64, shape (N,)."""
    total: FloatArray = values.sum(axis=0, dtype=np.float64)
    return total


def sum_by_home(values: NDArray[np.floating], device_home: IntArray, homes: IntArray) -> FloatArray:
    """Return the sum over the devices of each of ``homes``, shape (T, len(homes)).

    ``values`` has shape (T, devices) and ``device_home`` the home of each device; devices of other homes are left out.
    """
    total = np.zeros((len(values), len(homes)))
    if not len(homes):
        return total
    kept = np.flatnonzero(np.isin(device_home, homes))
    if not len(kept):
        return total
    kept = kept[np.argsort(device_home[kept], kind="stable")]
    owners, first = np.unique(device_home[kept], return_index=True)
    sums = np.add.reduceat(values[:, kept].astype(np.float64), first, axis=1)
    position = {int(home): column for column, home in enumerate(homes)}
    total[:, [position[int(owner)] for owner in owners]] = sums
    return total


@dataclass(frozen=True, slots=True)
class Worst:
    """The element that decides: its value, name and step (None where there is none)."""

    value: float
    name: str
    step: int | None


def worst_of(values: NDArray[np.floating], names: Sequence[str], steps: IntArray | None = None) -> Worst:
    """Return the largest of ``values``, shape (N,) with N > 0; ties go to the earlier step, then to the name.

    So the order of the elements does not matter.
    """
    best = values.max()
    tied = [int(position) for position in np.flatnonzero(values == best)]
    chosen = min(tied, key=lambda position: (0 if steps is None else steps[position], names[position]))
    return Worst(float(best), names[chosen], None if steps is None else int(steps[chosen]))


def finite_or_none(value: float) -> float | None:
    """Return ``value``, or None where it is the infinity of an extreme over nothing."""
    return float(value) if np.isfinite(value) else None


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowMeans:
    """Means over clock windows that a stretch covers completely."""

    mean: FloatArray
    """Shape (W, N)."""
    start_s: IntArray
    """Start of each window since the run's start [s], shape (W,)."""


def window_means(
    values: NDArray[np.floating], first_step: int, context: KpiContext, *, window_s: int
) -> WindowMeans:
    """Return the means of ``values``, shape (T, N) from ``first_step`` on, over clock windows of ``window_s`` [s].

    Windows that the stretch covers only in part are left out. A step that crosses a border counts in both windows
    by its share of time.
    """
    step, second = time_units(context.dt_s)
    window = window_s * second
    # values are constant within a step, so cutting steps at the common divisor changes no mean
    grid = gcd(step, window)
    fine = values if grid == step else np.repeat(values, step // grid, axis=0)
    begin = context.window_offset_s * second + first_step * step
    first_window = -(-begin // window)
    count = max((begin + len(values) * step) // window - first_window, 0)
    per_window = window // grid
    skip = (first_window * window - begin) // grid
    shaped = fine[skip : skip + count * per_window].reshape(count, per_window, values.shape[1])
    start_s = (first_window + np.arange(count, dtype=np.int64)) * window_s - context.window_offset_s
    return WindowMeans(mean=shaped.mean(axis=1, dtype=np.float64), start_s=start_s)
