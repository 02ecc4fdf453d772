"""What the connection points pay for energy under the simple tariff of the scenario."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.kpis.base import FloatArray, KpiContext, KpiValue
from twin.kpis.flows import PeakStats
from twin.kpis.stats import Stats, column_sums, finite_or_none
from twin.kpis.storage import stored_text

__all__ = ["HomeStats", "home_elements", "money_values", "reduce_homes"]

TARIFF_NOTE = "simple tariff of the scenario: energy only, no fixed, grid or tax parts unless in the price"


@dataclass(frozen=True, kw_only=True, eq=False)
class HomeStats(Stats):
    """Energy and cost at the meters of N homes, shape (N,)."""

    import_kwh: FloatArray
    export_kwh: FloatArray
    cost_eur: FloatArray


def reduce_homes(
    home_p_kw: NDArray[np.floating],
    price_import_eur_kwh: NDArray[np.floating],
    price_export_eur_kwh: NDArray[np.floating],
    context: KpiContext,
) -> HomeStats:
    """Return energy and cost per home from meters, shape (T, N) [kW], and prices, shape (T, 1) [EUR/kWh]."""
    import_kwh = np.maximum(home_p_kw, 0).astype(np.float64) * context.dt_h
    export_kwh = np.maximum(-home_p_kw, 0).astype(np.float64) * context.dt_h
    cost_eur = import_kwh * price_import_eur_kwh.astype(np.float64)
    cost_eur -= export_kwh * price_export_eur_kwh.astype(np.float64)
    return HomeStats(
        import_kwh=column_sums(import_kwh), export_kwh=column_sums(export_kwh), cost_eur=column_sums(cost_eur)
    )


def money_values(stats: HomeStats, change_kwh: float) -> tuple[KpiValue, ...]:
    """Return the energy cost of all connection points and the mean of them.

    ``change_kwh`` is the change of the energy stored in all batteries; it has no price, so the notes name it.
    """
    if not len(stats.cost_eur):
        note = "not applicable: no connection points"
        return KpiValue("cost_total_eur", None, note=note), KpiValue("cost_mean_eur", None, note=note)
    total_eur = float(np.sort(stats.cost_eur).sum())
    stored = stored_text(change_kwh)
    note = f"{TARIFF_NOTE}; {stored}; not priced" if stored else TARIFF_NOTE
    return (
        KpiValue("cost_total_eur", total_eur, note=note),
        KpiValue("cost_mean_eur", total_eur / len(stats.cost_eur), note=note),
    )


def home_elements(stats: HomeStats, peaks: PeakStats, context: KpiContext) -> list[dict[str, Any]]:
    """Return one row per home; ``peaks`` holds the 15-min means of the same homes."""
    return [
        {
            "axis": "home",
            "name": name,
            "import_kwh": float(stats.import_kwh[i]),
            "export_kwh": float(stats.export_kwh[i]),
            "peak_import_kw": None if top is None else max(top, 0.0),
            "peak_export_kw": None if bottom is None else max(-bottom, 0.0),
            "cost_eur": float(stats.cost_eur[i]),
        }
        for i, name in enumerate(context.home_name)
        for top, bottom in [(finite_or_none(peaks.p_max.value[i]), finite_or_none(peaks.p_min.value[i]))]
    ]
