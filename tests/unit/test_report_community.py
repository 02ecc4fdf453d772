"""What the report says about communities: values of levels, members, sharing against the grid, in words and tables."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.community.results import AreaShared, CommunityLine, MemberLine, PlantLine, Settlement
from twin.report.communities.figures import gain_figure, gain_range, value_figure, value_range
from twin.report.communities.files import HourlyEnergy, SettledStrategy
from twin.report.communities.grid import grid_steps, sharing_words
from twin.report.communities.parts import community_part
from twin.report.communities.tables import area_table, energy_money_table, overview_table, step_table
from twin.report.communities.tables_gain import counts, gain_table, gainer_tables, largest, plant_table
from twin.report.communities.value import (
    below,
    member_changes,
    plant_changes,
    share_percent,
    step_value,
    steps,
    totals,
)
from twin.report.communities.words import (
    area_words,
    plant_words,
    rules_words,
    section_words,
    source_words,
    step_words,
)

MINUS = "\u2212"


def _member(home, bill, sale=0.0, incentive=0.0, valorisation=0.0, stored=0.0, **changes):
    line = MemberLine(
        home=home,
        community="Alba",
        kind="household",
        role="consumer",
        contract_kw=3.0,
        withdrawn_kwh=10.0,
        injected_kwh=0.0,
        shared_kwh=1.0,
        bill_eur=bill,
        sale_eur=sale,
        incentive_eur=incentive,
        valorisation_eur=valorisation,
        net_eur=bill - sale - incentive - valorisation - stored,
        stored_eur=stored,
        co2_kg=2.6,
        peak_kw=1.0,
        over_contract_h=0.0,
    )
    return replace(line, **changes)


def _community(members, shared_kwh, own_kwh, **changes):
    def total(name):
        return sum(getattr(line, name) for line in members)

    line = CommunityLine(
        name="Alba",
        kind="CER",
        perimeter="cp",
        area="CP A",
        cp="CP A",
        n_members=len(members),
        withdrawn_kwh=total("withdrawn_kwh"),
        injected_kwh=100.0,
        shared_kwh=shared_kwh,
        own_shared_kwh=own_kwh,
        incentive_eur=total("incentive_eur"),
        valorisation_eur=total("valorisation_eur"),
        bill_eur=total("bill_eur"),
        sale_eur=total("sale_eur"),
        stored_eur=total("stored_eur"),
        net_eur=total("net_eur"),
        co2_kg=total("co2_kg"),
    )
    return replace(line, **changes)


def _settlement(
    members, *, shared_kwh=40.0, own_kwh=40.0, cp_kwh=50.0, zone_kwh=50.0, pooled="community", plants=()
):
    return Settlement(
        rules="cacer_2023",
        pooled=pooled,
        communities=(_community(members, shared_kwh, own_kwh),),
        members=tuple(members),
        plants=tuple(plants),
        areas=tuple(
            AreaShared(level=level, name=name, injected_kwh=100.0, withdrawn_kwh=90.0, shared_kwh=value)
            for level, name, value in (("cp", "CP A", cp_kwh), ("zone", "NORD", zone_kwh))
        ),
        marks=(),
    )


def _strategy(label, level, alone, pooled=None, *, paid="community", pays="cacer_2023"):
    """Return a strategy with one rule set; ``alone`` and ``pooled`` are its settlements."""
    sets = {"community": alone, "cp": alone if pooled is None else pooled}
    hours = HourlyEnergy(
        hour_start_utc_s=np.array([0]),
        injected_kwh=np.array([100.0]),
        withdrawn_kwh=np.array([90.0]),
        shared_kwh=np.array([40.0]),
    )
    return SettledStrategy(
        key=label.lower(),
        label=label,
        level=level,
        pooled=paid,
        pays=pays,
        rules={pays: sets},
        hours={"Alba": hours},
    )


def _simple(label, level, net, **settlement):
    return _strategy(label, level, _settlement([_member("A", net)], **settlement))


@pytest.fixture
def ladder():
    """Level 1 saves 20 on bills and loses 5 of sales; level 3 pools (worth 2.5 for the flows of level 1) and shares more."""
    base = _settlement(
        [_member("A", 60.0, 10.0, 4.0, 1.0), _member("B", 50.0)], plants=[_plant("PV", 10.0, 4.0)]
    )
    one = _settlement(
        [_member("A", 40.0, 5.0, 4.0, 1.0), _member("B", 50.0)], plants=[_plant("PV", 5.0, 4.0)]
    )
    one_pool = _settlement(
        [_member("A", 40.0, 5.0, 6.0, 1.5), _member("B", 50.0)], shared_kwh=50.0, pooled="cp"
    )
    alone = _settlement(
        [_member("A", 40.0, 5.0, 3.5, 0.9), _member("B", 50.0)], shared_kwh=35.0, own_kwh=35.0, cp_kwh=60.0
    )
    pool = _settlement(
        [_member("A", 40.0, 5.0, 9.5, 2.5), _member("B", 50.0)],
        shared_kwh=60.0,
        own_kwh=35.0,
        cp_kwh=60.0,
        pooled="cp",
        plants=[_plant("PV", 5.0, 9.5, shared_kwh=60.0)],
    )
    return (
        _strategy("Zero", 0, base),
        _strategy("One", 1, one, one_pool),
        _strategy("Pool", 3, alone, pool, paid="cp"),
    )


def test_a_step_splits_into_bills_sales_premium_and_valorisation(ladder):
    step = step_value(ladder[1], ladder[0])
    assert step.parts_eur == pytest.approx((20.0, -5.0, 0.0, 0.0, 0.0, 0.0))
    assert step.gain_eur == pytest.approx(15.0)


def test_what_settling_as_a_pool_adds_is_kept_apart_from_what_control_adds(ladder):
    step = step_value(ladder[2], ladder[1])
    assert step.parts_eur == pytest.approx((0.0, 0.0, 3.5, 1.0, 0.0, 2.5))
    assert (step.shared_control_kwh, step.shared_pooling_kwh) == pytest.approx((10.0, 10.0))


amounts = st.floats(0, 1000, allow_nan=False)


@given(st.lists(st.tuples(*[amounts] * 5), min_size=3, max_size=3))
def test_the_parts_of_a_step_add_up_to_the_fall_of_the_net_cost(rows):
    before, lower_pool, paid = (_settlement([_member("A", *row)]) for row in rows)
    upper = _strategy("Upper", 1, paid, paid, paid="cp")
    step = step_value(upper, _strategy("Lower", 0, before, _with_flows_of(before, lower_pool)))
    fall = totals(before.communities).net_eur - totals(paid.communities).net_eur
    assert step.gain_eur == pytest.approx(fall, abs=1e-6)


def _with_flows_of(flows, money):
    """Return a settlement with the premium and valorisation of ``money``; the way of settling changes nothing else."""
    line, other = flows.members[0], money.members[0]
    return _settlement(
        [
            _member(
                "A",
                line.bill_eur,
                line.sale_eur,
                other.incentive_eur,
                other.valorisation_eur,
                line.stored_eur,
            )
        ]
    )


def test_the_gain_does_not_depend_on_how_the_lower_strategy_would_be_paid_as_a_pool(ladder):
    other = replace(ladder[1], rules={"cacer_2023": {**ladder[1].rules["cacer_2023"], "cp": ladder[1].paid}})
    first, second = step_value(ladder[2], ladder[1]), step_value(ladder[2], other)
    assert first.gain_eur == pytest.approx(second.gain_eur)
    assert (first.pooling_eur, second.pooling_eur) == pytest.approx((2.5, 0.0))


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ((0, 1, 2), {"s1": "s0", "s2": "s1"}),
        ((0, 1, 1, 2, 2), {"s1": "s0", "s2": "s0", "s3": "s1", "s4": "s2"}),
        ((0, 1, 2, 2), {"s1": "s0", "s2": "s1", "s3": "s1"}),
        ((0, 3), {"s1": "s0"}),
        ((2, 0, None), {"s0": "s1", "s2": "s1"}),
        ((None, None), {"s1": "s0"}),
        ((1, 1), {"s1": "s0"}),
    ],
    ids=["a ladder", "two of each level", "one for two", "a gap", "out of order", "no levels", "one level"],
)
def test_each_strategy_is_held_against_the_level_below(levels, expected):
    strategies = [_simple(f"S{i}", level, 1.0) for i, level in enumerate(levels)]
    assert {key: lower.key for key, lower in below(strategies).items()} == expected


def test_the_share_of_nothing_is_no_number():
    assert share_percent(0.0, 0.0) is None
    assert share_percent(25.0, 50.0) == 50.0


def _changes(before, after):
    homes = [f"M{i:02d}" for i in range(len(before))]
    lower, upper = (
        _strategy(
            label, level, _settlement([_member(home, bill) for home, bill in zip(homes, bills, strict=True)])
        )
        for label, level, bills in (("Lower", 0, before), ("Upper", 1, after))
    )
    return member_changes(upper, lower), (lower, upper)


def test_members_who_gain_lose_and_stay_are_counted_with_half_a_cent_as_nothing():
    changes, _ = _changes([10.0, 10.0, 10.0, 10.0], [9.0, 11.0, 10.004, 9.996])
    assert counts(changes) == (1, 1, 2)


def test_the_five_largest_are_named_the_largest_first():
    changes, _ = _changes([10.0] * 8, [9, 8, 7, 6, 5, 4, 12, 11])
    assert [change.home for change in largest(changes, 1)] == ["M05", "M04", "M03", "M02", "M01"]
    assert [change.home for change in largest(changes, -1)] == ["M06", "M07"]


def test_a_member_gains_by_bill_sales_and_what_is_shared(ladder):
    change = member_changes(ladder[2], ladder[0])[0]
    assert (change.bills_eur, change.sales_eur, change.shared_eur) == pytest.approx((20.0, -5.0, 7.0))
    assert change.gain_eur == pytest.approx(22.0)


def test_the_table_of_members_holds_both_comparisons(ladder):
    table = gain_table(ladder)
    assert [row[:5] for row in table.rows] == [
        ("One", "Zero", "1", "0", "1"),
        ("Pool", "One", "1", "0", "1"),
        ("Pool", "Zero", "1", "0", "1"),
    ]
    assert [row[5] for row in table.rows] == ["+15.00", "+7.00", "+22.00"]
    assert gain_table(ladder[:1]) is None


def test_winners_and_losers_are_listed_by_name_for_every_strategy_but_the_base():
    _, strategies = _changes([10.0, 10.0], [9.0, 12.5])
    (group,) = gainer_tables(strategies)
    assert [(row[0], row[5]) for row in group.tables[0].rows] == [("M00", "+1.00"), ("M01", f"{MINUS}2.50")]
    _, same = _changes([10.0], [10.0])
    assert gainer_tables(same)[0].tables == ()


def _plant(name, sale, incentive, shared_kwh=40.0):
    return PlantLine(
        name=name,
        home="A",
        community="Alba",
        rated_kw=6.0,
        injected_kwh=100.0,
        shared_kwh=shared_kwh,
        incentive_eur=incentive,
        sale_eur=sale,
    )


def test_producers_lose_sales_and_win_premium():
    lower, upper = (
        _strategy(
            label,
            level,
            _settlement([_member("A", 1.0)], plants=[_plant("PV", *money), _plant("Idle", 0.0, 0.0)]),
        )
        for label, level, money in (("Lower", 0, (10.0, 4.0)), ("Upper", 1, (6.5, 5.0)))
    )
    assert [change.change_eur for change in plant_changes(upper, lower)] == pytest.approx([-2.5, 0.0])
    assert plant_words([lower, upper]) == (
        f"Producers: the 2 plants earn 14.00 EUR by sales and premium with Lower; {MINUS}2.50 EUR ({MINUS}18 %) with Upper."
    )
    assert [row[0] for row in plant_table([lower, upper]).rows] == ["PV", "Idle"]


def test_without_plants_nothing_is_said_on_producers():
    strategies = [_simple("Zero", 0, 5.0), _simple("One", 1, 7.0)]
    assert plant_words(strategies) == ""
    assert plant_table(strategies) is None


def test_the_answer_names_the_best_strategy_and_how_many_gain(ladder):
    shared, net, who = section_words(ladder)
    assert shared.startswith(
        "Shared energy as paid: 40 kWh with Zero (40 % of what is injected), most with Pool: 60 kWh"
    )
    assert (
        net
        == f"Net cost of all communities: 95.00 EUR with Zero, least with Pool: 73.00 EUR ({MINUS}22.00 EUR)."
    )
    assert who == "Of 2 members 1 pay less with Pool than with Zero, 0 pay more and 1 pay the same."


def test_the_answer_also_says_that_nothing_is_better_than_the_base():
    shared, net = section_words([_simple("Zero", 0, 5.0), _simple("One", 1, 7.0)])
    assert shared.endswith("no other strategy shares more.")
    assert net == "Net cost of all communities: 5.00 EUR with Zero; no other strategy costs less."


def test_sources_are_named_by_size_with_their_sign(ladder):
    assert source_words(steps(ladder)) == (
        f"One over Zero: +15.00 EUR for the communities, of that +20.00 EUR by lower bills and {MINUS}5.00 EUR by fewer sales.",
        (
            "Pool over One: +7.00 EUR for the communities, of that +3.50 EUR by more premium by control, "
            "+2.50 EUR by settling communities as one (accounting) and +1.00 EUR by more valorisation by control."
        ),
    )


def test_a_step_that_changes_nothing_says_so():
    assert source_words(steps([_simple("Zero", 0, 5.0), _simple("One", 1, 5.0)])) == (
        "One over Zero: nothing changes.",
    )


def test_pooling_is_explained_only_where_strategies_are_settled_differently(ladder):
    assert step_words(steps(ladder[:2])) == ""
    assert (
        "Pool: +2.50 EUR and 10 kWh of shared energy by accounting, +4.50 EUR and +10 kWh by control."
        in step_words(steps(ladder))
    )


def test_the_rule_set_that_pays_is_named(ladder):
    assert rules_words(ladder).startswith("The rule set that pays is CACER 2023;")
    assert "settled as one with Pool, else each alone" in rules_words(ladder)
    flat = _strategy("Flat", 1, _settlement([_member("A", 1.0)]), pays="flat_2020")
    assert "The rule set that pays differs: Zero CACER 2023 and Flat flat 2020;" in rules_words(
        [ladder[0], flat]
    )


def test_premium_that_no_member_gets_is_said():
    found = _settlement([_member("A", 5.0)])
    kept = replace(found, communities=(replace(found.communities[0], social_kept_eur=1.25),))
    assert "Up to 1.25 EUR of the premium goes to no member" in rules_words([_strategy("Zero", 0, kept)])
    assert "goes to no member" not in rules_words([_strategy("Zero", 0, found)])


def test_a_gain_that_no_member_gets_is_said():
    lower, upper = _simple("Zero", 0, 5.0), _settlement([_member("A", 3.0)])
    kept = replace(upper, communities=(replace(upper.communities[0], social_kept_eur=0.5),))
    (text,) = source_words(steps([lower, _strategy("One", 1, kept)]))
    assert text.endswith(
        "+2.00 EUR by lower bills; +0.50 EUR of it goes to no member but is kept for social purposes."
    )


def test_a_community_that_is_credited_with_energy_of_another_never_shares_more_than_its_plants_inject():
    found = _settlement(
        [_member("A", 5.0)], shared_kwh=300.0, own_kwh=40.0, plants=[_plant("PV", 1.0, 1.0, shared_kwh=60.0)]
    )
    table = energy_money_table([_strategy("Zero", 0, found, paid="cp")])
    assert dict(zip(table.head, table.groups[0].rows[0], strict=True))["Injected that is shared [%]"] == "60"


def test_a_community_below_another_substation_did_not_share():
    found = _settlement([_member("A", 5.0)], own_kwh=40.0, cp_kwh=50.0, zone_kwh=70.0)
    other = replace(found.communities[0], name="Delta", cp="CP B", own_shared_kwh=0.0)
    both = _strategy("Zero", 0, replace(found, communities=(*found.communities, other)))
    text, outside = area_words([both])
    assert text.endswith("The 20 kWh between substations earn no premium.")
    assert outside.startswith("Delta under CP B did not share with Alba under CP A:")
    assert len(area_words([_simple("Zero", 0, 5.0)])) == 1


def test_tables_hold_every_strategy_and_the_rule_set_that_pays(ladder):
    table = energy_money_table(ladder)
    assert [group.title for group in table.groups] == ["Alba"]
    assert [row[0] for row in table.groups[0].rows] == ["Zero", "One", "Pool"]
    assert "Premium, CACER 2023, pays [EUR]" in table.head
    assert dict(zip(table.head, table.groups[0].rows[2], strict=True))["Injected that is shared [%]"] == "60"
    assert [row[-1] for row in area_table(ladder).rows] == ["50", "50", "50"]
    assert overview_table(ladder[0].paid).rows == (("Alba", "CER", "cp", "CP A", "CP A", "2", "1", "6"),)
    assert step_table(steps(ladder[:1])) is None
    assert (
        dict(zip(step_table(steps(ladder)).head, step_table(steps(ladder)).rows[1], strict=True))[
            "Gain [EUR]"
        ]
        == "+7.00"
    )


def test_of_a_large_community_the_members_with_the_largest_changes_are_listed():
    before, after = [10.0] * 45, [10.0 + 0.1 * i for i in range(45)]
    _, strategies = _changes(before, after)
    part = community_part(0, "Alba", strategies)
    listed = [row[0] for row in part.tables[0].rows]
    assert listed == [f"M{i:02d}" for i in range(5, 45)]
    assert [row[0] for row in part.members[1].tables[0].rows] == listed
    assert part.cut_words.startswith(
        "The 40 members with the largest changes of net cost are listed, 5 are left out;"
    )
    assert community_part(0, "Alba", _changes([1.0] * 40, [1.0] * 40)[1]).cut_words == ""


def test_a_community_that_nothing_makes_better_is_described_with_the_base_alone():
    part = community_part(0, "Alba", [_simple("Zero", 0, -5.0), _simple("One", 1, 7.0)])
    assert part.words == (
        "CER of 1 member under CP A. With Zero they share 40 kWh, 0 % of what they inject, and earn 5.00 EUR net.",
    )
    assert part.split is None
    assert len(part.week) == 2
    assert part.mean_day == ()


def test_the_waterfall_ends_at_the_gain(ladder):
    found = steps(ladder)
    markup = value_figure("v", found[0], y_range=value_range(found))
    bars = [
        tuple(map(float, pair))
        for pair in re.findall(r'y="([\d.]+)" width="[\d.]+" height="([\d.]+)" fill', markup)
    ]
    assert len(bars) == 3
    (bill_top, bill_height), (sale_top, sale_height), (gain_top, gain_height) = bars
    assert bill_top == sale_top
    assert gain_top == pytest.approx(sale_top + sale_height, abs=0.2)
    assert bill_height == pytest.approx(gain_height + sale_height, abs=0.2)
    assert "+15.00" in markup
    assert f"Sales {MINUS}5.00 EUR" in markup


def test_every_member_is_a_dot_in_the_row_of_its_kind():
    changes, strategies = _changes([10.0, 10.0, 10.0], [9.0, 12.0, 10.0])
    markup = gain_figure("g", (changes, changes), labels=("U", "L", "B"), x_range=gain_range([changes]))
    paths = [found.count("h0") for found in re.findall(r'<path d="([^"]*)" stroke=', markup)]
    assert [n for n in paths if n] == [3, 3, 3]
    assert "household (3)" in markup
    assert "against L" in markup
    assert "against B" in markup
    alone = gain_figure("g", (changes, None), labels=("U", "L", "B"), x_range=gain_range([changes]))
    assert "against B" not in alone
    assert strategies


def test_the_way_of_settling_does_not_count_as_more_sharing(ladder):
    pool = replace(ladder[2], level=1)
    alone = replace(pool, key="alone", label="Alone", level=0, pooled="community")
    assert sharing_words(grid_steps([alone, pool], {}))[0].startswith("All strategies share the same energy")
