"""Tables on who gains and who loses: members and plants."""

from collections.abc import Sequence

from twin.report.communities.cells import counted, numbers, table_of, words
from twin.report.communities.files import SettledStrategy
from twin.report.communities.model import StrategyTables
from twin.report.communities.value import (
    SAME_EUR,
    MemberChange,
    base_of,
    below,
    member_changes,
    plant_changes,
    totals,
)
from twin.report.model import Table

__all__ = ["counts", "gain_table", "gainer_tables", "largest", "plant_table"]

_NAMED = 5
"""Members listed on each side."""
_PLANTS = 20
"""Plants listed."""


def counts(found: Sequence[MemberChange]) -> tuple[int, int, int]:
    """Return how many members gain, lose and stay within half a cent."""
    gain = sum(change.gain_eur > SAME_EUR for change in found)
    lose = sum(change.gain_eur < -SAME_EUR for change in found)
    return gain, lose, len(found) - gain - lose


def largest(found: Sequence[MemberChange], sign: int) -> list[MemberChange]:
    """Return up to five members with the largest gain (``sign`` 1) or loss (-1), the largest first."""
    sided = [change for change in found if sign * change.gain_eur > SAME_EUR]
    return sorted(sided, key=lambda change: (-sign * change.gain_eur, change.home))[:_NAMED]


def _compared(strategies: Sequence[SettledStrategy]) -> list[tuple[SettledStrategy, SettledStrategy]]:
    """Return each strategy with the one below, and with the base where that is another."""
    base, lower = base_of(strategies), below(strategies)
    pairs = []
    for upper in strategies:
        if upper.key in lower:
            pairs.append((upper, lower[upper.key]))
            if lower[upper.key] is not base:
                pairs.append((upper, base))
    return pairs


def gain_table(strategies: Sequence[SettledStrategy]) -> Table | None:
    """Return how many members gain and lose; None for a single strategy."""
    pairs = _compared(strategies)
    if not pairs:
        return None
    found = [member_changes(upper, lower) for upper, lower in pairs]
    gains = [[change.gain_eur for change in changes] for changes in found]
    return table_of(
        "Members who gain and who lose (net cost over the run), by strategy",
        (
            words("Strategy", [upper.label for upper, _ in pairs]),
            words("Compared with", [lower.label for _, lower in pairs]),
            *(
                counted(word, [counts(changes)[place] for changes in found])
                for place, word in enumerate(("Gain", "Lose", "Same"))
            ),
            numbers("Sum", "EUR", [sum(values) for values in gains], "+"),
            numbers("Mean", "EUR", [sum(values) / max(len(values), 1) for values in gains], "+"),
            numbers("Best off", "EUR", [max(values, default=0.0) for values in gains], "+"),
            numbers("Worst off", "EUR", [min(values, default=0.0) for values in gains], "+"),
        ),
    )


def _named_table(caption: str, found: Sequence[MemberChange]) -> Table:
    return table_of(
        caption,
        (
            words("Member", [change.home for change in found]),
            words("Community", [change.community for change in found]),
            words("Kind and role", [f"{change.kind.replace('_', ' ')}, {change.role}" for change in found]),
            numbers("Net cost before", "EUR", [change.before_eur for change in found]),
            numbers("Net cost after", "EUR", [change.after_eur for change in found]),
            numbers("Gain", "EUR", [change.gain_eur for change in found], "+"),
            numbers("by bill", "EUR", [change.bills_eur for change in found], "+"),
            numbers("by sales", "EUR", [change.sales_eur for change in found], "+"),
            numbers("by stored", "EUR", [change.stored_eur for change in found], "+"),
            numbers("by premium and valorisation", "EUR", [change.shared_eur for change in found], "+"),
        ),
    )


def gainer_tables(strategies: Sequence[SettledStrategy]) -> tuple[StrategyTables, ...]:
    """Return the five largest gainers and losers of each strategy against the base, the one of least net cost first."""
    base = base_of(strategies)
    best_first = sorted(strategies, key=lambda s: totals(s.paid.communities).net_eur)
    groups = []
    for upper in best_first:
        if upper is base:
            continue
        changes = member_changes(upper, base)
        named = [*largest(changes, 1), *reversed(largest(changes, -1))]
        caption = f"{upper.label}: members with the largest gains and losses against {base.label}"
        tables = (_named_table(caption, named),) if named else ()
        groups.append(StrategyTables(key=upper.key, label=upper.label, tables=tables))
    return tuple(groups)


def plant_table(strategies: Sequence[SettledStrategy]) -> Table | None:
    """Return what plants earn by strategy, those with the largest changes; None without plants."""
    base = base_of(strategies)
    found = {s.key: {change.name: change for change in plant_changes(s, base)} for s in strategies}
    plants = list(base.paid.plants)
    if not plants:
        return None

    def moved(name: str) -> float:
        return max(abs(changes[name].change_eur) for changes in found.values())

    shown = sorted(plants, key=lambda plant: (-moved(plant.name), plant.name))[:_PLANTS]
    columns = [
        words("Plant", [plant.name for plant in shown]),
        words("Member", [plant.home for plant in shown]),
        words("Community", [plant.community for plant in shown]),
        numbers("Rated", "kW", [plant.rated_kw for plant in shown]),
    ]
    for s in strategies:
        changes = [found[s.key][plant.name] for plant in shown]
        if s is base:
            columns.append(numbers(s.label, "EUR", [change.after_eur for change in changes]))
        else:
            columns.append(numbers(s.label, "EUR", [change.change_eur for change in changes], "+"))
    cut = f"; the {len(shown)} with the largest changes of {len(plants)}" if len(shown) < len(plants) else ""
    return table_of(
        f"Revenue of plants by sales and premium with {base.label}, and its change with the others{cut}",
        columns,
    )
