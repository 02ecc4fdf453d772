"""A page for one member of a community, on request: its energy, its bill and its part of what is shared."""

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path

from twin.clock import local_time
from twin.community.bills import energy_by_band_kwh
from twin.community.calendar import BANDS
from twin.community.results import CommunityLine, MemberLine
from twin.errors import RunFolderError
from twin.report.communities.cells import Column, money_text, net_words, numbers, table_of, words
from twin.report.communities.files import HourlyEnergy, SettledStrategy, read_member_hours, read_settled
from twin.report.communities.member_figures import money_figure
from twin.report.communities.profiles import profile_panels
from twin.report.communities.tables import definition_table, rule_name
from twin.report.communities.value import SAME_EUR, base_of, members_by_home, share_percent
from twin.report.document import asset, policy, render, trusted
from twin.report.model import Table
from twin.report.numbers import quantity_text
from twin.report.panels import Panel
from twin.report.strategy_names import strategy_labels
from twin.results import RunReader, layout

__all__ = ["build_member_page", "member_page_name", "member_page_path"]

_NAMED = 3
"""Members named where there is none of the name asked for."""
_HASH_DIGITS = 6


def _slug(home: str) -> str:
    plain = unicodedata.normalize("NFKD", home).encode("ascii", "ignore").decode("ascii").lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def member_page_name(home: str, homes: Collection[str]) -> str:
    """Return the name of the file of a member, unique among ``homes``."""
    slug = _slug(home)
    if not slug or sum(_slug(other) == slug for other in homes) > 1:
        digest = hashlib.sha256(home.encode()).hexdigest()[:_HASH_DIGITS]
        slug = f"{slug}-{digest}" if slug else digest
    return f"member_{slug}.html"


def _line(strategy: SettledStrategy, home: str) -> MemberLine:
    return members_by_home(strategy.paid)[home]


def _community(strategy: SettledStrategy, name: str) -> CommunityLine:
    return next(line for line in strategy.paid.communities if line.name == name)


def _facts(run: RunReader, strategies: Sequence[SettledStrategy], home: str) -> tuple[tuple[str, str], ...]:
    base = base_of(strategies)
    line = _line(base, home)
    community = _community(base, line.community)
    first = base.hours[line.community]
    start = int(first.hour_start_utc_s[0])
    return (
        ("Run", run.manifest.scenario),
        ("Community", f"{community.name} ({community.kind} of {community.n_members} members)"),
        ("Primary substation", community.cp),
        ("Kind and role", f"{line.kind.replace('_', ' ')}, {line.role}"),
        (
            "Period",
            f"{local_time(start):%a %-d %b %Y, %H:%M}, {quantity_text(len(first.hour_start_utc_s), 'h')}",
        ),
        ("Contract power", quantity_text(line.contract_kw, "kW")),
        ("Membership", line.status or "the whole run, heard and guided"),
        ("Rule set that pays", rule_name(base.pays)),
    )


def _sentences(strategies: Sequence[SettledStrategy], home: str) -> tuple[str, ...]:
    """Return energy, money and what changes, in plain words."""
    base = base_of(strategies)
    first = _line(base, home)
    best = min(strategies, key=lambda s: _line(s, home).net_eur)
    last = _line(best, home)
    found = [
        (
            f"With {base.label} the member takes {quantity_text(first.withdrawn_kwh, 'kWh')} from the grid and gives "
            f"{quantity_text(first.injected_kwh, 'kWh')} to it; {quantity_text(first.shared_kwh, 'kWh')} of the energy shared in "
            f"the community are credited to it."
        ),
        (
            f"It would {net_words(first.net_eur)}: bill {money_text(first.bill_eur)}, less sales {money_text(first.sale_eur)}, "
            f"premium {money_text(first.incentive_eur)}, valorisation {money_text(first.valorisation_eur)} and the worth of what "
            f"its batteries gained {money_text(first.stored_eur)}."
        ),
    ]
    if first.net_eur - last.net_eur > SAME_EUR:
        found.append(
            f"Best off with {best.label}: it would {net_words(last.net_eur)}, {money_text(first.net_eur - last.net_eur)} "
            f"better than with {base.label}."
        )
    elif len(strategies) > 1:
        found.append(f"No other strategy leaves the member better off than {base.label}.")
    worse = [s.label for s in strategies if _line(s, home).net_eur - first.net_eur > SAME_EUR]
    if worse:
        found.append(f"Worse off than with {base.label}: {', '.join(worse)}.")
    over = max(strategies, key=lambda s: _line(s, home).over_contract_h)
    hours = _line(over, home).over_contract_h
    if hours > 0:
        found.append(
            f"The contract power of {quantity_text(first.contract_kw, 'kW')} is exceeded for up to "
            f"{quantity_text(hours, 'h')} ({over.label})."
        )
    if "joined on" in first.status or "left on" in first.status:
        found.append(
            "Bill and sales are of the whole run; energies, premium and valorisation of the membership alone."
        )
    found.append("Amounts are for the period of the run, not for a year.")
    return tuple(found)


def _band_table(strategies: Sequence[SettledStrategy], hours: Sequence[HourlyEnergy]) -> Table:
    """Return what the member draws in the bands of its bill."""
    energy = [energy_by_band_kwh(entry.hour_start_utc_s, entry.withdrawn_kwh[:, None])[0] for entry in hours]
    columns = (
        words("Strategy", [s.label for s in strategies]),
        *(
            numbers(band, "kWh", [float(entry[place]) for entry in energy])
            for place, band in enumerate(BANDS)
        ),
    )
    return table_of("Energy withdrawn by band, by strategy", columns)


def _tables(strategies: Sequence[SettledStrategy], home: str) -> tuple[Table, ...]:
    lines = [_line(s, home) for s in strategies]
    before = _line(base_of(strategies), home).net_eur
    whole = [_community(s, line.community).shared_kwh for s, line in zip(strategies, lines, strict=True)]
    labels = words("Strategy", [s.label for s in strategies])
    energy = (
        labels,
        numbers("Withdrawn", "kWh", [line.withdrawn_kwh for line in lines]),
        numbers("Injected", "kWh", [line.injected_kwh for line in lines]),
        numbers("Shared, credited", "kWh", [line.shared_kwh for line in lines]),
        numbers(
            "of the community",
            "%",
            [share_percent(line.shared_kwh, all_) for line, all_ in zip(lines, whole, strict=True)],
        ),
        numbers("Peak withdrawn, 15 min", "kW", [line.peak_kw for line in lines]),
        numbers("Over contract power", "h", [line.over_contract_h for line in lines]),
        numbers("CO\u2082", "kg", [line.co2_kg for line in lines]),
    )
    money = (
        labels,
        numbers("Bill", "EUR", [line.bill_eur for line in lines]),
        numbers("Sales", "EUR", [line.sale_eur for line in lines]),
        numbers("Premium", "EUR", [line.incentive_eur for line in lines]),
        numbers("Valorisation", "EUR", [line.valorisation_eur for line in lines]),
        numbers("Stored", "EUR", [line.stored_eur for line in lines]),
        numbers("Net cost", "EUR", [line.net_eur for line in lines]),
        numbers("Change", "EUR", [line.net_eur - before for line in lines], "+"),
        *_other_rules(strategies, home),
    )
    return table_of("Money, by strategy", money), table_of("Energy, by strategy", energy)


def _other_rules(strategies: Sequence[SettledStrategy], home: str) -> list[Column]:
    """Return the net cost under the rule sets that do not pay."""
    columns = []
    for rules in strategies[0].rules:
        if all(s.pays == rules for s in strategies):
            continue
        found = [members_by_home(s.settlement(rules, s.pooled))[home].net_eur for s in strategies]
        columns.append(numbers(f"Net cost under {rule_name(rules)}", "EUR", found))
    return columns


def _unknown(folder: Path, home: str, homes: Collection[str]) -> RunFolderError:
    near = difflib.get_close_matches(home, sorted(homes), n=_NAMED) or sorted(homes)[:_NAMED]
    return RunFolderError(
        f"{folder}: no member {home!r} in the communities of this run; there are {', '.join(near)} ..."
    )


def _settled(run: RunReader, home: str) -> tuple[SettledStrategy, ...]:
    """Return the settled strategies of a run that has the member."""
    strategies, _ = read_settled(run, strategy_labels(run.manifest))
    if not strategies:
        raise RunFolderError(
            f"{run.folder}: no settled strategy; a member page needs a finished run with communities"
        )
    homes = members_by_home(strategies[0].paid)
    if home not in homes:
        raise _unknown(run.folder, home, homes)
    return strategies


def member_page_path(run: RunReader, home: str) -> Path:
    """Return where the page of a member belongs.

    Raises:
        RunFolderError: as :func:`build_member_page`.
    """
    homes = members_by_home(_settled(run, home)[0].paid)
    return run.folder / member_page_name(home, homes)


def build_member_page(run: RunReader, home: str) -> str:
    """Return the page of a member as an HTML document.

    Raises:
        RunFolderError: the run has no settled communities or no such member, or files of it are missing or damaged.
    """
    strategies = _settled(run, home)
    hours = [read_member_hours(run.folder / s.key / layout.MEMBER_HOURS, home) for s in strategies]
    day, week, week_words = profile_panels("member", strategies, hours, name=home)
    money = Panel(id="money", svg=money_figure("money", {s.label: _line(s, home) for s in strategies}))
    css = f"{asset('report.css')}\n{asset('communities.css')}"
    return render(
        "member.html.j2",
        home=home,
        css=trusted(css),
        csp=trusted(policy(css)),
        facts=_facts(run, strategies, home),
        sentences=_sentences(strategies, home),
        money=money,
        tables=(*_tables(strategies, home), _band_table(strategies, hours)),
        day=day,
        week=week,
        week_words=week_words,
        definitions=definition_table(),
        marks=tuple(dict.fromkeys(mark for s in strategies for mark in s.paid.marks)),
    )
