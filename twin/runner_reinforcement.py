"""When a limit of the feeder is reached as loads grow, and what it is worth that a strategy puts this off."""

from collections.abc import Mapping, Sequence
from typing import Any

from twin.community.reinforcement import deferral_npv_eur, deferral_years, years_to_limit
from twin.kpis import KpiLimits, KpiValue
from twin.scenario.market import Reinforcement

__all__ = ["reinforcement_json"]

_WATCHED = (
    ("trafo_loading_max_percent", "Highest loading of a transformer", "trafo_loading_percent", "%"),
    ("line_loading_max_percent", "Highest loading of a line", "line_loading_percent", "%"),
    ("peak_import_kw", "Peak import", "peak_import_kw", "kW"),
    ("peak_export_kw", "Peak export", "peak_export_kw", "kW"),
)
"""KPI, words, limit and unit: what grows in proportion with all power flows."""


def reinforcement_json(
    found: Mapping[str, Sequence[KpiValue]],
    limits: KpiLimits,
    terms: Reinforcement,
    *,
    levels: Mapping[str, int | None],
) -> dict[str, Any]:
    """Return for each strategy the years until each limit is reached, and the deferral against the base.

    The base is the first strategy of the lowest level of management, as in the report; the first one without levels.
    A voltage limit that is broken is reached today; one that is kept is not extrapolated.

    Args:
        found: KPIs of the finished strategies, in their order, at least one.
        limits: limits that were not set are not watched.
        terms: growth, cost and discount.
        levels: level of management of each strategy, None where it does not say.
    """
    strategies = {name: _watched(values, limits, terms.growth_percent_year) for name, values in found.items()}
    leveled = {name: level for name in found if (level := levels[name]) is not None}
    base = min(leveled, key=lambda name: leveled[name]) if leveled else next(iter(found))
    base_years = strategies[base]["years"]
    for entry in strategies.values():
        entry["deferral_years"] = deferral_years(base_years, entry["years"], terms.horizon_years)
        entry["npv_eur"] = deferral_npv_eur(
            base_years,
            entry["years"],
            cost_eur=terms.cost_eur,
            discount_percent=terms.discount_percent,
            horizon_years=terms.horizon_years,
        )
    return {"terms": terms.model_dump(), "base": base, "strategies": strategies}


def _watched(values: Sequence[KpiValue], limits: KpiLimits, growth_percent_year: float) -> dict[str, Any]:
    found = {value.name: value for value in values}
    rows: list[dict[str, Any]] = []
    for name, words, limit_name, unit in _WATCHED:
        limit, value = getattr(limits, limit_name), found[name]
        if limit is None or value.value is None:
            continue
        rows.append(
            {
                "what": words,
                "where": value.where,
                "value": value.value,
                "limit": limit,
                "unit": unit,
                "years": years_to_limit(max(value.value, 0.0), limit, growth_percent_year),
            }
        )
    rows += _voltages(found, limits)
    reached = [row["years"] for row in rows if row["years"] is not None]
    return {"rows": rows, "years": min(reached, default=None)}


def _voltages(found: Mapping[str, KpiValue], limits: KpiLimits) -> list[dict[str, Any]]:
    """Return the voltage limits that are broken in the run."""
    low, high = found["vm_min_pu"], found["vm_max_pu"]
    return [
        {
            "what": words,
            "where": value.where,
            "value": value.value,
            "limit": limit,
            "unit": "pu",
            "years": 0.0,
        }
        for words, value, limit, beyond in (
            ("Lowest voltage", low, limits.vm_min_pu, -1.0),
            ("Highest voltage", high, limits.vm_max_pu, 1.0),
        )
        if value.value is not None and beyond * (value.value - limit) > 0.0
    ]
