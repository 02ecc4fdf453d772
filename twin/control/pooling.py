"""The problem of a pool of homes that share energy, and a plan for it; the same for every way to solve it.

A pool is a community, or all communities under one primary substation. Hour by hour it shares the smaller of what its
members inject and withdraw, and a shared kWh has a value V. Over a window of n steps that fall into N hours:

    minimise  sum of the homes' objectives (:mod:`twin.control.home_lp`) - sum_h V_h * min(injected_h, withdrawn_h)

J homes have batteries that are planned (Q batteries in all); all other energy of the pool is a constant of the hour.

This is convex only where no home gains by importing and exporting in the same step, that is where V_h is at most the
spread between import and export price in every step of the hour. V_h is therefore cut to that spread
(:func:`capped_value_eur_kwh`). A plan for the cut value still counts each home's meter as it really is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.control.base import FloatArray, IntArray
from twin.control.home_lp import HomeWindow
from twin.units import SECONDS_PER_HOUR

__all__ = [
    "PoolPlan",
    "PoolWindow",
    "capped_value_eur_kwh",
    "hour_positions",
    "hourly_kwh",
    "planned_shared_kwh",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class PoolWindow:
    """What is known of one pool for n coming steps."""

    step: int
    hour: IntArray
    """Hour of each step, shape (n,), 0 to N - 1, never falling."""
    value_eur_kwh: FloatArray
    """What a shared kWh earns in each hour, shape (N,), at least 0."""
    injected_kwh: FloatArray
    """Constant part of what is injected in each hour, shape (N,)."""
    withdrawn_kwh: FloatArray
    """Constant part of what is withdrawn in each hour, shape (N,)."""
    homes: tuple[HomeWindow, ...]
    """The J homes whose batteries are planned, all with the same prices."""

    @property
    def n_hours(self) -> int:
        """Number of hours N."""
        return len(self.value_eur_kwh)


@dataclass(frozen=True, kw_only=True, eq=False)
class PoolPlan:
    """A plan for one pool, and how far from the best it may be."""

    battery_kw: tuple[FloatArray, ...]
    """Power of the batteries of each home, shape (n, K) each, charging positive."""
    shared_kwh: FloatArray
    """Energy shared in each hour, shape (N,)."""
    injection_weight: FloatArray
    """Which side is scarce in each hour, shape (N,): 1 injection, 0 withdrawal, between where they meet."""
    objective_eur: float
    """Homes' objectives less the value of the shared energy."""
    bound_eur: float
    """No plan has a lower objective than this."""
    rounds: int
    """How often all homes were asked."""

    def gap(self, value_eur_kwh: FloatArray) -> float:
        """Return (objective - bound) relative to the larger of the absolute bound and the value of the shared energy."""
        scale_eur = max(abs(self.bound_eur), float(value_eur_kwh @ np.abs(self.shared_kwh)))
        return 0.0 if scale_eur == 0.0 else max(self.objective_eur - self.bound_eur, 0.0) / scale_eur


def hour_positions(start_utc_s: int, dt_s: int, *, step: int, n: int) -> tuple[int, IntArray]:
    """Return the first hour since 1970-01-01 UTC of a window and the position of each step's hour, shape (n,).

    Settlement hours are UTC hours; a step belongs to the hour in which it begins.
    """
    hour = (start_utc_s + dt_s * np.arange(step, step + n, dtype=np.int64)) // SECONDS_PER_HOUR
    return int(hour[0]), hour - hour[0]


def hourly_kwh(p_kw: FloatArray, hour: IntArray, *, dt_h: float) -> tuple[FloatArray, FloatArray]:
    """Return what meters inject and withdraw in each hour, shape (..., N) [kWh].

    Args:
        p_kw: power at each meter, shape (..., n), consumption positive.
        hour: hour of each step, shape (n,), never falling.
        dt_h: step length [h].
    """
    first = np.flatnonzero(np.diff(hour, prepend=-1))
    injected = np.add.reduceat(np.maximum(-p_kw, 0.0), first, axis=-1) * dt_h
    withdrawn = np.add.reduceat(np.maximum(p_kw, 0.0), first, axis=-1) * dt_h
    return injected, withdrawn


def planned_shared_kwh(window: PoolWindow, battery_kw: Sequence[FloatArray], *, dt_h: float) -> FloatArray:
    """Return what the pool shares in each hour if the batteries of each home follow ``battery_kw``, shape (N,)."""
    injected, withdrawn = window.injected_kwh.copy(), window.withdrawn_kwh.copy()
    for home, power_kw in zip(window.homes, battery_kw, strict=True):
        more_injected, more_withdrawn = hourly_kwh(home.net_kw + power_kw.sum(axis=1), window.hour, dt_h=dt_h)
        injected += more_injected
        withdrawn += more_withdrawn
    shared_kwh: FloatArray = np.minimum(injected, withdrawn)
    return shared_kwh


def capped_value_eur_kwh(
    value_eur_kwh: float, hour: IntArray, price_import_eur_kwh: FloatArray, price_export_eur_kwh: FloatArray
) -> FloatArray:
    """Return the value of a shared kWh in each hour, cut to the smallest spread between the prices, shape (N,)."""
    first = np.flatnonzero(np.diff(hour, prepend=-1))
    spread: NDArray[np.float64] = np.minimum.reduceat(price_import_eur_kwh - price_export_eur_kwh, first)
    return np.clip(spread, 0.0, value_eur_kwh)
