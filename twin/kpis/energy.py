"""Where the energy of PV generators goes, and whether the balance closes.

Self-consumption and self-sufficiency after Luthander et al. 2015, doi:10.1016/j.apenergy.2014.12.028: with
consumption L, PV production P and battery power S (discharging positive), all as step means, the match is

    M(t) = min(L(t), P(t) + S(t)), at least 0
    self-consumption = sum M / sum P,    self-sufficiency = sum M / sum L

This takes everything a battery gives for PV. What was in it before the run, or was bought to charge it, is not, so
sum M is split in two and corrected:

    direct(t) = min(L, max(P - charge, 0)),    given(t) = min(discharge, L - min(L, P)),    M = direct + given
    taken(t) = min(charge, P)
    PV used = sum direct + (sum given + min(dE, 0), at least 0, at most sum taken)

with dE the change of the stored energy over the run, for each meter. As direct + taken is at most P and
direct + given at most L, both ratios lie within 0 and 100 %. Without batteries, or with batteries that only store PV
and end as full as they started, they are those of Luthander et al. PV that is still stored at the end does not count.
What a battery gives has no label: where it took PV and other energy, it counts as PV up to the PV taken.
The energy taken out of the store is counted before discharging losses: the ratios are rather too low than too high.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.kpis.base import FloatArray, KpiContext, KpiValue
from twin.kpis.stats import Extremes, Stats, column_sums, highest, sum_by_home
from twin.kpis.storage import stored_text

__all__ = [
    "MatchStats",
    "PvStats",
    "QualityStats",
    "match_values",
    "pv_values",
    "quality_values",
    "reduce_feeder_match",
    "reduce_home_match",
    "reduce_pv",
    "reduce_quality",
]


_NOTED_SHARE = 0.01
"""A change of the stored energy above this share of the energy it is compared with is worth a note."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchStats(Stats):
    """Energies of the ratios of N meters as in the module's text, shape (N,) [kWh]."""

    direct_kwh: FloatArray
    given_kwh: FloatArray
    taken_kwh: FloatArray
    pv_kwh: FloatArray
    load_kwh: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class PvStats(Stats):
    """Energies of N PV generators, positive, shape (N,) [kWh]."""

    fed_kwh: FloatArray
    available_kwh: FloatArray
    curtailed_kwh: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class QualityStats(Stats):
    """How well the equations were solved."""

    n_steps: int
    balance: Extremes
    balance_kwh: float
    throughput_kwh: float
    residual: Extremes
    iterations: float


def _match(load_kw: FloatArray, pv_kw: FloatArray, battery_kw: FloatArray, context: KpiContext) -> MatchStats:
    """Return the match of arrays of shape (T, N), consumption, production and charging counted positive."""
    charge_kw = np.maximum(battery_kw, 0.0)
    direct_kw = np.minimum(load_kw, np.maximum(pv_kw - charge_kw, 0.0))
    given_kw = np.minimum(np.maximum(-battery_kw, 0.0), load_kw - np.minimum(load_kw, pv_kw))
    return MatchStats(
        direct_kwh=column_sums(direct_kw) * context.dt_h,
        given_kwh=column_sums(given_kw) * context.dt_h,
        taken_kwh=column_sums(np.minimum(charge_kw, pv_kw)) * context.dt_h,
        pv_kwh=column_sums(pv_kw) * context.dt_h,
        load_kwh=column_sums(load_kw) * context.dt_h,
    )


def reduce_home_match(
    load_p_kw: NDArray[np.floating],
    pv_p_kw: NDArray[np.floating],
    battery_p_kw: NDArray[np.floating],
    context: KpiContext,
) -> MatchStats:
    """Return the match behind the meter of every connection point with PV, in the order of the points.

    All arrays have shape (T, devices) [kW], consumption positive. Loads that feed in count as no consumption.
    """
    homes = np.unique(np.array(context.pv_home, dtype=np.int64))
    load_kw = sum_by_home(load_p_kw, np.array(context.load_home, dtype=np.int64), homes)
    pv_kw = sum_by_home(pv_p_kw, np.array(context.pv_home, dtype=np.int64), homes)
    battery_kw = sum_by_home(battery_p_kw, np.array(context.battery_home, dtype=np.int64), homes)
    return _match(np.maximum(load_kw, 0.0), np.maximum(-pv_kw, 0.0), battery_kw, context)


def reduce_feeder_match(
    p_load_kw: NDArray[np.floating],
    p_pv_kw: NDArray[np.floating],
    p_battery_kw: NDArray[np.floating],
    context: KpiContext,
) -> MatchStats:
    """Return the match of the feeder as one meter; arrays of shape (T, 1) [kW], consumption positive."""
    load_kw, pv_kw, battery_kw = (entry.astype(np.float64) for entry in (p_load_kw, p_pv_kw, p_battery_kw))
    return _match(np.maximum(load_kw, 0.0), np.maximum(-pv_kw, 0.0), battery_kw, context)


def match_values(stats: MatchStats, change_kwh: FloatArray, part: str) -> tuple[KpiValue, ...]:
    """Return both ratios of all meters together.

    Args:
        stats: of N meters.
        change_kwh: change of the energy stored behind each meter, end less start, shape (N,).
        part: ``homes`` or ``feeder``.
    """
    through_kwh = np.minimum(np.maximum(stats.given_kwh + np.minimum(change_kwh, 0.0), 0.0), stats.taken_kwh)
    used, pv, load, change = (
        float(np.sort(x).sum())
        for x in (stats.direct_kwh + through_kwh, stats.pv_kwh, stats.load_kwh, change_kwh)
    )
    names = (f"self_consumption_{part}_percent", f"self_sufficiency_{part}_percent")
    if pv <= 0:
        return tuple(KpiValue(name, None, note="not applicable: no PV production") for name in names)
    sufficiency = KpiValue(names[1], None, note="not applicable: no consumption")
    if load > 0:
        sufficiency = KpiValue(names[1], _percent(used, load), note=_match_note(change, load))
    return KpiValue(names[0], _percent(used, pv), note=_match_note(change, pv)), sufficiency


def _percent(used_kwh: float, all_kwh: float) -> float:
    # two sums of the same energies may differ in the last bits
    return min(100.0 * used_kwh / all_kwh, 100.0)


def _match_note(change_kwh: float, all_kwh: float) -> str:
    text = stored_text(change_kwh)
    if not text or abs(change_kwh) <= _NOTED_SHARE * all_kwh:
        return ""
    left_out = (
        "what they gave of that is not counted as PV"
        if change_kwh < 0
        else "what they still hold is not counted as used"
    )
    return f"{text}; {left_out}"


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
