"""Reverse power flow and 15-min peaks, at every transformer and at the feeder head.

Reverse means that active power flows from the low to the high voltage side (``trafo.p_kw`` below 0), at the feeder
head that the feeder exports (``feeder.p_import_kw`` below 0). Powers are means over a step.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.clock import step_at
from twin.kpis.base import QUARTER_S, FloatArray, IntArray, KpiContext, KpiValue
from twin.kpis.stats import (
    Extremes,
    Stats,
    column_sums,
    finite_or_none,
    highest,
    lowest,
    window_means,
    worst_of,
)

__all__ = [
    "LEVELS",
    "FlowStats",
    "PeakStats",
    "flow_values",
    "peak_values",
    "reduce_flows",
    "reduce_peaks",
    "trafo_flow_elements",
]

LEVELS = {"mvlv": "MV/LV", "hvmv": "HV/MV"}
"""Transformer levels with KPIs of their own, by the part of the KPI names."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FlowStats(Stats):
    """Active power of a stretch through N transformers and, as last column, the feeder head."""

    n_steps: int
    p_max: Extremes
    p_min: Extremes
    reverse_steps: IntArray
    reverse_kwh: FloatArray
    """Energy that went up, positive, shape (N + 1,)."""
    forward_kwh: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class PeakStats(Stats):
    """15-min means of N meters over complete quarters of the clock."""

    quarters: int
    p_max: Extremes
    p_min: Extremes
    import_sum_kw: FloatArray
    """Sum over the quarters of what was imported, exporting quarters counting 0, shape (N,)."""


def reduce_flows(
    trafo_p_kw: NDArray[np.floating], p_import_kw: NDArray[np.floating], first_step: int, context: KpiContext
) -> FlowStats:
    """Return the flow statistics of transformers, shape (T, N) [kW], and of the feeder head, shape (T, 1) [kW]."""
    p_kw = np.concatenate([trafo_p_kw, p_import_kw], axis=1)
    steps = first_step + np.arange(len(p_kw), dtype=np.int64)
    return FlowStats(
        n_steps=len(p_kw),
        p_max=highest(p_kw, steps),
        p_min=lowest(p_kw, steps),
        reverse_steps=(p_kw < 0).sum(axis=0, dtype=np.int64),
        reverse_kwh=column_sums(np.maximum(-p_kw, 0)) * context.dt_h,
        forward_kwh=column_sums(np.maximum(p_kw, 0)) * context.dt_h,
    )


def reduce_peaks(p_kw: NDArray[np.floating], first_step: int, context: KpiContext) -> PeakStats:
    """Return the quarter-hour statistics of meters, shape (T, N) [kW], whose first row is ``first_step``."""
    quarters = window_means(p_kw, first_step, context, window_s=QUARTER_S)
    steps = step_at(quarters.start_s, context.dt_s)
    return PeakStats(
        quarters=len(steps),
        p_max=highest(quarters.mean, steps),
        p_min=lowest(quarters.mean, steps),
        import_sum_kw=column_sums(np.maximum(quarters.mean, 0)),
    )


def _reverse_values(
    stats: FlowStats, context: KpiContext, part: str, columns: list[int], names: list[str]
) -> tuple[KpiValue, ...]:
    """Return hours, share, energy and peak of the reverse flow over ``columns``, which must not be empty."""
    hours = worst_of(stats.reverse_steps[columns] * context.dt_h, names)
    peak = worst_of(np.maximum(-stats.p_min.value[columns], 0.0), names, stats.p_min.step[columns])
    reversing = int((stats.reverse_steps[columns] > 0).sum())
    where = hours.name if reversing else ""
    note = "" if part == "head" else f"{reversing} of {len(columns)} transformers with reverse flow"
    # sorted, so that the sum does not depend on the order of the transformers
    total_kwh = float(np.sort(stats.reverse_kwh[columns]).sum())
    return (
        KpiValue(f"reverse_{part}_hours", hours.value, where=where, note=note),
        KpiValue(
            f"reverse_{part}_percent",
            100.0 * hours.value / (stats.n_steps * context.dt_h),
            where=where,
            note=note,
        ),
        KpiValue(f"reverse_{part}_energy_kwh", total_kwh, note=note),
        KpiValue(
            f"reverse_{part}_peak_kw",
            peak.value,
            where=peak.name if reversing else "",
            step=peak.step if reversing else None,
        ),
    )


def flow_values(stats: FlowStats, context: KpiContext) -> tuple[KpiValue, ...]:
    """Return the reverse-flow KPIs per transformer level and at the feeder head."""
    values: list[KpiValue] = []
    for part, level in LEVELS.items():
        columns = [i for i, entry in enumerate(context.trafo_level) if entry == level]
        if columns:
            values += _reverse_values(stats, context, part, columns, [context.trafo_name[i] for i in columns])
            continue
        note = f"not applicable: no {level} transformer"
        values += [
            KpiValue(f"reverse_{part}_{what}", None, note=note)
            for what in ("hours", "percent", "energy_kwh", "peak_kw")
        ]
    values += _reverse_values(stats, context, "head", [len(context.trafo_name)], ["feeder head"])
    return tuple(values)


def peak_values(stats: PeakStats, context: KpiContext) -> tuple[KpiValue, ...]:
    """Return the 15-min peaks and the load factor of the feeder head, the only column of ``stats``."""
    if stats.quarters == 0:
        note = "not applicable: the run holds no complete quarter of an hour"
        return tuple(
            KpiValue(name, None, note=note) for name in ("peak_import_kw", "peak_export_kw", "load_factor")
        )
    note = ""
    if not context.starts_on_step:
        note = "quarters count from the run's start, which is not on a full step of the clock"
    peak_import = max(float(stats.p_max.value[0]), 0.0)
    peak_export = max(-float(stats.p_min.value[0]), 0.0)
    mean_import = float(stats.import_sum_kw[0]) / stats.quarters
    factor = mean_import / peak_import if peak_import > 0 else None
    return (
        KpiValue(
            "peak_import_kw",
            peak_import,
            step=int(stats.p_max.step[0]) if peak_import > 0 else None,
            note=note,
        ),
        KpiValue(
            "peak_export_kw",
            peak_export,
            step=int(stats.p_min.step[0]) if peak_export > 0 else None,
            note=note,
        ),
        KpiValue("load_factor", factor, note=note if factor is not None else "not applicable: no import"),
    )


def trafo_flow_elements(stats: FlowStats, context: KpiContext) -> list[dict[str, Any]]:
    """Return the flow columns of one row per transformer."""
    return [
        {
            "level": context.trafo_level[i],
            "head": i in context.head_trafos,
            "reverse_hours": float(stats.reverse_steps[i] * context.dt_h),
            "reverse_energy_kwh": float(stats.reverse_kwh[i]),
            "reverse_peak_kw": max(-float(stats.p_min.value[i]), 0.0),
            "p_max_kw": finite_or_none(stats.p_max.value[i]),
            "p_max_step": int(stats.p_max.step[i]),
            "p_min_kw": finite_or_none(stats.p_min.value[i]),
            "p_min_step": int(stats.p_min.step[i]),
        }
        for i in range(len(context.trafo_name))
    ]
