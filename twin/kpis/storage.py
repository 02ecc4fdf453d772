"""What batteries went through: full cycles, and how much more or less energy they hold at the end.

``battery.soc`` is the state at the start of a step. The energy at the end of the last step is that at its start plus
the energy at the terminals in it, without its losses, and within 0 and the capacity: what is left out is the
conversion loss of a single step.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.kpis.base import FloatArray, KpiContext, KpiValue
from twin.kpis.stats import Ends, Stats, column_sums, sum_by_home, worst_of
from twin.units import energy_kwh

__all__ = [
    "BatteryStats",
    "battery_values",
    "pv_home_change_kwh",
    "reduce_battery",
    "stored_change_kwh",
    "stored_text",
]

_NAMED_FROM_KWH = 0.01
"""A smaller change of the stored energy is not worth a word: its price is below a cent."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BatteryStats(Stats):
    """Energies of N batteries, shape (N,) [kWh]."""

    discharged_kwh: FloatArray
    """At the terminals, positive."""
    stored_kwh: Ends


def reduce_battery(
    battery_p_kw: NDArray[np.floating], soc: NDArray[np.floating], context: KpiContext
) -> BatteryStats:
    """Return the statistics of batteries, from shapes (T, N), T > 0.

    Args:
        battery_p_kw: power at the terminals [kW], discharging negative.
        soc: state of charge at the start of each step, 0 to 1.
        context: the run.
    """
    capacity_kwh = np.array(context.battery_capacity_kwh, dtype=np.float64)
    last_kwh = soc[-1] * capacity_kwh + energy_kwh(battery_p_kw[-1].astype(np.float64), context.dt_s)
    return BatteryStats(
        discharged_kwh=column_sums(np.maximum(-battery_p_kw, 0)) * context.dt_h,
        stored_kwh=Ends(first=soc[0] * capacity_kwh, last=np.clip(last_kwh, 0.0, capacity_kwh)),
    )


def stored_change_kwh(stats: BatteryStats) -> float:
    """Return the change of the energy in all batteries, end less start [kWh]; 0 without batteries."""
    # sorted, so that the sum does not depend on the order of the batteries
    return float(np.sort(stats.stored_kwh.change).sum())


def pv_home_change_kwh(stats: BatteryStats, context: KpiContext) -> FloatArray:
    """Return the change behind each connection point with PV, in the order of the points, shape (N,) [kWh]."""
    homes = np.unique(np.array(context.pv_home, dtype=np.int64))
    owners = np.array(context.battery_home, dtype=np.int64)
    total: FloatArray = sum_by_home(stats.stored_kwh.change[None, :], owners, homes)[0]
    return total


def battery_values(stats: BatteryStats, context: KpiContext) -> tuple[KpiValue, ...]:
    """Return mean and largest equivalent full cycles, ``where`` a connection point, and the change of stored energy."""
    if not context.battery_home:
        note = "not applicable: no battery"
        names = ("battery_cycles_mean", "battery_cycles_max", "stored_change_kwh")
        return tuple(KpiValue(name, None, note=note) for name in names)
    cycles = stats.discharged_kwh / np.array(context.battery_capacity_kwh)
    worst = worst_of(cycles, [context.home_name[home] for home in context.battery_home])
    return (
        KpiValue("battery_cycles_mean", float(np.sort(cycles).mean())),
        KpiValue("battery_cycles_max", worst.value, where=worst.name if worst.value > 0 else ""),
        KpiValue("stored_change_kwh", stored_change_kwh(stats)),
    )


def stored_text(change_kwh: float) -> str:
    """Return the change of the stored energy in words, without a full stop; empty where it is too small to matter."""
    if abs(change_kwh) < _NAMED_FROM_KWH:
        return ""
    word = "more" if change_kwh > 0 else "less"
    return f"batteries hold {abs(change_kwh):.4g} kWh {word} at the end than at the start"
