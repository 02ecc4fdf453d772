"""The problem of a pool of homes that share energy, and a plan for it; the same for every way to solve it.

A pool is a community, or all communities under one primary substation. Hour by hour a group of homes shares the smaller
of what it injects and withdraws; a home without a plant injects nothing that can be shared. A pool has G such groups,
called terms, and a kWh shared in a term earns V. Over a window of n steps that fall into N hours:

    minimise  sum of the homes' objectives (:mod:`twin.control.planning.home_lp`) - sum_gh V_gh * min(injected_gh, withdrawn_gh)

The first term is the pool as a whole. Where its communities earn different values V_c, what a community shares by itself
earns V_c and what passes between two of them the smallest value V_min, so that the other terms are communities:

    sum_c V_c * S_c + V_min * (S_pool - sum_c S_c)  =  V_min * S_pool + sum_c (V_c - V_min) * S_c

J homes have batteries that are planned (Q batteries in all); all other energy of the pool is a constant of the hour.

This is convex only where no home gains by importing and exporting in the same step, that is where the V of the terms that
count a home add up to at most the spread between import and export price in every step of the hour. They are therefore
cut to that spread (:func:`term_values_eur_kwh`). A plan for the cut values still counts each home's meter as it really is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.clock import whole_seconds
from twin.control.base import FloatArray, IntArray
from twin.control.planning.home_lp import HomeWindow
from twin.units import SECONDS_PER_HOUR

__all__ = [
    "PoolPlan",
    "PoolWindow",
    "bonuses_eur_kwh",
    "hour_positions",
    "hourly_kwh",
    "planned_shared_kwh",
    "term_values_eur_kwh",
]

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class PoolWindow:
    """What is known of one pool for n coming steps."""

    step: int
    hour: IntArray
    """Hour of each step, shape (n,), 0 to N - 1, never falling."""
    value_eur_kwh: FloatArray
    """What a kWh shared in each term and hour earns, shape (G, N), at least 0."""
    injected_kwh: FloatArray
    """Constant part of what is injected in each term and hour, shape (G, N)."""
    withdrawn_kwh: FloatArray
    """Constant part of what is withdrawn in each term and hour, shape (G, N)."""
    counted: BoolArray
    """Whether each term counts each planned home, shape (G, J)."""
    has_plant: BoolArray
    """Whether what each planned home injects can be shared, shape (J,)."""
    homes: tuple[HomeWindow, ...]
    """The J homes whose batteries are planned, all with the same prices."""

    @property
    def n_hours(self) -> int:
        """Number of hours N."""
        return len(self.value_eur_kwh[0])

    @property
    def n_terms(self) -> int:
        """Number of terms G."""
        return len(self.value_eur_kwh)

    def meter_kwh(self, j: int, battery_kw: FloatArray, *, dt_h: float) -> tuple[FloatArray, FloatArray]:
        """Return what home ``j`` injects, as far as it can be shared, and withdraws in each hour, shape (N,) each.

        Args:
            j: position of the home.
            battery_kw: power of its batteries, shape (n, K).
            dt_h: step length [h].
        """
        injected, withdrawn = hourly_kwh(self.homes[j].net_kw + battery_kw.sum(axis=1), self.hour, dt_h=dt_h)
        return injected if self.has_plant[j] else np.zeros_like(injected), withdrawn


@dataclass(frozen=True, kw_only=True, eq=False)
class PoolPlan:
    """A plan for one pool, and how far from the best it may be."""

    battery_kw: tuple[FloatArray, ...]
    """Power of the batteries of each home, shape (n, K) each, charging positive."""
    shared_kwh: FloatArray
    """Energy shared in each term and hour, shape (G, N)."""
    injection_weight: FloatArray
    """Which side is scarce in each term and hour, shape (G, N): 1 injection, 0 withdrawal, between where they meet."""
    objective_eur: float
    """Homes' objectives less the value of the shared energy."""
    bound_eur: float
    """No plan has a lower objective than this."""
    rounds: int
    """How often all homes were asked."""

    def gap(self, value_eur_kwh: FloatArray) -> float:
        """Return (objective - bound) relative to the larger of the absolute bound and the value of the shared energy."""
        scale_eur = max(abs(self.bound_eur), float((value_eur_kwh * np.abs(self.shared_kwh)).sum()))
        return 0.0 if scale_eur == 0.0 else max(self.objective_eur - self.bound_eur, 0.0) / scale_eur


def hour_positions(start_utc_s: int, dt_s: float, *, step: int, n: int) -> tuple[int, IntArray]:
    """Return the first hour since 1970-01-01 UTC of a window and the position of each step's hour, shape (n,).

    Settlement hours are UTC hours; a step belongs to the hour in which it begins.
    """
    hour = (start_utc_s + whole_seconds(np.arange(step, step + n, dtype=np.int64), dt_s)) // SECONDS_PER_HOUR
    return int(hour[0]), hour - hour[0]


def hourly_kwh(p_kw: FloatArray, hour: IntArray, *, dt_h: float) -> tuple[FloatArray, FloatArray]:
    """Return what meters inject and withdraw in each hour, shape (..., N) [kWh], with or without a plant.

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
    """Return what each term shares if the batteries of each home follow ``battery_kw``, shape (G, N)."""
    injected, withdrawn = window.injected_kwh.copy(), window.withdrawn_kwh.copy()
    for j, power_kw in enumerate(battery_kw):
        more_injected, more_withdrawn = window.meter_kwh(j, power_kw, dt_h=dt_h)
        injected[window.counted[:, j]] += more_injected
        withdrawn[window.counted[:, j]] += more_withdrawn
    shared_kwh: FloatArray = np.minimum(injected, withdrawn)
    return shared_kwh


def bonuses_eur_kwh(window: PoolWindow, injection_weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what a kWh that each home injects and withdraws is worth to the pool, shape (J, N) each [EUR/kWh].

    A home without a plant earns nothing by injecting.

    Args:
        window: the problem.
        injection_weight: which side is scarce, shape (G, N), see :class:`PoolPlan`.
    """
    counted = window.counted.T.astype(np.float64)
    injected = counted @ (window.value_eur_kwh * injection_weight)
    withdrawn = counted @ (window.value_eur_kwh * (1.0 - injection_weight))
    return np.where(window.has_plant[:, None], injected, 0.0), withdrawn


def term_values_eur_kwh(
    value_eur_kwh: FloatArray,
    hour: IntArray,
    price_import_eur_kwh: FloatArray,
    price_export_eur_kwh: FloatArray,
) -> FloatArray:
    """Return what a kWh shared in each term and hour earns, shape (G, N), cut to the smallest spread of the hour.

    Args:
        value_eur_kwh: of a kWh shared in the pool as a whole, then of one shared within each community that has a term
            of its own, at least the first; shape (G,).
        hour: hour of each step, shape (n,), never falling.
        price_import_eur_kwh: shape (n,).
        price_export_eur_kwh: shape (n,).
    """
    first = np.flatnonzero(np.diff(hour, prepend=-1))
    spread: FloatArray = np.minimum.reduceat(price_import_eur_kwh - price_export_eur_kwh, first)
    cut: FloatArray = np.clip(spread, 0.0, value_eur_kwh[:, None])
    cut[1:] -= cut[0]
    return cut
