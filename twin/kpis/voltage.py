"""Voltage: extremes, the weekly test of EN 50160 and the user's band.

EN 50160 (as quoted in Schneider Electric note 7EN72-0197): in each week at most 5 % of the 10-min values lie outside
+-10 % of the nominal voltage, and none outside +10/-15 %. Weeks are 7 x 24 h counted from the run's start. What is left
over counts in the last week, which is then longer: in a leftover of an hour a single mean would be a large share. A
last week of 167 h, 7 local days over the change to summer time, is complete. A run without a complete week is one
incomplete week.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.clock import end_of_steps_s, is_whole_steps, step_text, whole_seconds
from twin.kpis.base import FloatArray, IntArray, KpiContext, KpiValue
from twin.kpis.stats import Extremes, Stats, WindowMeans, highest, lowest, window_means, worst_of
from twin.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, hours

__all__ = [
    "EN50160_SHARE_PERCENT",
    "VOLTAGE_TOLERANCE_PU",
    "WEEK_S",
    "VoltageStats",
    "bus_elements",
    "has_complete_week",
    "is_coarse",
    "reduce_voltage",
    "voltage_values",
]

EN50160_WINDOW_S = 600
EN50160_SHARE_PERCENT = 5.0
_LOW_PU, _HIGH_PU, _LOWEST_PU = 0.90, 1.10, 0.85
WEEK_S = 7 * SECONDS_PER_DAY

VOLTAGE_TOLERANCE_PU = 1e-6
"""A voltage is outside when it is farther out than this: engines agree, and float32 resolves, no better."""


@dataclass(frozen=True, kw_only=True, eq=False)
class VoltageStats(Stats):
    """Bus voltages of a stretch, N buses, W weeks of the whole run."""

    n_steps: int
    low: Extremes
    high: Extremes
    outside_steps: IntArray
    """Steps outside the user's band, shape (N,)."""
    any_outside_steps: int
    """Steps with at least one bus outside the user's band."""
    week_windows: IntArray
    """10-min means (steps where they are longer) per 7 x 24 h, the last of them perhaps a rest, shape (W,)."""
    week_outside: IntArray
    """Of these outside +-10 %, shape (W, N)."""
    week_beyond: IntArray
    """Of these outside +10/-15 %, shape (W, N)."""


def is_coarse(context: KpiContext) -> bool:
    """Return whether the step is longer than the 10 min of EN 50160."""
    return context.dt_s > EN50160_WINDOW_S


def _complete_weeks(duration_s: int) -> int:
    # the hour: seven local days last 167 h where clocks go forward
    return (duration_s + SECONDS_PER_HOUR) // WEEK_S


def has_complete_week(context: KpiContext) -> bool:
    """Return whether the run holds a week as EN 50160 asks for, at least 7 x 24 h less the hour of a clock change."""
    return _complete_weeks(whole_seconds(context.n_steps, context.dt_s)) > 0


def _quality_means(vm_pu: NDArray[np.floating], first_step: int, context: KpiContext) -> WindowMeans:
    if not is_coarse(context):
        return window_means(vm_pu, first_step, context, window_s=EN50160_WINDOW_S)
    steps = first_step + np.arange(len(vm_pu), dtype=np.int64)
    return WindowMeans(mean=vm_pu.astype(np.float64), start_s=whole_seconds(steps, context.dt_s))


def _outside(vm_pu: NDArray[np.floating], low_pu: float, high_pu: float) -> NDArray[np.bool_]:
    outside: NDArray[np.bool_] = (vm_pu < low_pu - VOLTAGE_TOLERANCE_PU) | (
        vm_pu > high_pu + VOLTAGE_TOLERANCE_PU
    )
    return outside


def reduce_voltage(vm_pu: NDArray[np.floating], first_step: int, context: KpiContext) -> VoltageStats:
    """Return the statistics of ``vm_pu``, shape (T, N) [pu], whose first row is ``first_step``.

    Held buses are never counted as outside.
    """
    steps = first_step + np.arange(len(vm_pu), dtype=np.int64)
    counts = np.isin(np.arange(vm_pu.shape[1]), context.free_buses)
    outside = _outside(vm_pu, context.limits.vm_min_pu, context.limits.vm_max_pu) & counts
    means = _quality_means(vm_pu, first_step, context)
    out = _outside(means.mean, _LOW_PU, _HIGH_PU) & counts
    beyond = _outside(means.mean, _LOWEST_PU, _HIGH_PU) & counts
    n_weeks = -(-end_of_steps_s(context.n_steps, context.dt_s) // WEEK_S)
    week = means.start_s // WEEK_S
    week_outside = np.zeros((n_weeks, vm_pu.shape[1]), dtype=np.int64)
    week_beyond = np.zeros_like(week_outside)
    for number in np.unique(week):
        week_outside[number] = out[week == number].sum(axis=0)
        week_beyond[number] = beyond[week == number].sum(axis=0)
    return VoltageStats(
        n_steps=len(vm_pu),
        low=lowest(vm_pu, steps),
        high=highest(vm_pu, steps),
        outside_steps=outside.sum(axis=0, dtype=np.int64),
        any_outside_steps=int(outside.any(axis=1).sum()),
        week_windows=np.bincount(week, minlength=n_weeks).astype(np.int64),
        week_outside=week_outside,
        week_beyond=week_beyond,
    )


def _week_percent(stats: VoltageStats, context: KpiContext) -> FloatArray:
    """Return the share of means outside +-10 % per week and bus, shape (weeks with data, N) [%].

    What is left over after the complete weeks of the steps taken so far counts in the last of them.
    """
    first = np.arange(max(_complete_weeks(whole_seconds(stats.n_steps, context.dt_s)), 1))
    windows = np.add.reduceat(stats.week_windows, first)
    outside = np.add.reduceat(stats.week_outside, first, axis=0)
    seen = windows > 0
    percent: FloatArray = 100.0 * outside[seen] / windows[seen, None]
    return percent


def _week_note(duration_s: int) -> str:
    weeks = _complete_weeks(duration_s)
    if not weeks:
        return f"incomplete week: {duration_s / SECONDS_PER_DAY:.3g} of 7 days"
    rest_s = duration_s - weeks * WEEK_S
    if rest_s > 0:
        return f"the last {hours(rest_s):.4g} h are no week and count in week {weeks}"
    if rest_s < 0:
        return f"week {weeks} has {hours(WEEK_S + rest_s):.4g} of 168 h and counts as complete"
    return ""


def _en50160_note(stats: VoltageStats, context: KpiContext) -> str:
    notes = []
    if is_coarse(context):
        notes.append(
            f"indicative: step {step_text(context.dt_s)} is coarser than the 10-min mean of EN 50160"
        )
    elif not is_whole_steps(EN50160_WINDOW_S, context.dt_s):
        notes.append(
            f"step {step_text(context.dt_s)} does not divide 10 min: "
            "a step across a window's border counts in both by its share of time"
        )
    if not context.starts_on_step:
        notes.append("10-min windows count from the run's start, which is not on a full step of the clock")
    notes.append(_week_note(whole_seconds(stats.n_steps, context.dt_s)))
    return "; ".join(note for note in notes if note)


def _en50160_values(stats: VoltageStats, context: KpiContext) -> tuple[KpiValue, ...]:
    note = _en50160_note(stats, context)
    percent = _week_percent(stats, context)
    if percent.size == 0:
        gap = "not applicable: the run holds no complete 10-min mean"
        return (
            KpiValue("en50160_outside_percent", None, note=gap),
            KpiValue("en50160_beyond_count", None, note=gap),
        )
    share = worst_of(percent.max(axis=0), context.bus_name)
    count = stats.week_beyond.sum(axis=0).astype(np.float64)
    beyond = worst_of(count, context.bus_name)
    return (
        KpiValue(
            "en50160_outside_percent", share.value, where=share.name if share.value > 0 else "", note=note
        ),
        KpiValue(
            "en50160_beyond_count",
            float(count.sum()),
            where=beyond.name if beyond.value > 0 else "",
            note=note,
        ),
    )


def voltage_values(stats: VoltageStats, context: KpiContext) -> tuple[KpiValue, ...]:
    """Return the voltage KPIs; at least one bus is needed."""
    free = context.free_buses
    names = [context.bus_name[position] for position in free]
    low = worst_of(-stats.low.value[free], names, stats.low.step[free])
    high = worst_of(stats.high.value[free], names, stats.high.step[free])
    worst = worst_of(stats.outside_steps * context.dt_h, context.bus_name)
    where = worst.name if worst.value > 0 else ""
    return (
        KpiValue("vm_min_pu", -low.value, where=low.name, step=low.step),
        KpiValue("vm_max_pu", high.value, where=high.name, step=high.step),
        *_en50160_values(stats, context),
        KpiValue("band_hours", stats.any_outside_steps * context.dt_h, where=where),
        KpiValue("band_node_hours", int(stats.outside_steps.sum()) * context.dt_h, where=where),
        KpiValue("band_worst_node_hours", worst.value, where=where),
    )


def bus_elements(stats: VoltageStats, context: KpiContext) -> list[dict[str, Any]]:
    """Return one row per bus."""
    percent = _week_percent(stats, context)
    worst_week = percent.max(axis=0) if len(percent) else None
    return [
        {
            "axis": "bus",
            "name": name,
            "vm_min_pu": float(stats.low.value[i]),
            "vm_min_step": int(stats.low.step[i]),
            "vm_max_pu": float(stats.high.value[i]),
            "vm_max_step": int(stats.high.step[i]),
            "hours_outside_band": float(stats.outside_steps[i] * context.dt_h),
            "en50160_worst_week_percent": None if worst_week is None else float(worst_week[i]),
        }
        for i, name in enumerate(context.bus_name)
    ]
