"""What appliances lacked: the other side of shifting or limiting what they draw."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.kpis.base import FloatArray, KpiContext, KpiValue
from twin.kpis.stats import Stats, column_sums, worst_of

__all__ = ["ApplianceStats", "appliance_values", "reduce_appliances"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ApplianceStats(Stats):
    """What N appliances lacked, shape (N,) [kWh]."""

    unmet_kwh: FloatArray


def reduce_appliances(state_value: NDArray[np.floating], context: KpiContext) -> ApplianceStats:
    """Return the statistics of appliances from the stored outputs of devices, shape (T, states)."""
    return ApplianceStats(unmet_kwh=column_sums(state_value[:, list(context.unmet_state)]))


def appliance_values(stats: ApplianceStats, context: KpiContext) -> tuple[KpiValue, ...]:
    """Return what all appliances lacked, ``where`` the one that lacked most."""
    names = list(context.unmet_device)
    if not names:
        return (KpiValue("unmet_kwh", None, note="not applicable: no appliance tells what it lacks"),)
    total_kwh = float(np.sort(stats.unmet_kwh).sum())
    where = worst_of(stats.unmet_kwh, names).name if total_kwh > 0.0 else ""
    return (KpiValue("unmet_kwh", total_kwh, where=where),)
