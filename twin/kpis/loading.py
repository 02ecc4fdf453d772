"""Loading of lines and transformers, and losses."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.kpis.base import IntArray, KpiContext, KpiValue
from twin.kpis.stats import Extremes, Stats, highest, worst_of

__all__ = [
    "LoadingStats",
    "LossStats",
    "loading_elements",
    "loading_values",
    "loss_values",
    "reduce_loading",
    "reduce_losses",
]

_HIGH_PERCENT, _FULL_PERCENT = 80.0, 100.0


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadingStats(Stats):
    """Loading of N lines, or of N transformers."""

    high: Extremes
    over_80_steps: IntArray
    """Steps above 80 %, shape (N,)."""
    over_100_steps: IntArray
    any_over_80_steps: int
    """Steps with at least one element above 80 %."""
    any_over_100_steps: int


@dataclass(frozen=True, kw_only=True, eq=False)
class LossStats(Stats):
    """Losses and what the loads drew."""

    loss_kwh: float
    load_kwh: float


def reduce_loading(loading_percent: NDArray[np.floating], first_step: int) -> LoadingStats:
    """Return the statistics of ``loading_percent``, shape (T, N) [%], whose first row is ``first_step``."""
    steps = first_step + np.arange(len(loading_percent), dtype=np.int64)
    over_80 = loading_percent > _HIGH_PERCENT
    over_100 = loading_percent > _FULL_PERCENT
    return LoadingStats(
        high=highest(loading_percent, steps),
        over_80_steps=over_80.sum(axis=0, dtype=np.int64),
        over_100_steps=over_100.sum(axis=0, dtype=np.int64),
        any_over_80_steps=int(over_80.any(axis=1).sum()),
        any_over_100_steps=int(over_100.any(axis=1).sum()),
    )


def loading_values(
    stats: LoadingStats, names: tuple[str, ...], kind: str, context: KpiContext
) -> tuple[KpiValue, ...]:
    """Return the loading KPIs of lines (``kind`` ``line``) or transformers (``trafo``) called ``names``."""
    if not names:
        word = {"line": "lines", "trafo": "transformers"}[kind]
        return tuple(
            KpiValue(f"{kind}_{what}", None, note=f"not applicable: the feeder has no {word}")
            for what in ("loading_max_percent", "over_80_hours", "over_100_hours")
        )
    top = worst_of(stats.high.value, names, stats.high.step)
    longest_80 = worst_of(stats.over_80_steps.astype(np.float64), names)
    longest_100 = worst_of(stats.over_100_steps.astype(np.float64), names)
    return (
        KpiValue(f"{kind}_loading_max_percent", top.value, where=top.name, step=top.step),
        KpiValue(
            f"{kind}_over_80_hours",
            stats.any_over_80_steps * context.dt_h,
            where=longest_80.name if longest_80.value > 0 else "",
        ),
        KpiValue(
            f"{kind}_over_100_hours",
            stats.any_over_100_steps * context.dt_h,
            where=longest_100.name if longest_100.value > 0 else "",
        ),
    )


def loading_elements(
    stats: LoadingStats, names: tuple[str, ...], kind: str, context: KpiContext
) -> list[dict[str, Any]]:
    """Return one row per line (``kind`` ``line``) or transformer (``trafo``)."""
    return [
        {
            "axis": kind,
            "name": name,
            "loading_max_percent": float(stats.high.value[i]),
            "loading_max_step": int(stats.high.step[i]),
            "hours_over_80": float(stats.over_80_steps[i] * context.dt_h),
            "hours_over_100": float(stats.over_100_steps[i] * context.dt_h),
        }
        for i, name in enumerate(names)
    ]


def reduce_losses(
    p_loss_kw: NDArray[np.floating], p_load_kw: NDArray[np.floating], context: KpiContext
) -> LossStats:
    """Return the energies of losses and loads, shape (T, 1) [kW] each."""
    return LossStats(
        loss_kwh=float(p_loss_kw.sum(dtype=np.float64)) * context.dt_h,
        load_kwh=float(p_load_kw.sum(dtype=np.float64)) * context.dt_h,
    )


def loss_values(stats: LossStats) -> tuple[KpiValue, ...]:
    """Return the losses in kWh and in % of what the loads drew."""
    if stats.load_kwh > 0:
        share = KpiValue("loss_percent", 100.0 * stats.loss_kwh / stats.load_kwh)
    else:
        share = KpiValue("loss_percent", None, note="not applicable: the loads drew nothing")
    return KpiValue("loss_kwh", stats.loss_kwh), share
