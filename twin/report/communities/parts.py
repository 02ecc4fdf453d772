"""One configuration in detail: profiles, members, plants and split."""

from collections.abc import Sequence

from twin.community.results import CommunityLine, MemberLine, Settlement
from twin.report.communities.cells import money_text, net_words, numbers, table_of, words
from twin.report.communities.figures_split import split_figure
from twin.report.communities.files import SettledStrategy
from twin.report.communities.model import CommunityPart, StrategyTables
from twin.report.communities.profiles import profile_panels
from twin.report.communities.value import base_of, members_by_home, plant_shared_percent
from twin.report.model import Table
from twin.report.numbers import quantity_text
from twin.report.panels import Panel

__all__ = ["community_part"]

_MEMBERS = 40
"""Members listed for each community."""


def community_part(place: int, name: str, strategies: Sequence[SettledStrategy]) -> CommunityPart:
    """Return the details of one configuration; ``place`` makes the ids in the page unique."""
    base = base_of(strategies)
    homes = _shown_members(name, strategies)
    n_members = sum(line.community == name for line in base.paid.members)
    hours = [strategy.hours[name] for strategy in strategies]
    day, week, week_words = profile_panels(f"community-{place}", strategies, hours, name=name)
    left_out = n_members - len(homes)
    return CommunityPart(
        id=f"community-{place + 1}",
        name=name,
        words=_lead(name, strategies),
        mean_day=day,
        week=week,
        week_words=week_words,
        split=_split(place, name, strategies),
        tables=tuple(t for t in (_net_table(homes, strategies), _plants(name, strategies)) if t is not None),
        members=tuple(
            StrategyTables(key=s.key, label=s.label, tables=(_members_table(s, homes),)) for s in strategies
        ),
        cut_words=(
            f"The {len(homes)} members with the largest changes of net cost are listed, {left_out} are left out; a page "
            "of its own can be made for every member."
            if left_out
            else ""
        ),
    )


def _line(found: Settlement, name: str) -> CommunityLine:
    return next(line for line in found.communities if line.name == name)


def _lead(name: str, strategies: Sequence[SettledStrategy]) -> tuple[str, ...]:
    base = base_of(strategies)
    first = _line(base.paid, name)
    best = min(strategies, key=lambda s: _line(s.paid, name).net_eur)
    what = (
        f"{first.kind} of {first.n_members} member{'s' if first.n_members != 1 else ''} under {first.cp}"
        + (f", within {first.perimeter} {first.area}" if first.area != first.cp else "")
        + f". With {base.label} they share {quantity_text(first.shared_kwh, 'kWh')}"
    )
    share = plant_shared_percent(base, name)
    what += f", {share:.0f} % of what they inject" if share is not None else " and inject nothing"
    what += f", and {net_words(first.net_eur)}."
    if best is base:
        return (what,)
    line = _line(best.paid, name)
    return (
        what,
        (
            f"The least net cost comes with {best.label}: they {net_words(line.net_eur)} "
            f"({money_text(line.net_eur - first.net_eur, '+')}), sharing {quantity_text(line.shared_kwh, 'kWh')}."
        ),
    )


def _shown_members(name: str, strategies: Sequence[SettledStrategy]) -> list[str]:
    """Return the members listed: all in the order of the settlement, or those whose net cost changes most."""
    base = base_of(strategies)
    before = {line.home: line.net_eur for line in base.paid.members if line.community == name}
    homes = list(before)
    if len(homes) <= _MEMBERS:
        return homes
    after = [members_by_home(strategy.paid) for strategy in strategies]
    moved = {home: max(abs(found[home].net_eur - before[home]) for found in after) for home in homes}
    kept = set(sorted(homes, key=lambda home: (-moved[home], home))[:_MEMBERS])
    return [home for home in homes if home in kept]


def _net_table(homes: Sequence[str], strategies: Sequence[SettledStrategy]) -> Table:
    base = base_of(strategies)
    first = members_by_home(base.paid)
    lines = {s.key: [members_by_home(s.paid)[home] for home in homes] for s in strategies}
    columns = [
        words("Member", list(homes)),
        words("Kind, role", [f"{first[home].kind.replace('_', ' ')}, {first[home].role}" for home in homes]),
        numbers("Contract", "kW", [first[home].contract_kw for home in homes]),
    ]
    for s in strategies:
        if s is base:
            columns.append(numbers(s.label, "EUR", [line.net_eur for line in lines[s.key]]))
            continue
        change = [
            line.net_eur - before.net_eur for line, before in zip(lines[s.key], lines[base.key], strict=True)
        ]
        columns.append(numbers(s.label, "EUR", change, "+"))
    return table_of(f"Net cost of each member with {base.label}, and its change with the others", columns)


def _members_table(strategy: SettledStrategy, homes: Sequence[str]) -> Table:
    by_home = members_by_home(strategy.paid)
    lines: list[MemberLine] = [by_home[home] for home in homes]
    return table_of(
        f"Members, {strategy.label}",
        (
            words("Member", [line.home for line in lines]),
            numbers("Withdrawn", "kWh", [line.withdrawn_kwh for line in lines]),
            numbers("Injected", "kWh", [line.injected_kwh for line in lines]),
            numbers("Shared, credited", "kWh", [line.shared_kwh for line in lines]),
            numbers("Bill", "EUR", [line.bill_eur for line in lines]),
            numbers("Sales", "EUR", [line.sale_eur for line in lines]),
            numbers("Premium", "EUR", [line.incentive_eur for line in lines]),
            numbers("Valorisation", "EUR", [line.valorisation_eur for line in lines]),
            numbers("Stored", "EUR", [line.stored_eur for line in lines]),
            numbers("Net cost", "EUR", [line.net_eur for line in lines]),
            numbers("CO\u2082", "kg", [line.co2_kg for line in lines]),
            numbers("Peak, 15 min", "kW", [line.peak_kw for line in lines]),
            numbers("Over contract", "h", [line.over_contract_h for line in lines]),
        ),
    )


def _plants(name: str, strategies: Sequence[SettledStrategy]) -> Table | None:
    plants = [plant for plant in base_of(strategies).paid.plants if plant.community == name]
    if not plants:
        return None
    found = {s.key: {plant.name: plant for plant in s.paid.plants} for s in strategies}
    rows = [(plant, s) for plant in plants for s in strategies]
    lines = [found[s.key][plant.name] for plant, s in rows]
    return table_of(
        "Plants, by strategy",
        (
            words("Plant", [line.name for line in lines]),
            words("Member", [line.home for line in lines]),
            words("Strategy", [s.label for _, s in rows]),
            numbers("Rated", "kW", [line.rated_kw for line in lines]),
            numbers("Injected", "kWh", [line.injected_kwh for line in lines]),
            numbers("Shared, attributed", "kWh", [line.shared_kwh for line in lines]),
            numbers("Premium", "EUR", [line.incentive_eur for line in lines]),
            numbers("Sales", "EUR", [line.sale_eur for line in lines]),
        ),
    )


def _split(place: int, name: str, strategies: Sequence[SettledStrategy]) -> Panel | None:
    money: dict[str, dict[str, float]] = {}
    for s in strategies:
        by_kind: dict[str, float] = {}
        for line in s.paid.members:
            if line.community == name:
                income = line.incentive_eur + line.valorisation_eur
                by_kind[line.kind] = by_kind.get(line.kind, 0.0) + income
        money[s.label] = by_kind
    if not any(value > 0 for entry in money.values() for value in entry.values()):
        return None
    return Panel(
        id=f"split-{place}",
        heading="Who gets premium and valorisation",
        svg=split_figure(f"split-{place}", money, community=name),
        caption="By kind of member, after the split rule of the community.",
    )
