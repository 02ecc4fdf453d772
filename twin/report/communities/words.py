"""The community section in plain sentences, made from the numbers only."""

from collections.abc import Sequence

from twin.community.results import Settlement
from twin.report.communities.cells import money_text, texts
from twin.report.communities.files import SettledStrategy
from twin.report.communities.tables import rule_name
from twin.report.communities.tables_gain import counts
from twin.report.communities.value import (
    SAME_EUR,
    Step,
    Totals,
    base_of,
    member_changes,
    plant_changes,
    plant_shared_percent,
    pooled_energy_kwh,
    totals,
)
from twin.report.numbers import quantity_text

__all__ = [
    "area_words",
    "listed",
    "plant_words",
    "rules_words",
    "section_words",
    "source_words",
    "step_words",
]

_SAME_KWH = 0.05
_PART_WORDS = {
    "bills": ("lower bills", "higher bills"),
    "sales": ("more sales", "fewer sales"),
    "premium": ("more premium by control", "less premium by control"),
    "valorisation": ("more valorisation by control", "less valorisation by control"),
    "stored": ("more energy left in batteries", "less energy left in batteries"),
    "pooling": ("settling communities as one (accounting)", "the way of settling (accounting)"),
}


def listed(words: Sequence[str]) -> str:
    """Return words as a list in a sentence."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _totals(strategy: SettledStrategy) -> Totals:
    return totals(strategy.paid.communities)


def _share(strategy: SettledStrategy) -> str:
    share = plant_shared_percent(strategy)
    return "nothing is injected" if share is None else f"{share:.0f} % of what is injected"


def _shared(strategies: Sequence[SettledStrategy]) -> str:
    base = base_of(strategies)
    among = [_totals(s).shared_kwh for s in strategies]
    best = max(strategies, key=lambda s: _totals(s).shared_kwh)
    first = (
        f"Shared energy as paid: {quantity_text(_totals(base).shared_kwh, 'kWh', among)} with {base.label}"
    )
    first += f" ({_share(base)})"
    if max(among) - _totals(base).shared_kwh <= _SAME_KWH:
        return f"{first}; no other strategy shares more." if len(strategies) > 1 else f"{first}."
    return f"{first}, most with {best.label}: {quantity_text(max(among), 'kWh', among)} ({_share(best)})."


def _net(strategies: Sequence[SettledStrategy]) -> str:
    base = base_of(strategies)
    before = _totals(base).net_eur
    best = min(strategies, key=lambda s: _totals(s).net_eur)
    low = _totals(best).net_eur
    first = f"Net cost of all communities: {money_text(before)} with {base.label}"
    if before - low <= SAME_EUR:
        return f"{first}; no other strategy costs less." if len(strategies) > 1 else f"{first}."
    return f"{first}, least with {best.label}: {money_text(low)} ({money_text(low - before, '+')})."


def _who(strategies: Sequence[SettledStrategy]) -> str:
    base = base_of(strategies)
    best = min(strategies, key=lambda s: _totals(s).net_eur)
    if best is base:
        return ""
    changes = member_changes(best, base)
    gain, lose, same = counts(changes)
    text = (
        f"Of {len(changes)} members {gain} pay less with {best.label} than with {base.label}, {lose} pay more"
    )
    return f"{text} and {same} pay the same." if same else f"{text}."


def section_words(strategies: Sequence[SettledStrategy]) -> tuple[str, ...]:
    """Return the answer of the section: shared energy, money and how many members gain."""
    found = (_shared(strategies), _net(strategies), _who(strategies))
    return tuple(sentence for sentence in found if sentence)


def source_words(found: Sequence[Step]) -> tuple[str, ...]:
    """Return one sentence per step on where its value comes from."""
    sentences = []
    for step in found:
        if abs(step.gain_eur) <= SAME_EUR and all(abs(part) <= SAME_EUR for part in step.parts_eur):
            sentences.append(f"{step.upper.label} over {step.lower.label}: nothing changes.")
            continue
        parts = sorted(
            (
                (part, names[0] if part > 0 else names[1])
                for part, names in zip(step.parts_eur, _PART_WORDS.values(), strict=True)
                if abs(part) > SAME_EUR
            ),
            key=lambda pair: -abs(pair[0]),
        )
        said = listed([f"{money_text(part, '+')} by {words}" for part, words in parts])
        sentences.append(
            f"{step.upper.label} over {step.lower.label}: {money_text(step.gain_eur, '+')} for the communities, of that {said}{_kept(step)}."
        )
    return tuple(sentences)


def _kept(step: Step) -> str:
    if abs(step.kept_eur) <= SAME_EUR:
        return ""
    return f"; {money_text(step.kept_eur, '+')} of it goes to no member but is kept for social purposes"


def step_words(found: Sequence[Step]) -> str:
    """Return what pooling does by accounting alone; empty where it changes nothing."""
    pooled = [
        step for step in found if abs(step.pooling_eur) > SAME_EUR or abs(step.shared_pooling_kwh) > _SAME_KWH
    ]
    if not pooled:
        return ""
    said = [
        f"{step.upper.label}: {money_text(step.pooling_eur, '+')} and "
        f"{quantity_text(step.shared_pooling_kwh, 'kWh')} of shared energy by accounting, "
        f"{money_text(step.gain_eur - step.pooling_eur, '+')} and "
        f"{texts([step.shared_control_kwh], 'kWh', '+')[1][0]} kWh by control"
        for step in pooled
    ]
    return (
        "Where a strategy pools the communities of a substation, part of the difference to the one below is accounting: "
        f"the flows of the one below count for more without any change. {'; '.join(said)}."
    )


def rules_words(strategies: Sequence[SettledStrategy]) -> str:
    """Return which rule set pays and what the amounts are over."""
    paying = list(dict.fromkeys(strategy.pays for strategy in strategies))
    if len(paying) == 1:
        text = f"The rule set that pays is {rule_name(paying[0])}; the other one is shown beside it."
    else:
        said = [f"{s.label} {rule_name(s.pays)}" for s in strategies]
        text = f"The rule set that pays differs: {listed(said)}; the other one is shown beside it."
    pooled = [s.label for s in strategies if s.pooled == "cp"]
    if pooled:
        text += (
            f" Communities under one substation are settled as one with {listed(pooled)}, else each alone."
        )
    else:
        text += " Each community is settled alone."
    kept = [sum(line.social_kept_eur for line in s.paid.communities) for s in strategies]
    if max(kept) > SAME_EUR:
        text += (
            f" Up to {money_text(max(kept))} of the premium goes to no member but is kept for social purposes; net cost of "
            "communities counts it as income, that of members does not."
        )
    return f"{text} Amounts are for the period of the run, not for a year."


def plant_words(strategies: Sequence[SettledStrategy]) -> str:
    """Return how the revenue of all plants changes; empty without plants or a second strategy."""
    base = base_of(strategies)
    if not base.paid.plants or len(strategies) == 1:
        return ""
    before = sum(change.before_eur for change in plant_changes(base, base))
    said = []
    for strategy in strategies:
        if strategy is not base:
            change = sum(entry.change_eur for entry in plant_changes(strategy, base))
            share = f" ({100 * change / before:+.0f} %)".replace("-", "\u2212") if before > 0 else ""
            said.append(f"{money_text(change, '+')}{share} with {strategy.label}")
    return (
        f"Producers: the {len(base.paid.plants)} plants earn {money_text(before)} by sales and premium with {base.label}; "
        f"{listed(said)}."
    )


def _outside(found: Settlement) -> str:
    """Return which communities did not share because they lie under another substation; empty if there is one."""
    by_cp: dict[str, list[str]] = {}
    for line in found.communities:
        by_cp.setdefault(line.cp, []).append(line.name)
    if len(by_cp) < 2:  # noqa: PLR2004 - one substation, or several
        return ""
    most = max(by_cp, key=lambda name: len(by_cp[name]))
    said = [f"{listed(names)} under {cp}" for cp, names in by_cp.items() if cp != most]
    return f"{listed(said)} did not share with {listed(by_cp[most])} under {most}: energy is shared below one substation only."


def area_words(strategies: Sequence[SettledStrategy]) -> tuple[str, ...]:
    """Return what areas larger than a community would share, and who cannot."""
    last = max(strategies, key=lambda s: totals(s.paid.communities).shared_kwh)
    own = totals(last.paid.communities).own_shared_kwh
    cp, zone = (pooled_energy_kwh(last.paid, level) for level in ("cp", "zone"))
    among = (own, cp, zone)
    text = (
        f"With {last.label} the communities alone share {quantity_text(own, 'kWh', among)}, the members of each substation "
        f"together {quantity_text(cp, 'kWh', among)}"
    )
    text += f", all of the market zone {quantity_text(zone, 'kWh', among)}." if zone > 0 else "."
    beyond = zone - cp
    if beyond > _SAME_KWH:
        text += f" The {quantity_text(beyond, 'kWh', among)} between substations earn no premium."
    return tuple(sentence for sentence in (text, _outside(last.paid)) if sentence)
