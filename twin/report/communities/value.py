"""What each level of management is worth over the one below, for all communities and for each member."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twin.community.results import CommunityLine, MemberLine, PlantLine, Settlement
from twin.report.communities.files import SettledStrategy

__all__ = [
    "PARTS",
    "SAME_EUR",
    "MemberChange",
    "PlantChange",
    "Step",
    "Totals",
    "base_of",
    "below",
    "member_changes",
    "members_by_home",
    "plant_changes",
    "plant_shared_percent",
    "pooled_energy_kwh",
    "share_percent",
    "shareable_kwh",
    "step_value",
    "steps",
    "totals",
]

SAME_EUR = 0.005
"""Differences below half a cent count as none."""

PARTS: Mapping[str, str] = {
    "bills": "Lower bills",
    "sales": "Sales",
    "premium": "Premium",
    "valorisation": "Valorisation",
    "stored": "Stored",
    "pooling": "Pooling",
}
"""Parts of the value of a level, in the order of the figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over configurations."""

    withdrawn_kwh: float
    injected_kwh: float
    shared_kwh: float
    own_shared_kwh: float
    incentive_eur: float
    valorisation_eur: float
    bill_eur: float
    sale_eur: float
    stored_eur: float
    social_kept_eur: float
    net_eur: float
    co2_kg: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The value of one strategy over another, all communities. Gains are positive where they pay less or earn more."""

    upper: SettledStrategy
    lower: SettledStrategy
    bills_eur: float
    sales_eur: float
    premium_eur: float
    """By control: both strategies settled in the way the upper one is paid."""
    valorisation_eur: float
    """By control, as the premium."""
    stored_eur: float
    """Worth of more energy left in the batteries."""
    pooling_eur: float
    """By accounting: the flows of the lower strategy, settled in the upper one's way less settled in its own."""
    kept_eur: float
    """Part of the gain that no member gets, kept for social purposes."""
    shared_control_kwh: float
    """More shared energy by control."""
    shared_pooling_kwh: float
    """More shared energy by accounting."""
    co2_kg: float
    """Change of emissions; negative is less."""

    @property
    def gain_eur(self) -> float:
        """All of it: how much less the communities pay, net."""
        return sum(self.parts_eur)

    @property
    def parts_eur(self) -> tuple[float, ...]:
        """The gains in the order of :data:`PARTS`."""
        control = self.bills_eur, self.sales_eur, self.premium_eur, self.valorisation_eur, self.stored_eur
        return *control, self.pooling_eur


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberChange:
    """What one member gains by a strategy over another, under the rule set that pays."""

    home: str
    community: str
    kind: str
    role: str
    before_eur: float
    after_eur: float
    bills_eur: float
    sales_eur: float
    shared_eur: float
    """More premium and valorisation."""
    stored_eur: float
    """Worth of more energy left in the batteries."""

    @property
    def gain_eur(self) -> float:
        """How much less the member pays, net."""
        return self.before_eur - self.after_eur


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantChange:
    """What a plant earns by sales and premium, before and after."""

    name: str
    home: str
    community: str
    rated_kw: float
    before_eur: float
    after_eur: float

    @property
    def change_eur(self) -> float:
        """More revenue."""
        return self.after_eur - self.before_eur


def totals(lines: Sequence[CommunityLine]) -> Totals:
    """Return the sums over configurations."""
    return Totals(
        withdrawn_kwh=sum(line.withdrawn_kwh for line in lines),
        injected_kwh=sum(line.injected_kwh for line in lines),
        shared_kwh=sum(line.shared_kwh for line in lines),
        own_shared_kwh=sum(line.own_shared_kwh for line in lines),
        incentive_eur=sum(line.incentive_eur for line in lines),
        valorisation_eur=sum(line.valorisation_eur for line in lines),
        bill_eur=sum(line.bill_eur for line in lines),
        sale_eur=sum(line.sale_eur for line in lines),
        stored_eur=sum(line.stored_eur for line in lines),
        social_kept_eur=sum(line.social_kept_eur for line in lines),
        net_eur=sum(line.net_eur for line in lines),
        co2_kg=sum(line.co2_kg for line in lines),
    )


def share_percent(part_kwh: float, whole_kwh: float) -> float | None:
    """Return a share [%]; None where the whole is 0."""
    return 100 * part_kwh / whole_kwh if whole_kwh > 0 else None


def shareable_kwh(strategy: SettledStrategy, name: str | None = None) -> float:
    """Return what members with a plant inject, of one configuration or of all [kWh]: a battery alone shares nothing."""
    return sum(
        float(energy.injected_kwh.sum()) for own, energy in strategy.hours.items() if name in {None, own}
    )


def plant_shared_percent(strategy: SettledStrategy, name: str | None = None) -> float | None:
    """Return which share of what members with a plant inject is shared, of one configuration or of all [%].

    None where nothing is injected. The sum over plants is never more than what they inject, also where a configuration
    is credited with energy of another.
    """
    shared = sum(plant.shared_kwh for plant in strategy.paid.plants if name in {None, plant.community})
    return share_percent(shared, shareable_kwh(strategy, name))


def pooled_energy_kwh(found: Settlement, level: str) -> float:
    """Return the shared energy of all areas of a level (``cp`` or ``zone``), each area as one configuration [kWh]."""
    return sum(area.shared_kwh for area in found.areas if area.level == level)


def _by_level(strategies: Sequence[SettledStrategy]) -> dict[int, list[SettledStrategy]]:
    found: dict[int, list[SettledStrategy]] = {}
    for strategy in strategies:
        if strategy.level is not None:
            found.setdefault(strategy.level, []).append(strategy)
    return found


def base_of(strategies: Sequence[SettledStrategy]) -> SettledStrategy:
    """Return the strategy that others are compared with: the first one of the lowest level, else the first one."""
    leveled = _by_level(strategies)
    return leveled[min(leveled)][0] if leveled else strategies[0]


def below(strategies: Sequence[SettledStrategy]) -> dict[str, SettledStrategy]:
    """Return what each strategy is compared with, by its key; the base is compared with nothing.

    A strategy of a level is compared with one of the next lower level there is. Where levels hold several strategies
    (a rule and an optimisation, say), the k-th of a level is compared with the k-th of the one below, or its last. A
    strategy outside the ladder is compared with the base.
    """
    base, leveled = base_of(strategies), _by_level(strategies)
    found = {strategy.key: base for strategy in strategies if strategy is not base}
    for level, group in leveled.items():
        lower = [other for other in leveled if other < level]
        if lower:
            candidates = leveled[max(lower)]
            for place, strategy in enumerate(group):
                found[strategy.key] = candidates[min(place, len(candidates) - 1)]
    return found


def step_value(upper: SettledStrategy, lower: SettledStrategy) -> Step:
    """Return what ``upper`` is worth over ``lower``, both under the rule set that pays the upper one.

    Where the two are paid differently (each configuration alone, or a substation as one), the difference splits into two
    steps: first the flows of the lower strategy are settled as the upper one is paid (accounting), then the flows change
    (control).
    """
    rules = upper.pays
    before = totals(lower.settlement(rules, lower.pooled).communities)
    alike = totals(lower.settlement(rules, upper.pooled).communities)
    paid = totals(upper.settlement(rules, upper.pooled).communities)
    return Step(
        upper=upper,
        lower=lower,
        bills_eur=before.bill_eur - paid.bill_eur,
        sales_eur=paid.sale_eur - before.sale_eur,
        premium_eur=paid.incentive_eur - alike.incentive_eur,
        valorisation_eur=paid.valorisation_eur - alike.valorisation_eur,
        stored_eur=paid.stored_eur - before.stored_eur,
        pooling_eur=alike.incentive_eur
        + alike.valorisation_eur
        - before.incentive_eur
        - before.valorisation_eur,
        kept_eur=paid.social_kept_eur - before.social_kept_eur,
        shared_control_kwh=paid.shared_kwh - alike.shared_kwh,
        shared_pooling_kwh=alike.shared_kwh - before.shared_kwh,
        co2_kg=paid.co2_kg - before.co2_kg,
    )


def steps(strategies: Sequence[SettledStrategy]) -> tuple[Step, ...]:
    """Return the value of every strategy over the one that :func:`below` gives, in their order."""
    lower = below(strategies)
    return tuple(step_value(upper, lower[upper.key]) for upper in strategies if upper.key in lower)


def members_by_home(found: Settlement) -> dict[str, MemberLine]:
    """Return the members of a settlement by home."""
    return {line.home: line for line in found.members}


def member_changes(upper: SettledStrategy, lower: SettledStrategy) -> tuple[MemberChange, ...]:
    """Return the gain of every member, in the order of the settlement, each strategy in its own way of being paid."""
    before = members_by_home(lower.settlement(upper.pays, lower.pooled))
    return tuple(_member_change(before[line.home], line) for line in upper.paid.members)


def _member_change(before: MemberLine, after: MemberLine) -> MemberChange:
    return MemberChange(
        home=after.home,
        community=after.community,
        kind=after.kind,
        role=after.role,
        before_eur=before.net_eur,
        after_eur=after.net_eur,
        bills_eur=before.bill_eur - after.bill_eur,
        sales_eur=after.sale_eur - before.sale_eur,
        shared_eur=after.incentive_eur
        + after.valorisation_eur
        - before.incentive_eur
        - before.valorisation_eur,
        stored_eur=after.stored_eur - before.stored_eur,
    )


def plant_changes(upper: SettledStrategy, lower: SettledStrategy) -> tuple[PlantChange, ...]:
    """Return the change of revenue (sales and premium) of every plant, in the order of the settlement."""
    before = {line.name: line for line in lower.settlement(upper.pays, lower.pooled).plants}
    return tuple(
        PlantChange(
            name=line.name,
            home=line.home,
            community=line.community,
            rated_kw=line.rated_kw,
            before_eur=_revenue_eur(before[line.name]),
            after_eur=_revenue_eur(line),
        )
        for line in upper.paid.plants
    )


def _revenue_eur(line: PlantLine) -> float:
    return line.sale_eur + line.incentive_eur
