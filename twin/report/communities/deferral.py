"""Deferral of reinforcement: tables and sentences."""

from collections.abc import Mapping

from twin.clock import local_time
from twin.report.communities.cells import money_text, numbers, table_of, words
from twin.report.communities.deferral_file import Deferral, StrategyLimits
from twin.report.model import Table
from twin.report.numbers import number_text, quantity_text
from twin.report.table import NO_VALUE

__all__ = ["deferral_tables", "deferral_words"]

_MONTHS = 12
_LEAST_YEARS = 0.05
"""A shorter deferral counts as none."""


def _reached(years: float | None, start_utc_s: int) -> str:
    """Return after how many years a limit is reached and in which one; ``start_utc_s`` is the start of the run."""
    if years is None:
        return "never"
    start = local_time(start_utc_s)
    return f"{number_text(years, 1)} ({int(start.year + (start.month - 1) / _MONTHS + years)})"


def _first(entry: StrategyLimits) -> str:
    """Return what reaches its limit first."""
    reached = [row for row in entry.rows if row.years is not None and row.years == entry.years]
    return reached[0].what if reached else NO_VALUE


def deferral_tables(found: Deferral, labels: Mapping[str, str], start_utc_s: int) -> tuple[Table, ...]:
    """Return the deferral by strategy, and when each limit is reached.

    Args:
        found: content of the file.
        labels: words by strategy name.
        start_utc_s: start of the run.
    """
    names = list(found.strategies)
    entries = [found.strategies[name] for name in names]
    limits_ = dict.fromkeys(row.what for entry in entries for row in entry.rows)
    pairs = [
        (labels.get(name, name), row)
        for what in limits_
        for name in names
        for row in found.strategies[name].rows
        if row.what == what
    ]
    summary = table_of(
        "Deferral of reinforcement, by strategy",
        (
            words("Strategy", [labels.get(name, name) for name in names]),
            words("First limit reached", [_first(entry) for entry in entries]),
            words("Reached after years (in)", [_reached(entry.years, start_utc_s) for entry in entries]),
            numbers("Deferral", "years", [entry.deferral_years for entry in entries], "+"),
            numbers("Present value of waiting", "EUR", [entry.npv_eur for entry in entries], "+"),
        ),
    )
    limits = table_of(
        "When each limit is reached, by strategy",
        (
            words("Limit", [row.what for _, row in pairs]),
            words("Strategy", [label for label, _ in pairs]),
            words("Where", [row.where for _, row in pairs]),
            words("Largest in the run", [quantity_text(row.value, row.unit) for _, row in pairs]),
            words("May be", [quantity_text(row.limit, row.unit) for _, row in pairs]),
            words("Reached after years (in)", [_reached(row.years, start_utc_s) for _, row in pairs]),
        ),
    )
    return (summary, limits) if pairs else (summary,)


def deferral_words(found: Deferral, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return the assumptions, and which strategy defers the reinforcement most."""
    if found.base is None:
        return ("No strategy ran to its end, so nothing is said on the deferral of reinforcement.",)
    terms, base = found.terms, labels.get(found.base, found.base)
    assumed = (
        f"All flows of the feeder are taken to grow by {terms.growth_percent_year:g} % a year from the run on; "
        f"reinforcement costs {money_text(terms.cost_eur)}, money is discounted at {terms.discount_percent:g} % a year, and "
        f"what is needed later than in {terms.horizon_years:g} years counts as needed then. Voltage limits count where they are "
        f"broken in the run; voltage is not extrapolated. Compared with {base}."
    )
    others = {name: entry for name, entry in found.strategies.items() if name != found.base}
    if not others:
        return (assumed,)
    return (assumed, *_best(others, labels, base), *_worst(others, labels))


def _best(others: Mapping[str, StrategyLimits], labels: Mapping[str, str], base: str) -> tuple[str, ...]:
    name = max(others, key=lambda key: others[key].deferral_years)
    entry = others[name]
    if all(other.years == 0.0 for other in others.values()):
        return ("A limit is reached today with every strategy: there is nothing to put off.",)
    if entry.deferral_years < _LEAST_YEARS:
        return (f"No strategy defers the reinforcement against {base}.",)
    return (
        (
            f"{labels.get(name, name)} defers the reinforcement most: by {number_text(entry.deferral_years, 1)} years, worth "
            f"{money_text(entry.npv_eur)} today."
        ),
    )


def _worst(others: Mapping[str, StrategyLimits], labels: Mapping[str, str]) -> tuple[str, ...]:
    name = min(others, key=lambda key: others[key].deferral_years)
    entry = others[name]
    if entry.deferral_years > -_LEAST_YEARS:
        return ()
    return (
        (
            f"{labels.get(name, name)} brings it forward by {number_text(-entry.deferral_years, 1)} years "
            f"({money_text(entry.npv_eur, '+')})."
        ),
    )
