"""A settlement against sums worked out by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from twin.clock import utc_s
from twin.community.incentives import CacerRules, FlatRules, Rules
from twin.community.meters import HourlyMeters, MeterAccumulator
from twin.community.results import Settlement
from twin.community.settle import MemberMoney, settle
from twin.community.splitting import ATTRIBUTION, SplitRules
from twin.community.valorisation import Valorisation
from twin.errors import InputError
from twin.members import Communities
from twin.signals import Chunk

LATER = 10**9
HOMES = ("anna", "bar", "casa", "dora")
PV = ("roof", "field")


def communities(**changes: Any) -> Communities:
    """Return a CER of two households and a bar; one plant of 10 kW."""
    base = Communities(
        name=("solare",),
        kind=("CER",),
        perimeter=("cp",),
        area=("CP1",),
        cp=np.array([0]),
        cp_name=("CP1",),
        zone="NORD",
        member_home=np.array([0, 2, 1]),
        member_community=np.array([0, 0, 0]),
        member_kind=("household", "household", "sme"),
        member_role=("prosumer", "consumer", "consumer"),
        member_contract_kw=np.array([3.0, 3.0, 10.0]),
        member_invest_eur=np.array([100.0, 0.0, 300.0]),
        member_first_step=np.zeros(3, dtype=np.int64),
        member_end_step=np.full(3, LATER),
        plant_pv=np.array([0]),
        plant_member=np.array([0]),
        plant_kw=np.array([10.0]),
        plant_entered_day=np.array([0]),
        plant_grant_share=np.array([0.0]),
    )
    return replace(base, **changes)


def pool() -> Communities:
    """Return three configurations of one member each, A and B with a plant; C is a GACC."""
    return communities(
        name=("A", "B", "C"),
        kind=("CER", "CER", "GACC"),
        perimeter=("cp", "cp", "building"),
        area=("CP1", "CP1", "bus 7"),
        cp=np.array([0, 0, 0]),
        member_community=np.array([0, 1, 2]),
        plant_pv=np.array([0, 1]),
        plant_member=np.array([0, 1]),
        plant_kw=np.array([10.0, 300.0]),
        plant_entered_day=np.array([0, 0]),
        plant_grant_share=np.zeros(2),
    )


def readings(injected: ArrayLike, withdrawn: ArrayLike, plants: ArrayLike, **changes: Any) -> HourlyMeters:
    return HourlyMeters(
        hour_start_utc_s=1514764800 + 3600 * np.arange(len(np.array(injected))),
        injected_kwh=np.array(injected, dtype=float),
        withdrawn_kwh=np.array(withdrawn, dtype=float),
        plant_injected_kwh=np.array(plants, dtype=float),
        **changes,
    )


TWO_HOURS = readings([[6, 0, 0], [2, 0, 0]], [[0, 2, 2], [0, 1, 3]], [[6], [2]])
"""4 and 2 kWh are shared."""
ONE_HOUR = readings([[10, 2, 0]], [[4, 5, 1]], [[10, 2]])
"""For the pool: own 4, 2, 0; the rest is 4, all from A; deficits 3 of B and 1 of C."""


def settled(
    who: Communities,
    meters: HourlyMeters,
    *,
    rules: Rules,
    pooled: Any = "community",
    splits: SplitRules | None = None,
    prices: ArrayLike | None = None,
    **changes: Any,
) -> Settlement:
    n_hours, n_members = len(meters.hour_start_utc_s), who.n_members
    arguments: dict[str, Any] = {
        "valorisation": Valorisation(),
        "money": MemberMoney(
            bill_eur=np.arange(1.0, n_members + 1),
            sale_eur=np.full(n_members, 0.5),
            peak_kw=np.full(n_members, 2.0),
            over_contract_h=np.zeros(n_members),
        ),
        "zone_price_eur_mwh": np.full(n_hours, 100.0) if prices is None else np.array(prices),
        "co2_kg_kwh": np.linspace(0.2, 0.3, n_hours),
        "home_name": HOMES,
        "pv_name": PV,
    }
    return settle(
        who,
        meters,
        rules=rules,
        splits=SplitRules() if splits is None else splits,
        pooled=pooled,
        **(arguments | changes),
    )


def of(lines: Sequence[Any], name: str) -> list[Any]:
    return [getattr(line, name) for line in lines]


def test_the_flat_premium_of_two_hours() -> None:
    found = settled(communities(), TWO_HOURS, rules=FlatRules())
    (line,) = found.communities
    assert line.shared_kwh == line.own_shared_kwh == 6.0
    assert line.incentive_eur == pytest.approx(6 * 0.110, rel=1e-12)
    assert line.valorisation_eur == pytest.approx(6 * 0.01057, rel=1e-12)
    assert (line.withdrawn_kwh, line.injected_kwh, line.n_members) == (8.0, 8.0, 3)
    assert (line.social_eur, line.social_kept_eur) == (0.0, 0.0)
    # half to the injector; the rest 1 : 1 in hour 1 and 1 : 3 in hour 2
    assert of(found.members, "shared_kwh") == pytest.approx([3.0, 1.25, 1.75], rel=1e-12)
    assert of(found.members, "incentive_eur") == pytest.approx([0.33, 0.1375, 0.1925], rel=1e-12)


def test_a_member_s_line_carries_bill_sale_and_emissions() -> None:
    found = settled(communities(), TWO_HOURS, rules=FlatRules())
    line = found.members[2]
    assert (line.home, line.community, line.kind, line.role) == ("bar", "solare", "sme", "consumer")
    assert (line.bill_eur, line.sale_eur, line.peak_kw) == (3.0, 0.5, 2.0)
    assert line.valorisation_eur == pytest.approx(1.75 * 0.01057, rel=1e-12)
    assert line.net_eur == pytest.approx(3.0 - 0.5 - 0.1925 - 1.75 * 0.01057, rel=1e-12)
    assert line.co2_kg == pytest.approx(0.2 * 2 + 0.3 * 3, rel=1e-12)
    assert found.members[0].co2_kg == pytest.approx(-0.2 * 6 - 0.3 * 2, rel=1e-12)
    assert found.communities[0].net_eur == pytest.approx(6.0 - 1.5 - 0.66 - 0.06342, rel=1e-12)


def test_the_cacer_premium_of_two_hours_keeps_the_part_beyond_the_threshold_from_the_bar() -> None:
    found = settled(communities(), TWO_HOURS, rules=CacerRules(), prices=[140.0, 180.0])
    (line,) = found.communities
    # 4 kWh at 120 and 2 kWh at 80 EUR/MWh; 55 % of 8 kWh are 4.4, so 1.6 of 6 kWh are social
    assert line.incentive_eur == pytest.approx(0.64, rel=1e-12)
    assert line.social_eur == pytest.approx(0.64 * 1.6 / 6, rel=1e-12)
    by_rule = np.array([0.32, 0.14, 0.18])
    to_households = line.social_eur * np.array([0.32, 0.14, 0.0]) / 0.46
    assert of(found.members, "incentive_eur") == pytest.approx(by_rule * 4.4 / 6 + to_households, rel=1e-12)
    assert of(found.plants, "incentive_eur") == pytest.approx([0.64], rel=1e-12)


def test_a_community_of_businesses_keeps_the_social_part() -> None:
    who = communities(member_kind=("sme", "farm", "cooperative"))
    found = settled(who, TWO_HOURS, rules=CacerRules(), prices=[140.0, 180.0])
    (line,) = found.communities
    assert line.social_kept_eur == line.social_eur == pytest.approx(0.64 * 1.6 / 6, rel=1e-12)
    assert sum(of(found.members, "incentive_eur")) == pytest.approx(0.64 * 4.4 / 6, rel=1e-12)


def test_households_without_a_part_of_their_own_divide_the_social_part_equally() -> None:
    who = communities(member_kind=("sme", "household", "household"))
    found = settled(
        who, TWO_HOURS, rules=CacerRules(), prices=[140.0, 180.0], splits=SplitRules(producer_share=1.0)
    )
    social = found.communities[0].social_eur
    assert of(found.members, "incentive_eur") == pytest.approx([0.64 - social, social / 2, social / 2])


def test_a_household_that_left_before_the_run_gets_no_social_part() -> None:
    who = communities(
        member_kind=("sme", "household", "household"), member_end_step=np.array([LATER, LATER, 0])
    )
    active = np.array([[True, True, False]] * 2)
    meters = readings([[6, 0, 0], [2, 0, 0]], [[0, 4, 0], [0, 4, 0]], [[6], [2]], active=active)
    found = settled(who, meters, rules=CacerRules(), splits=SplitRules(producer_share=1.0))
    assert found.communities[0].social_eur > 0.1
    assert of(found.members, "incentive_eur")[1:] == [found.communities[0].social_eur, 0.0]


def test_a_pool_pays_what_crosses_at_the_premium_of_the_surplus_half_and_half() -> None:
    found = settled(pool(), ONE_HOUR, rules=CacerRules(), prices=[160.0], pooled="cp")
    # A: 10 kW, 100 EUR/MWh; B: 300 kW, 90 EUR/MWh; 4 kWh cross, worth 0.40 EUR
    assert of(found.communities, "shared_kwh") == pytest.approx([6.0, 3.5, 0.5], rel=1e-12)
    assert of(found.communities, "own_shared_kwh") == [4.0, 2.0, 0.0]
    assert of(found.communities, "incentive_eur") == pytest.approx(
        [0.40 + 0.20, 0.18 + 0.15, 0.05], rel=1e-12
    )
    assert of(found.plants, "shared_kwh") == pytest.approx([8.0, 2.0], rel=1e-12)
    assert of(found.plants, "incentive_eur") == pytest.approx([0.80, 0.18], rel=1e-12)
    # alone A shares 4 of 10 kWh injected, below 55 %; B 2 of 2, so 0.9 of 2 are social; C has no plant
    assert of(found.communities, "social_eur") == pytest.approx([0.0, 0.33 * 0.45, 0.0], rel=1e-12)


def test_a_pool_that_shares_nothing_more_moves_no_money() -> None:
    meters = readings([[10, 10, 0]], [[5, 10, 0]], [[10, 10]])
    who = replace(pool(), member_kind=("sme", "sme", "household"))
    alone, together = (
        settled(who, meters, rules=CacerRules(), prices=[160.0], pooled=pooled)
        for pooled in ("community", "cp")
    )
    assert of(alone.areas, "shared_kwh") == of(together.areas, "shared_kwh")
    assert of(together.members, "incentive_eur") == of(alone.members, "incentive_eur")
    assert of(alone.communities, "social_eur")[1] > 0.0


def test_what_crosses_a_pool_earns_trase_alone() -> None:
    meters = readings([[10, 0, 0]], [[4, 0, 5]], [[10]])
    who = communities(
        name=("A", "G"),
        kind=("GACC", "GACC"),
        perimeter=("building", "building"),
        area=("bus 1", "bus 2"),
        cp=np.array([0, 0]),
        member_community=np.array([0, 0, 1]),
    )
    found = settled(who, meters, rules=FlatRules(), pooled="cp")
    # 4 kWh in the building of A at 10.57 + 0.65 + 2.6; 5 kWh cross, 2.5 credited to each
    assert of(found.communities, "valorisation_eur") == pytest.approx(
        [0.004 * 13.82 + 0.0025 * 10.57, 0.0025 * 10.57], rel=1e-12
    )


def test_oldest_first_pays_an_old_small_plant_before_a_new_large_one() -> None:
    who = communities(
        plant_pv=np.array([0, 1]),
        plant_member=np.array([0, 0]),
        plant_kw=np.array([700.0, 10.0]),
        plant_entered_day=np.array([20000, 19000]),
        plant_grant_share=np.zeros(2),
    )
    meters = readings([[8, 0, 0]], [[0, 3, 3]], [[4, 4]])
    found = settled(who, meters, rules=CacerRules(), splits=SplitRules(attribution="oldest_first"))
    assert of(found.plants, "shared_kwh") == [2.0, 4.0]
    assert of(found.plants, "incentive_eur") == pytest.approx([0.2, 0.48], rel=1e-12)
    assert of(found.plants, "sale_eur") == [0.25, 0.25]
    assert any("oldest_first" in mark for mark in found.marks)


def test_the_sale_of_a_plant_that_never_injected_is_divided_by_rated_power() -> None:
    who = communities(
        plant_pv=np.array([0, 1]),
        plant_member=np.array([0, 0]),
        plant_kw=np.array([3.0, 1.0]),
        plant_entered_day=np.zeros(2, dtype=np.int64),
        plant_grant_share=np.zeros(2),
    )
    found = settled(who, readings([[0, 0, 0]], [[1, 1, 1]], [[0, 0]]), rules=FlatRules())
    assert of(found.plants, "sale_eur") == [0.375, 0.125]


def test_two_primary_substations_and_the_zone_are_counted_side_by_side() -> None:
    who = replace(pool(), cp=np.array([0, 1, 0]), cp_name=("CP1", "CP2", "CP3"))
    found = settled(who, ONE_HOUR, rules=FlatRules(), pooled="cp")
    areas = [
        (line.level, line.name, line.injected_kwh, line.withdrawn_kwh, line.shared_kwh)
        for line in found.areas
    ]
    assert areas == [
        ("cp", "CP1", 10.0, 5.0, 5.0),
        ("cp", "CP2", 2.0, 5.0, 2.0),
        ("cp", "CP3", 0.0, 0.0, 0.0),
        ("zone", "NORD", 12.0, 10.0, 10.0),
    ]
    # only C is helped by A; B stays alone
    assert of(found.communities, "shared_kwh") == [4.5, 2.0, 0.5]
    assert of(found.communities, "cp") == ["CP1", "CP2", "CP1"]


def test_without_communities_the_settlement_is_empty() -> None:
    meters = readings(np.zeros((3, 0)), np.zeros((3, 0)), np.zeros((3, 0)))
    for rules in (FlatRules(), CacerRules()):
        for pooled in ("community", "cp"):
            found = settled(Communities(), meters, rules=rules, pooled=pooled)
            assert (found.rules, found.pooled) == (rules.name, pooled)
            assert (found.communities, found.members, found.plants, found.areas) == ((), (), (), ())


def test_every_unverified_parameter_in_use_is_marked() -> None:
    flat = settled(communities(), TWO_HOURS, rules=FlatRules()).marks
    cacer = settled(communities(), TWO_HOURS, rules=CacerRules()).marks
    pooled = settled(pool(), ONE_HOUR, rules=CacerRules(), pooled="cp").marks
    assert [mark.split(" ")[0] for mark in flat] == ["Valorisation:", "The", "Every", "What"]
    for word in ("grant", "south", "1000 kW", "Social threshold", "business_kinds"):
        assert any(word in mark for mark in cacer), word
        assert not any(word in mark for mark in flat), word
    assert set(pooled) - set(cacer) == {
        mark for mark in pooled if "Avoided losses" in mark or "settled as one" in mark
    }
    assert len(set(pooled) - set(cacer)) == 2


def test_a_split_that_fell_back_to_energies_is_marked() -> None:
    meters = readings([[6, 0, 0]], [[0, 2, 0]], [[6]])
    who = communities(
        name=("A", "B"),
        kind=("CER", "CER"),
        perimeter=("cp", "cp"),
        area=("CP1", "CP1"),
        cp=np.array([0, 0]),
        member_community=np.array([0, 1, 1]),
    )
    splits = SplitRules(member_split="by_consumption")
    found = settled(who, meters, rules=FlatRules(), pooled="cp", splits=splits)
    assert of(found.members, "shared_kwh") == [1.0, 1.0, 0.0]
    assert any("had no weights" in mark for mark in found.marks)
    # alone nothing is shared, so nothing fell back
    assert not any(
        "had no weights" in mark for mark in settled(who, meters, rules=FlatRules(), splits=splits).marks
    )


@pytest.mark.parametrize("series", ["zone_price_eur_mwh", "co2_kg_kwh"])
def test_an_hour_without_price_or_factor_stops_the_settlement(series: str) -> None:
    hours: dict[str, Any] = {series: np.array([1.0, np.nan])}
    with pytest.raises(InputError, match=r"nan in the hour from 2018-01-01T02:00\+01:00, the first of 1"):
        settled(communities(), TWO_HOURS, rules=FlatRules(), **hours)


def test_a_plant_above_1000_kw_is_refused_by_name_under_cacer_alone() -> None:
    who = communities(plant_kw=np.array([1200.0]))
    with pytest.raises(InputError, match="plant roof: 1200 kW"):
        settled(who, TWO_HOURS, rules=CacerRules())
    assert settled(who, TWO_HOURS, rules=FlatRules()).communities[0].incentive_eur == pytest.approx(0.66)


def test_an_unknown_way_of_pooling_is_refused() -> None:
    with pytest.raises(InputError, match="pooled 'zone' is not known"):
        settled(communities(), TWO_HOURS, rules=FlatRules(), pooled="zone")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plant_injected_kwh": np.array([[5.0], [2.0]])}, "does not add up to injected_kwh"),
        ({"injected_kwh": np.zeros((2, 2))}, r"injected_kwh has shape \(2, 2\)"),
        ({"withdrawn_kwh": np.full((2, 3), -1.0)}, "withdrawn_kwh must hold finite energies"),
        ({"withdrawn_kwh": np.full((2, 3), np.nan)}, "withdrawn_kwh must hold finite energies"),
        ({"active": np.ones((1, 3), dtype=bool)}, r"active has shape \(1, 3\)"),
        ({"active": np.zeros((2, 3), dtype=bool)}, "no member"),
    ],
)
def test_readings_that_contradict_each_other_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settled(communities(), replace(TWO_HOURS, **changes), rules=FlatRules())


def test_readings_with_leavers_must_say_who_is_a_member_when() -> None:
    who = communities(member_end_step=np.array([LATER, 4, LATER]))
    with pytest.raises(ValueError, match=r"give HourlyMeters\.active"):
        settled(who, TWO_HOURS, rules=FlatRules())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zone_price_eur_mwh": np.ones(3)}, "zonal price has shape"),
        (
            {
                "money": MemberMoney(
                    bill_eur=np.array([1.0, np.nan, 1.0]),
                    sale_eur=np.zeros(3),
                    peak_kw=np.zeros(3),
                    over_contract_h=np.zeros(3),
                )
            },
            "bill_eur must hold one finite number",
        ),
    ],
)
def test_series_and_money_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settled(communities(), TWO_HOURS, rules=FlatRules(), **changes)


def test_an_attribution_that_loses_energy_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ATTRIBUTION, "half", lambda shared, plants: 0.5 * shared[:, plants.community])
    with pytest.raises(ValueError, match="attribution 'half' does not add up"):
        settled(communities(), TWO_HOURS, rules=FlatRules(), splits=SplitRules(attribution="half"))


def run_of(
    day: date, n_steps: int, home_kw: Mapping[tuple[int, int], float], who: Communities
) -> HourlyMeters:
    """Meter quarter-hours from local midnight; ``home_kw`` maps (home, hour of the run) to power."""
    accumulator = MeterAccumulator(
        who, dt_s=900, start_utc_s=utc_s(day), n_steps=n_steps, pv_home=np.array([0, 1])
    )
    power = np.zeros((n_steps, 4), dtype=np.float32)
    for (home, hour), kw in home_kw.items():
        power[4 * hour : 4 * hour + 4, home] = kw
    arrays = {"home.p_kw": power, "pv.p_kw": np.minimum(power[:, :2], 0)}
    prices = {
        f"feeder.price_{way}_eur_kwh": np.ones((n_steps, 1), np.float32) for way in ("import", "export")
    }
    accumulator.add(Chunk(first_step=0, arrays=arrays | prices))
    return accumulator.hourly()


def test_the_hour_that_comes_twice_in_october_is_two_hours() -> None:
    # injection in the first 02:00 hour of 28 October 2018, withdrawal in the second: nothing is shared
    meters = run_of(date(2018, 10, 28), 100, {(0, 2): -4, (2, 3): 4, (0, 24): -1, (2, 24): 3}, communities())
    found = settled(communities(), meters, rules=CacerRules(), prices=np.full(25, 140.0))
    assert found.communities[0].shared_kwh == 1.0
    assert found.communities[0].incentive_eur == pytest.approx(0.12, rel=1e-12)
    assert found.communities[0].withdrawn_kwh == 7.0


def test_the_day_of_23_hours_in_march_settles_whole() -> None:
    # hour 2 of the run is 03:00 local: 02:00 does not exist on 25 March 2018
    hours = {(home, hour): kw for hour in range(23) for home, kw in ((0, -2), (2, 1), (1, 3))}
    meters = run_of(date(2018, 3, 25), 92, hours, communities())
    found = settled(communities(), meters, rules=FlatRules())
    assert found.communities[0].shared_kwh == 46.0
    assert found.communities[0].incentive_eur == pytest.approx(46 * 0.110, rel=1e-12)


def test_who_joins_or_leaves_within_the_run_counts_while_a_member() -> None:
    # anna injects 4 kW all the time; casa (2 kW) leaves after 1.5 hours, bar (3 kW) joins then
    who = communities(member_end_step=np.array([LATER, 6, LATER]), member_first_step=np.array([0, 0, 6]))
    power = {(home, hour): kw for hour in range(3) for home, kw in ((0, -4), (2, 2), (1, 3))}
    meters = run_of(date(2018, 6, 4), 12, power, who)
    found = settled(who, meters, rules=FlatRules(), splits=SplitRules(producer_share=0.0))
    # 2 kWh, then 1 + 1.5 kWh, then 3 kWh are shared
    assert found.communities[0].shared_kwh == 7.5
    assert of(found.members, "shared_kwh") == pytest.approx([0.0, 3.0, 4.5], rel=1e-12)
    equal = settled(who, meters, rules=FlatRules(), splits=SplitRules(member_split="equal"))
    # members per hour: anna and casa; all three; anna and bar
    assert of(equal.members, "shared_kwh") == pytest.approx(
        [1 + 2.5 / 3 + 1.5, 1 + 2.5 / 3, 2.5 / 3 + 1.5], rel=1e-12
    )
