"""Deferral of a reinforcement: when growth reaches a limit, with and without a strategy, and what waiting is worth.

Assumption: all power flows of the feeder grow in proportion, at the same rate every year, so loading and peak grow with them.
New connections at single places are not seen. Voltage is not extrapolated: it grows with its distance from the voltage
without load, which a run does not hold.

The value of waiting is the difference of the present values of one investment at two dates, the standard present-value
formula of deferral studies (e.g. H. A. Gil and G. Joos, On the quantification of the network capacity deferral value of
distributed generation, IEEE Transactions on Power Systems 21(4), 2006, doi:10.1109/TPWRS.2006.881158; K: not verified).
"""

import math

__all__ = ["deferral_npv_eur", "deferral_years", "present_value_eur", "years_to_limit"]


def years_to_limit(value: float, limit: float, growth_percent_year: float) -> float | None:
    """Return after how many years a quantity that grows with the power flows reaches its limit; None for never.

    ``years = ln(limit / value) / ln(1 + growth)``. 0 where the limit is reached today. Never without growth or without
    any flow.

    Args:
        value: largest value of today: loading [%] or peak [kW].
        limit: what it may be, same unit, above 0.
        growth_percent_year: growth of all power flows [%/year], at least 0.

    Raises:
        ValueError: a value below 0, a limit not above 0, or growth below 0, or one that is not finite.
    """
    _check_finite(value=value, limit=limit, growth_percent_year=growth_percent_year)
    if value < 0 or limit <= 0 or growth_percent_year < 0:
        raise ValueError(
            "value and growth must be at least 0 and the limit above 0 "
            f"(got value {value:g}, limit {limit:g}, growth {growth_percent_year:g} %)"
        )
    if value >= limit:
        return 0.0
    if value == 0 or growth_percent_year == 0:
        return None
    # log1p keeps small growth rates exact
    return (math.log(limit) - math.log(value)) / math.log1p(growth_percent_year / 100.0)


def deferral_years(base_years: float | None, strategy_years: float | None, horizon_years: float) -> float:
    """Return by how many years a strategy puts the limit off within the horizon, negative where it brings it forward.

    Dates beyond the horizon, or never (None), count as the horizon.
    """
    return _within(strategy_years, horizon_years) - _within(base_years, horizon_years)


def present_value_eur(
    years: float | None, *, cost_eur: float, discount_percent: float, horizon_years: float
) -> float:
    """Return today's value of an investment in ``years`` [EUR]; beyond the horizon, or never, it counts at the horizon.

    So years and money of a deferral rest on the same dates; a deferral beyond the horizon is counted up to it.
    """
    return cost_eur * float((1.0 + discount_percent / 100.0) ** -_within(years, horizon_years))


def deferral_npv_eur(
    base_years: float | None,
    strategy_years: float | None,
    *,
    cost_eur: float,
    discount_percent: float,
    horizon_years: float,
) -> float:
    """Return what a strategy saves by putting a reinforcement off: ``cost x ((1+r)^-t_base - (1+r)^-t_strategy)`` [EUR].

    Dates beyond the horizon, or never, count as the horizon. Negative where the strategy brings it forward.

    Args:
        base_years: years to the limit without the strategy, None for never.
        strategy_years: the same with it.
        cost_eur: cost of the reinforcement, constant in prices of today [EUR].
        discount_percent: real discount rate [%/year].
        horizon_years: see above [years].
    """
    base_eur, strategy_eur = (
        present_value_eur(
            years, cost_eur=cost_eur, discount_percent=discount_percent, horizon_years=horizon_years
        )
        for years in (base_years, strategy_years)
    )
    return base_eur - strategy_eur


def _within(years: float | None, horizon_years: float) -> float:
    return horizon_years if years is None else min(years, horizon_years)


def _check_finite(**values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} must be finite (got {value:g})")
