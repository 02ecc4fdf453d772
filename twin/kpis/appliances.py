"""What appliances lacked: the other side of shifting or limiting what they draw."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.kpis.base import FloatArray, KpiContext, KpiValue
from twin.kpis.stats import Stats, column_sums, worst_of

__all__ = ["UNMET", "ApplianceStats", "appliance_values", "reduce_appliances"]

UNMET = " unmet_kwh [kWh]"
"""End of the names on the axis ``state`` that hold what an appliance lacked in a step."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ApplianceStats(Stats):
    """What N appliances lacked, shape (N,) [kWh]."""

    unmet_kwh: FloatArray


def reduce_appliances(state_value: NDArray[np.floating], context: KpiContext) -> ApplianceStats:
    """Return the statistics of appliances from the stored outputs of devices, shape (T, states)."""
    return ApplianceStats(unmet_kwh=column_sums(state_value[:, _unmet(context)]))


def appliance_values(stats: ApplianceStats, context: KpiContext) -> tuple[KpiValue, ...]:
    """Return what all appliances lacked, ``where`` the one that lacked most."""
    names = [context.state_name[position].removesuffix(UNMET) for position in _unmet(context)]
    if not names:
        return (KpiValue("unmet_kwh", None, note="not applicable: no appliance tells what it lacks"),)
    total_kwh = float(np.sort(stats.unmet_kwh).sum())
    where = worst_of(stats.unmet_kwh, names).name if total_kwh > 0.0 else ""
    return (KpiValue("unmet_kwh", total_kwh, where=where),)


def _unmet(context: KpiContext) -> list[int]:
    return [position for position, name in enumerate(context.state_name) if name.endswith(UNMET)]
