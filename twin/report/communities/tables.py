"""Tables on all communities together: who they are, energy and money, value of the levels, areas, definitions."""

from collections.abc import Sequence

from twin.community.results import Settlement
from twin.report.communities.cells import Column, counted, numbers, rows_of, table_of, words
from twin.report.communities.files import RULE_NAMES, SettledStrategy
from twin.report.communities.model import GroupedTable, TableGroup
from twin.report.communities.value import (
    Step,
    Totals,
    plant_shared_percent,
    pooled_energy_kwh,
    totals,
)
from twin.report.model import Table
from twin.report.table import NO_VALUE

__all__ = [
    "area_table",
    "definition_table",
    "energy_money_table",
    "level_text",
    "overview_table",
    "rule_name",
    "step_table",
]

CO2 = "CO\u2082"
_MEANINGS = {
    "Level": (
        "Of management: 0 unmanaged; 1 a controller in each home (EMS); 2 also one in each community (CEMS); 3 an "
        "aggregator over the communities of a primary substation; 4 the aggregator also sells balancing services (MSD)."
    ),
    "Injected, withdrawn": (
        "Energy that a connection point gives to the grid and takes from it, each with its own meter, while it is a "
        "member. What a home uses of its own PV behind the meter is in neither."
    ),
    "Shared energy": (
        "For each hour the smaller of the energy injected and the energy withdrawn by all members of a community, "
        "summed over the hours. Injected that is shared: of what members with a plant inject; a battery alone shares nothing."
    ),
    "As paid": (
        "Each community alone, or, where an aggregator pools them, those under one primary substation (cabina primaria, "
        "CP) as one: what the pool shares beyond the communities is credited to them."
    ),
    "Bills": "What members pay for energy withdrawn, with taxes and fixed charges, over the whole run.",
    "Sales": "What injected energy earns at the market, hour by hour.",
    "Premium": "Incentive tariff (tariffa premio) on shared energy, by one of two rule sets: flat 2020 or CACER 2023.",
    "Valorisation": (
        "Network charges returned on shared energy (corrispettivo di valorizzazione), the same under both rule sets."
    ),
    "Stored": (
        "What batteries hold more at the end than at the start is worth, between buying and selling; negative where they "
        "end emptier. Without it a strategy that empties them would look cheap."
    ),
    "Net cost": ("Bills less sales, premium, valorisation and stored. Negative: more is earned than paid."),
    "Pooling, accounting": (
        "Premium and valorisation of the flows of the strategy below, settled as this strategy is paid, less as that one "
        "is paid. Nothing in the grid changes by it."
    ),
    "Control": "The rest of a change: both strategies settled as this one is paid, so that only flows differ.",
    CO2: "Hourly emission factor times (withdrawn less injected). Negative: emissions avoided elsewhere.",
    "Revenue of a plant": (
        "Its sales and the premium on the shared energy attributed to it, before members split the premium."
    ),
}


def rule_name(rules: str) -> str:
    """Return the words for a rule set."""
    return RULE_NAMES.get(rules, rules)


def level_text(level: int | None) -> str:
    """Return a level of management, or a dash for a strategy outside the ladder."""
    return NO_VALUE if level is None else str(level)


def overview_table(found: Settlement) -> Table:
    """Return who shares energy with whom."""
    lines = found.communities
    plants = [[plant for plant in found.plants if plant.community == line.name] for line in lines]
    return table_of(
        "Who shares energy with whom",
        (
            words("Community", [line.name for line in lines]),
            words("Kind", [line.kind for line in lines]),
            words("Perimeter", [line.perimeter for line in lines]),
            words("Area", [line.area for line in lines]),
            words("Primary substation", [line.cp for line in lines]),
            counted("Members", [line.n_members for line in lines]),
            counted("Plants", [len(own) for own in plants]),
            numbers("Rated power of plants", "kW", [sum(plant.rated_kw for plant in own) for own in plants]),
        ),
    )


def _totals(strategy: SettledStrategy, rules: str, name: str | None) -> Totals:
    """Return the totals of one configuration, or of all where ``name`` is None."""
    lines = strategy.settlement(rules, strategy.pooled).communities
    return totals([line for line in lines if name in {None, line.name}])


def _rule_columns(
    strategies: Sequence[SettledStrategy], names: Sequence[str | None], label: str, field: str
) -> list[Column]:
    """Return one column per rule set, the head saying which one pays."""
    columns = []
    for rules in strategies[0].rules:
        pays = ", pays" if all(strategy.pays == rules for strategy in strategies) else ""
        values = [getattr(_totals(s, rules, name), field) for name in names for s in strategies]
        columns.append(numbers(f"{label}, {rule_name(rules)}{pays}", "EUR", values))
    return columns


def energy_money_table(strategies: Sequence[SettledStrategy]) -> GroupedTable:
    """Return energy, both premiums, bill, sales, net cost and CO2 of each configuration and of all, by strategy."""
    communities = [line.name for line in strategies[0].paid.communities]
    names: list[str | None] = [*communities, None] if len(communities) > 1 else list(communities)
    paid = [_totals(s, s.pays, name) for name in names for s in strategies]
    columns = [
        words("Strategy", [s.label for _ in names for s in strategies]),
        numbers("Shared", "kWh", [entry.shared_kwh for entry in paid]),
        numbers(
            "Injected that is shared",
            "%",
            [plant_shared_percent(s, name) for name in names for s in strategies],
        ),
        numbers("Bills", "EUR", [entry.bill_eur for entry in paid]),
        numbers("Sales", "EUR", [entry.sale_eur for entry in paid]),
        numbers("Valorisation", "EUR", [entry.valorisation_eur for entry in paid]),
        numbers("Stored", "EUR", [entry.stored_eur for entry in paid]),
        *_rule_columns(strategies, names, "Premium", "incentive_eur"),
        *_rule_columns(strategies, names, "Net cost", "net_eur"),
        numbers(CO2, "kg", [entry.co2_kg for entry in paid]),
    ]
    rows, n = rows_of(columns), len(strategies)
    return GroupedTable(
        caption="Energy and money of each community, by strategy",
        head=tuple(entry.head for entry in columns),
        groups=tuple(
            TableGroup(
                title="All communities" if name is None else name, rows=rows[place * n : (place + 1) * n]
            )
            for place, name in enumerate(names)
        ),
        numeric=tuple(range(1, len(columns))),
    )


def step_table(found: Sequence[Step]) -> Table | None:
    """Return the value of each strategy over the one below; None for a single strategy."""
    if not found:
        return None
    return table_of(
        "Value of each strategy over the one below, all communities; a gain is positive",
        (
            words("Strategy", [step.upper.label for step in found]),
            Column(head="Level", cells=tuple(level_text(step.upper.level) for step in found), align="right"),
            words("Compared with", [step.lower.label for step in found]),
            numbers("Lower bills", "EUR", [step.bills_eur for step in found], "+"),
            numbers("Sales", "EUR", [step.sales_eur for step in found], "+"),
            numbers("Premium, control", "EUR", [step.premium_eur for step in found], "+"),
            numbers("Valorisation, control", "EUR", [step.valorisation_eur for step in found], "+"),
            numbers("Stored", "EUR", [step.stored_eur for step in found], "+"),
            numbers("Pooling, accounting", "EUR", [step.pooling_eur for step in found], "+"),
            numbers("Gain", "EUR", [step.gain_eur for step in found], "+"),
            numbers("Shared, control", "kWh", [step.shared_control_kwh for step in found], "+"),
            numbers("Shared, accounting", "kWh", [step.shared_pooling_kwh for step in found], "+"),
            numbers(CO2, "kg", [step.co2_kg for step in found], "+"),
        ),
    )


def area_table(strategies: Sequence[SettledStrategy]) -> Table:
    """Return the shared energy of configurations, primary substations and the zone, by strategy."""
    settled = [strategy.paid for strategy in strategies]
    columns = [
        words("Strategy", [strategy.label for strategy in strategies]),
        numbers("Communities, each alone", "kWh", [totals(s.communities).own_shared_kwh for s in settled]),
        numbers("Communities, as paid", "kWh", [totals(s.communities).shared_kwh for s in settled]),
    ]
    for level, word in (("cp", "Substation"), ("zone", "Zone")):
        for name in dict.fromkeys(area.name for area in settled[0].areas if area.level == level):
            values = [
                sum(a.shared_kwh for a in s.areas if a.level == level and a.name == name) for s in settled
            ]
            columns.append(numbers(f"{word} {name}", "kWh", values))
        if level == "cp" and len({area.name for area in settled[0].areas if area.level == level}) > 1:
            together = [pooled_energy_kwh(found, level) for found in settled]
            columns.append(numbers("All substations", "kWh", together))
    return table_of("Shared energy by area, by strategy", columns)


def definition_table() -> Table:
    """Return what the words of the section mean."""
    return table_of(
        "Words used for communities",
        (words("Word", list(_MEANINGS)), words("Meaning", list(_MEANINGS.values()))),
    )
