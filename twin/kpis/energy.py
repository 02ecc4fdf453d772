"""Where the energy of PV generators and batteries goes, and whether the balance closes.

Self-consumption and self-sufficiency after Luthander et al. 2015, doi:10.1016/j.apenergy.2014.12.028: with
consumption L, PV production P and battery power S (discharging positive), all as step means,

    M(t) = min(L(t), P(t) + S(t)), at least 0
    self-consumption = sum M / sum P,    self-sufficiency = sum M / sum L
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.kpis.base import FloatArray, IntArray, KpiContext, KpiValue
from twin.kpis.stats import Extremes, Stats, column_sums, highest, worst_of

__all__ = [
    "BatteryStats",
    "MatchStats",
    "PvStats",
    "QualityStats",
    "battery_values",
    "match_values",
    "pv_values",
    "quality_values",
    "reduce_battery",
    "reduce_feeder_match",
    "reduce_home_match",
    "reduce_pv",
    "reduce_quality",
    "sum_by_home",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchStats(Stats):
    """Energies of the Luthander ratios of N meters, shape (N,) [kWh]."""

    matched_kwh: FloatArray
    pv_kwh: FloatArray
    load_kwh: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class PvStats(Stats):
    """Energies of N PV generators, positive, shape (N,) [kWh]."""

    fed_kwh: FloatArray
    available_kwh: FloatArray
    curtailed_kwh: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class BatteryStats(Stats):
    """Energy discharged at the terminals of N batteries, positive, shape (N,) [kWh]."""

    discharged_kwh: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class QualityStats(Stats):
    """How well the equations were solved."""

    n_steps: int
    balance: Extremes
    balance_kwh: float
    throughput_kwh: float
    residual: Extremes
    iterations: float


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


def _match(
    load_kw: FloatArray, pv_kw: FloatArray, discharge_kw: FloatArray, context: KpiContext
) -> MatchStats:
    """Return the match of arrays of shape (T, N), consumption, production and discharge counted positive."""
    matched_kw = np.maximum(np.minimum(load_kw, pv_kw + discharge_kw), 0.0)
    return MatchStats(
        matched_kwh=column_sums(matched_kw) * context.dt_h,
        pv_kwh=column_sums(pv_kw) * context.dt_h,
        load_kwh=column_sums(load_kw) * context.dt_h,
    )


def reduce_home_match(
    load_p_kw: NDArray[np.floating],
    pv_p_kw: NDArray[np.floating],
    battery_p_kw: NDArray[np.floating],
    context: KpiContext,
) -> MatchStats:
    """Return the match behind the meter of every home with PV, in the order of the homes.

    All arrays have shape (T, devices) [kW], consumption positive. Loads that feed in count as no consumption.
    """
    homes = np.unique(np.array(context.pv_home, dtype=np.int64))
    load_kw = sum_by_home(load_p_kw, np.array(context.load_home, dtype=np.int64), homes)
    pv_kw = sum_by_home(pv_p_kw, np.array(context.pv_home, dtype=np.int64), homes)
    battery_kw = sum_by_home(battery_p_kw, np.array(context.battery_home, dtype=np.int64), homes)
    return _match(np.maximum(load_kw, 0.0), np.maximum(-pv_kw, 0.0), -battery_kw, context)


def reduce_feeder_match(
    p_load_kw: NDArray[np.floating],
    p_pv_kw: NDArray[np.floating],
    p_battery_kw: NDArray[np.floating],
    context: KpiContext,
) -> MatchStats:
    """Return the match of the feeder as one meter; arrays of shape (T, 1) [kW], consumption positive."""
    load_kw, pv_kw, battery_kw = (entry.astype(np.float64) for entry in (p_load_kw, p_pv_kw, p_battery_kw))
    return _match(np.maximum(load_kw, 0.0), np.maximum(-pv_kw, 0.0), -battery_kw, context)


def match_values(stats: MatchStats, part: str) -> tuple[KpiValue, ...]:
    """Return both ratios of all meters together; ``part`` is ``homes`` or ``feeder``."""
    matched, pv, load = (float(np.sort(x).sum()) for x in (stats.matched_kwh, stats.pv_kwh, stats.load_kwh))
    names = (f"self_consumption_{part}_percent", f"self_sufficiency_{part}_percent")
    if pv <= 0:
        return tuple(KpiValue(name, None, note="not applicable: no PV production") for name in names)
    consumption = 100.0 * matched / pv
    note = "above 100 %: batteries gave back energy of the grid or of before the run" if matched > pv else ""
    sufficiency = KpiValue(names[1], None, note="not applicable: no consumption")
    if load > 0:
        sufficiency = KpiValue(names[1], 100.0 * matched / load)
    return KpiValue(names[0], consumption, note=note), sufficiency


def reduce_pv(
    pv_p_kw: NDArray[np.floating], pv_available_kw: NDArray[np.floating], context: KpiContext
) -> PvStats:
    """Return the energies of PV generators, shape (T, N) [kW] each, generation negative."""
    return PvStats(
        fed_kwh=column_sums(-pv_p_kw) * context.dt_h,
        available_kwh=column_sums(-pv_available_kw) * context.dt_h,
        curtailed_kwh=column_sums(np.maximum(pv_p_kw - pv_available_kw, 0)) * context.dt_h,
    )


def pv_values(stats: PvStats) -> tuple[KpiValue, ...]:
    """Return PV production and what of it was curtailed."""
    fed, available, curtailed = (
        float(np.sort(x).sum()) for x in (stats.fed_kwh, stats.available_kwh, stats.curtailed_kwh)
    )
    if not len(stats.fed_kwh):
        note = "not applicable: no PV"
        return tuple(
            KpiValue(name, None, note=note) for name in ("pv_kwh", "curtailed_kwh", "curtailed_percent")
        )
    share = KpiValue("curtailed_percent", None, note="not applicable: the sun gave nothing")
    if available > 0:
        share = KpiValue("curtailed_percent", 100.0 * curtailed / available)
    return KpiValue("pv_kwh", fed), KpiValue("curtailed_kwh", curtailed), share


def reduce_battery(battery_p_kw: NDArray[np.floating], context: KpiContext) -> BatteryStats:
    """Return the energy discharged, from ``battery_p_kw`` of shape (T, N) [kW], discharging negative."""
    return BatteryStats(discharged_kwh=column_sums(np.maximum(-battery_p_kw, 0)) * context.dt_h)


def battery_values(stats: BatteryStats, context: KpiContext) -> tuple[KpiValue, ...]:
    """Return the mean and the largest number of equivalent full cycles; ``where`` is the home of the battery."""
    if not context.battery_home:
        note = "not applicable: no battery"
        return KpiValue("battery_cycles_mean", None, note=note), KpiValue(
            "battery_cycles_max", None, note=note
        )
    cycles = stats.discharged_kwh / np.array(context.battery_capacity_kwh)
    worst = worst_of(cycles, [context.home_name[home] for home in context.battery_home])
    return (
        KpiValue("battery_cycles_mean", float(np.sort(cycles).mean())),
        KpiValue("battery_cycles_max", worst.value, where=worst.name if worst.value > 0 else ""),
    )


def reduce_quality(
    feeder: dict[str, NDArray[np.floating]], first_step: int, context: KpiContext
) -> QualityStats:
    """Return the solution quality from the feeder signals by name without axis, shape (T, 1) each."""
    balance_kw = np.abs(feeder["p_balance_kw"])
    steps = first_step + np.arange(len(balance_kw), dtype=np.int64)
    terms = ("p_import_kw", "p_loss_kw", "p_load_kw", "p_pv_kw", "p_battery_kw")
    # what comes in equals what goes out, so the sum of all magnitudes counts every kWh twice
    throughput_kwh = (
        sum(float(np.abs(feeder[name]).sum(dtype=np.float64)) for name in terms) * context.dt_h / 2
    )
    return QualityStats(
        n_steps=len(balance_kw),
        balance=highest(balance_kw, steps),
        balance_kwh=float(balance_kw.sum(dtype=np.float64)) * context.dt_h,
        throughput_kwh=throughput_kwh,
        residual=highest(feeder["residual_kva"], steps),
        iterations=float(feeder["iterations"].sum(dtype=np.float64)),
    )


def quality_values(stats: QualityStats) -> tuple[KpiValue, ...]:
    """Return balance error, fixed-point residual and power flows per step."""
    share = KpiValue("balance_error_percent", None, note="not applicable: no power flowed")
    if stats.throughput_kwh > 0:
        share = KpiValue("balance_error_percent", 100.0 * stats.balance_kwh / stats.throughput_kwh)
    return (
        KpiValue("balance_error_max_kw", float(stats.balance.value[0]), step=int(stats.balance.step[0])),
        share,
        KpiValue("residual_max_kva", float(stats.residual.value[0]), step=int(stats.residual.step[0])),
        KpiValue("power_flows_per_step", stats.iterations / stats.n_steps),
    )
