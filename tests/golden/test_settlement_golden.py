"""Settlement against numbers worked by hand: ``settlement/ARITHMETIC.md`` shows every step."""

import csv
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest

from twin.community.incentives import CacerRules, FlatRules, tariff_eur_mwh
from twin.community.meters import MeterAccumulator
from twin.community.settle import MemberMoney, settle
from twin.community.splitting import SplitRules
from twin.community.valorisation import Valorisation
from twin.members import Communities
from twin.signals import Chunk

FOLDER = Path(__file__).parent / "settlement"
KWH = 1e-6
EUR = 1e-6
"""The files carry six digits: half a unit of the last one, and as much again for binary fractions."""

PLANT_KW = {"up to 200": 200.0, "up to 600": 600.0, "up to 1000": 1000.0}
CACER_TABLE = {
    "up to 200": {0: 120, 100: 120, 140: 120, 160: 100, 180: 80, 300: 80},
    "up to 600": {0: 110, 100: 110, 140: 110, 160: 90, 180: 70, 300: 70},
    "up to 1000": {0: 100, 100: 100, 140: 100, 160: 80, 180: 60, 300: 60},
}


def rows(path):
    with (FOLDER / path).open(newline="") as file:
        return list(csv.DictReader(file))


def column(table, name):
    return np.array([float(row[name]) for row in table])


def columns(table, names):
    return np.column_stack([column(table, name) for name in names])


def start_of(table):
    return int(datetime.fromisoformat(table[0]["local_start"]).timestamp())


def community_of(*, kind="CER", role, plants, end_step, invest_eur=None, grant_share=None, member_kind=None):
    """One configuration: member i is home i; ``plants`` holds (member, rated kW, day of entry) of each PV."""
    n = len(role)
    return Communities(
        name=("together",),
        kind=(kind,),
        perimeter=("building" if kind == "GACC" else "cp",),
        area=("here",),
        cp=np.array([0]),
        cp_name=("cp_east",),
        zone="NORD",
        member_home=np.arange(n),
        member_community=np.zeros(n, dtype=np.int64),
        member_kind=member_kind or ("household",) * n,
        member_role=role,
        member_contract_kw=np.array([3.0, 4.5, 100.0, *[3.0] * n])[:n],
        member_invest_eur=np.array(invest_eur or (0,) * n, dtype=np.float64),
        member_first_step=np.zeros(n, dtype=np.int64),
        member_end_step=np.array(end_step, dtype=np.int64),
        member_opted_out=np.zeros(n, dtype=np.bool_),
        member_reserve_share=np.zeros(n),
        member_delay_steps=np.zeros(n, dtype=np.int64),
        plant_pv=np.arange(len(plants)),
        plant_member=np.array([plant[0] for plant in plants]),
        plant_kw=np.array([plant[1] for plant in plants], dtype=np.float64),
        plant_entered_day=np.array([(plant[2] - date(1970, 1, 1)).days for plant in plants]),
        plant_grant_share=np.array(grant_share or [0.0] * len(plants)),
    )


class Metered:
    """Quarters of a whole run put through the meters in two uneven chunks."""

    def __init__(self, communities, *, p_kw, pv_kw, start_utc_s, import_eur_kwh=None, export_eur_kwh=None):
        n = len(p_kw)
        pv_home = communities.member_home[communities.plant_member]
        meters = MeterAccumulator(communities, dt_s=900, start_utc_s=start_utc_s, n_steps=n, pv_home=pv_home)
        free = np.zeros(n)
        arrays = {
            "home.p_kw": p_kw,
            "pv.p_kw": pv_kw,
            "feeder.price_import_eur_kwh": (free if import_eur_kwh is None else import_eur_kwh)[:, None],
            "feeder.price_export_eur_kwh": (free if export_eur_kwh is None else export_eur_kwh)[:, None],
        }
        cut = min(37, n // 2)
        for first, end in ((0, cut), (cut, n)):
            part = {key: values[first:end].astype(np.float32) for key, values in arrays.items()}
            meters.add(Chunk(first_step=first, arrays=part))
        self.hourly, self.totals = meters.hourly(), meters.totals()


# ---------------------------------------------------------------- the day of three members


MEMBERS = ("home_a", "home_b", "workshop_c")
PLANTS = ("pv_a", "pv_c")


def day_communities(*, kind="CER", grant_share_c=0.2, b_leaves_hour=24):
    return community_of(
        kind=kind,
        role=("prosumer", "consumer", "producer"),
        member_kind=("household", "household", "sme"),
        invest_eur=(9000, 3000, 8000),
        plants=((0, 6, date(2024, 3, 1)), (2, 250, date(2024, 9, 1))),
        grant_share=[0.0, grant_share_c],
        end_step=(96, 4 * b_leaves_hour, 96),
    )


def day_meters(communities):
    quarters, hours = rows("day/quarters.csv"), rows("day/hours.csv")
    return Metered(
        communities,
        p_kw=columns(quarters, [f"{name}_kw" for name in MEMBERS]),
        pv_kw=columns(quarters, [f"{name}_kw" for name in PLANTS]),
        start_utc_s=start_of(quarters),
        import_eur_kwh=np.repeat(column(hours, "price_import_eur_kwh"), 4),
        export_eur_kwh=np.repeat(column(hours, "zone_price_eur_mwh") / 1000, 4),
    )


def day_settlement(variant):
    communities = day_communities(
        kind=variant["kind"],
        grant_share_c=float(variant["grant_share_c"]),
        b_leaves_hour=int(variant["b_leaves_hour"]),
    )
    metered, hours = day_meters(communities), rows("day/hours.csv")
    flat = variant["rules"] == "flat_2020"
    return settle(
        communities,
        metered.hourly,
        rules=FlatRules() if flat else CacerRules(regional_eur_mwh=float(variant["regional_eur_mwh"])),
        valorisation=Valorisation(),
        splits=SplitRules(attribution=variant["attribution"], member_split=variant["member_split"]),
        money=MemberMoney(
            bill_eur=metered.totals.energy_cost_eur,
            sale_eur=metered.totals.sale_eur,
            peak_kw=metered.totals.peak_kw,
            over_contract_h=metered.totals.over_contract_h,
        ),
        zone_price_eur_mwh=column(hours, "zone_price_eur_mwh"),
        co2_kg_kwh=column(hours, "co2_kg_kwh"),
        home_name=MEMBERS,
        pv_name=PLANTS,
        pooled="community",
    )


VARIANTS = {row["variant"]: row for row in rows("day/variants.csv")}
EXPECTED_DAY = rows("day/expected.csv")
EXPECTED_HOURS = rows("day/expected_hours.csv")


def test_every_golden_case_of_the_settlement_is_there_with_its_arithmetic():
    assert (FOLDER / "ARITHMETIC.md").read_text().startswith("# Settlement worked by hand")
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == {
        "day",
        "dst",
        "mixed",
        "pooled",
        "sides",
        "social",
        "two_plants",
    }
    assert len(VARIANTS) == 20
    assert len(EXPECTED_DAY) == 6 * len(VARIANTS)


def test_quarters_become_the_hours_of_the_table_without_netting_within_an_hour():
    hourly = day_meters(day_communities()).hourly
    for field, name in (("injected_kwh", "injected"), ("withdrawn_kwh", "withdrawn")):
        expected = columns(EXPECTED_HOURS, [f"{name}_{letter}_kwh" for letter in "abc"])
        np.testing.assert_array_equal(getattr(hourly, field), expected)
    starts = [int(datetime.fromisoformat(row["local_start"]).timestamp()) for row in EXPECTED_HOURS]
    np.testing.assert_array_equal(hourly.hour_start_utc_s, starts)


def test_the_whole_run_has_the_costs_peaks_and_overruns_of_the_table():
    totals = day_meters(day_communities(b_leaves_hour=12)).totals
    np.testing.assert_allclose(totals.energy_cost_eur, [4.5, 15.75, 8.5], rtol=0, atol=EUR)
    np.testing.assert_allclose(totals.sale_eur, [2.84, 0.0, 10.66], rtol=0, atol=EUR)
    np.testing.assert_array_equal(totals.peak_kw, [4.0, 8.0, 4.0])
    np.testing.assert_array_equal(totals.over_contract_h, [0.25, 2.5, 0.0])


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_settlement_of_the_day_agrees_with_the_hand_worked_lines(variant):
    settlement = day_settlement(variant)
    expected = [row for row in EXPECTED_DAY if row["variant"] == variant["variant"]]
    lines = [("community", line.name, line) for line in settlement.communities]
    lines += [("member", line.home, line) for line in settlement.members]
    lines += [("plant", line.name, line) for line in settlement.plants]
    assert [line[:2] for line in lines] == [
        (row["line"], "together" if row["line"] == "community" else row["name"]) for row in expected
    ]
    for (_, name, line), row in zip(lines, expected, strict=True):
        assert_line(line, row, f"{variant['variant']}, {name}")
    assert settlement.rules == variant["rules"]
    assert settlement.communities[0].own_shared_kwh == settlement.communities[0].shared_kwh


KEYS = {"variant", "line", "name", "pooled", "rules", "member_split", "producer_share"}


def assert_line(line, row, where):
    for field, value in row.items():
        if field in KEYS or not value:
            continue
        tolerance = KWH if field.endswith("_kwh") else EUR
        assert getattr(line, field) == pytest.approx(float(value), rel=0, abs=tolerance), f"{where}: {field}"


def test_areas_of_a_single_community_share_what_the_community_shares():
    for area in day_settlement(VARIANTS["cer_flat_2020_proportional_equal"]).areas:
        assert (area.injected_kwh, area.withdrawn_kwh, area.shared_kwh) == (138.0, 115.0, 38.0)


@pytest.mark.parametrize("size_class", CACER_TABLE)
def test_cacer_tariff_has_cap_slope_and_floor_in_every_size_class(size_class):
    expected = CACER_TABLE[size_class]
    for rules, grant, change in (
        (CacerRules(), 0.0, lambda t: t),
        (CacerRules(regional_eur_mwh=10.0), 0.0, lambda t: t + 10.0),
        (CacerRules(regional_eur_mwh=10.0), 0.2, lambda t: 0.75 * (t + 10.0)),
        (CacerRules(regional_eur_mwh=4.0), 0.4, lambda t: 0.5 * (t + 4.0)),
    ):
        tariff = tariff_of(rules, PLANT_KW[size_class], list(expected), grant)
        np.testing.assert_allclose(tariff, [change(t) for t in expected.values()], rtol=0, atol=1e-9)


def test_a_plant_just_over_a_limit_is_in_the_next_size_class():
    assert tariff_of(CacerRules(), 200.1, [0.0], 0.0)[0] == 110.0
    assert tariff_of(CacerRules(), 600.1, [0.0], 0.0)[0] == 100.0


def tariff_of(rules, plant_kw, price, grant):
    return tariff_eur_mwh(
        rules,
        np.array(price, dtype=np.float64),
        plant_kw=np.array([plant_kw]),
        plant_kind=["CER"],
        plant_grant_share=np.array([grant]),
        plant_name=["pv"],
    )[:, 0]


# ---------------------------------------------------------------- four communities, two primary substations


COMMUNITIES = ("north", "hill", "south", "far")
POOL_MEMBERS = {
    "north_house": 0,
    "north_shop": 0,
    "north_flat": 0,
    "hill_house": 1,
    "hill_flat": 1,
    "south_mill": 2,
    "south_flat": 2,
    "far_house": 3,
    "far_flat": 3,
}
POOL_PLANTS = {
    "north_roof": (0, 6.0),
    "north_hall": (1, 250.0),
    "hill_roof": (3, 6.0),
    "south_roof": (5, 250.0),
    "far_roof": (7, 6.0),
}
EXPECTED_POOL = rows("pooled/expected.csv")


def pool_communities():
    with_plant = {member for member, _ in POOL_PLANTS.values()}
    together = community_of(
        role=tuple("prosumer" if i in with_plant else "consumer" for i in range(len(POOL_MEMBERS))),
        plants=[(member, rated_kw, date(2024, 3, 1)) for member, rated_kw in POOL_PLANTS.values()],
        end_step=(16,) * len(POOL_MEMBERS),
    )
    return replace(
        together,
        name=COMMUNITIES,
        kind=("CER",) * 4,
        perimeter=("cp",) * 4,
        area=("cp_east", "cp_east", "cp_east", "cp_west"),
        cp=np.array([0, 0, 0, 1]),
        cp_name=("cp_east", "cp_west"),
        member_community=np.array(list(POOL_MEMBERS.values())),
    )


def pool_settlement(*, rules, pooled, member_split):
    return hourly_settlement(
        pool_communities(),
        hours=rows("pooled/hours.csv"),
        names=tuple(POOL_MEMBERS),
        rules=FlatRules()
        if rules == "flat_2020"
        else CacerRules(regional_eur_mwh=10.0, social_threshold=1.0),
        splits=SplitRules(member_split=member_split),
        pv_name=tuple(POOL_PLANTS),
        pooled=pooled,
    )


def metered_hours(communities, *, hours, names):
    """Meter rows with one power per member (columns ``NAME_kw``) that holds for the hour; the PV is the injection."""
    p_kw = np.repeat(columns(hours, [f"{name}_kw" for name in names]), 4, axis=0)
    return Metered(
        communities,
        p_kw=p_kw,
        pv_kw=np.minimum(p_kw[:, communities.plant_member], 0.0),
        start_utc_s=start_of(hours),
    )


def hourly_settlement(communities, *, hours, names, rules, splits, pv_name=("pv",), pooled="community"):
    """Settle the hours of :func:`metered_hours` without bills and sales."""
    return settle(
        communities,
        metered_hours(communities, hours=hours, names=names).hourly,
        rules=rules,
        valorisation=Valorisation(),
        splits=splits,
        money=no_money(len(names)),
        zone_price_eur_mwh=column(hours, "zone_price_eur_mwh"),
        co2_kg_kwh=np.zeros(len(hours)),
        home_name=names,
        pv_name=pv_name,
        pooled=pooled,
    )


def no_money(n):
    return MemberMoney(
        bill_eur=np.zeros(n), sale_eur=np.zeros(n), peak_kw=np.zeros(n), over_contract_h=np.zeros(n)
    )


@pytest.mark.parametrize("member_split", ["equal", "proportional"])
@pytest.mark.parametrize("rules", ["flat_2020", "cacer_2023"])
@pytest.mark.parametrize("pooled", ["community", "cp"])
def test_communities_under_one_substation_are_paid_alone_or_as_one_as_worked_by_hand(
    pooled, rules, member_split
):
    settlement = pool_settlement(rules=rules, pooled=pooled, member_split=member_split)
    key = {"pooled": pooled, "rules": rules, "member_split": member_split}
    expected = [row for row in EXPECTED_POOL if key.items() <= row.items()]
    assert len(expected) == 18
    assert_lines(settlement, expected, f"{pooled}, {rules}")


def assert_lines(settlement, expected, where):
    """Compare all lines that ``expected`` has kinds of, and no fewer."""
    found = {("community", line.name): line for line in settlement.communities}
    found |= {("member", line.home): line for line in settlement.members}
    found |= {("plant", line.name): line for line in settlement.plants}
    kinds = {row["line"] for row in expected}
    assert {key for key in found if key[0] in kinds} == {(row["line"], row["name"]) for row in expected}
    for row in expected:
        assert_line(found[row["line"], row["name"]], row, f"{where}, {row['name']}")


def test_areas_share_as_if_all_their_members_were_one_configuration():
    for pooled in ("community", "cp"):
        areas = pool_settlement(rules="flat_2020", pooled=pooled, member_split="equal").areas
        found = {(area.level, area.name): area for area in areas}
        expected = rows("pooled/expected_areas.csv")
        assert set(found) == {(row["level"], row["name"]) for row in expected}
        for row in expected:
            area = found[row["level"], row["name"]]
            shown = (area.injected_kwh, area.withdrawn_kwh, area.shared_kwh)
            assert shown == tuple(
                float(row[name]) for name in ("injected_kwh", "withdrawn_kwh", "shared_kwh")
            )


@pytest.mark.parametrize("pooled", ["community", "cp"])
def test_a_gacc_and_a_cer_settled_as_one_keep_their_tariffs_and_share_the_rest(pooled):
    communities = gacc_beside_cer(
        community_of(
            role=("prosumer", "consumer") * 2,
            plants=((0, 6, date(2024, 3, 1)), (2, 6, date(2024, 3, 1))),
            end_step=(8,) * 4,
        ),
        name=("block", "village"),
    )
    settlement = hourly_settlement(
        communities,
        hours=rows("mixed/hours.csv"),
        names=("block_roof", "block_flat", "village_roof", "village_flat"),
        rules=FlatRules(),
        splits=SplitRules(),
        pv_name=("pv_block", "pv_village"),
        pooled=pooled,
    )
    expected = [row for row in rows("mixed/expected.csv") if row["pooled"] == pooled]
    assert len(expected) == 6
    assert_lines(settlement, expected, pooled)


def gacc_beside_cer(together, *, name):
    """Cut one configuration in two halves under one primary substation: a GACC, then a CER."""
    n = len(together.member_home)
    return replace(
        together,
        name=name,
        kind=("GACC", "CER"),
        perimeter=("building", "cp"),
        area=(name[0], "cp_east"),
        cp=np.array([0, 0]),
        member_community=np.repeat([0, 1], n // 2),
    )


EXPECTED_SIDES = rows("sides/expected.csv")
SIDES = sorted({(row["member_split"], row["producer_share"]) for row in EXPECTED_SIDES})


def sides_settlement(*, member_split, producer_share):
    communities = gacc_beside_cer(
        community_of(
            role=("prosumer", "consumer", "consumer", "producer", "consumer", "consumer"),
            plants=((0, 6, date(2024, 3, 1)), (3, 250, date(2024, 3, 1))),
            invest_eur=(6000, 1000, 1000, 15000, 5000, 0),
            end_step=(12,) * 6,
        ),
        name=("court", "farm"),
    )
    return hourly_settlement(
        communities,
        hours=rows("sides/hours.csv"),
        names=("court_roof", "court_flat_1", "court_flat_2", "farm_barn", "farm_house", "farm_store"),
        rules=CacerRules(regional_eur_mwh=10.0, social_threshold=1.0),
        splits=SplitRules(member_split=member_split, producer_share=float(producer_share)),
        pv_name=("pv_court", "pv_farm"),
        pooled="cp",
    )


@pytest.mark.parametrize(("member_split", "producer_share"), SIDES)
def test_each_side_of_the_pool_is_credited_to_the_members_of_that_side(member_split, producer_share):
    key = {"member_split": member_split, "producer_share": producer_share}
    expected = [row for row in EXPECTED_SIDES if key.items() <= row.items()]
    assert len(SIDES) == 5
    assert len(expected) == 10
    settlement = sides_settlement(member_split=member_split, producer_share=producer_share)
    assert_lines(settlement, expected, f"{member_split}, {producer_share}")


def test_the_producer_share_moves_own_shared_energy_and_no_credit():
    kwh = [
        np.array(
            [
                line.shared_kwh
                for line in sides_settlement(member_split="proportional", producer_share=p).members
            ]
        )
        for p in (0.0, 1.0)
    ]
    moved = [2.0, -1.25, -0.75, 3.0, -2.75, -0.25]
    np.testing.assert_allclose(kwh[1] - kwh[0], moved, rtol=0, atol=KWH)


# ---------------------------------------------------------------- days on which the clocks change


@pytest.mark.parametrize(
    ("file", "n_hours", "shared_kwh", "incentive_eur"),
    [("dst/day_25_hours.csv", 25, 8.0, 0.84), ("dst/day_23_hours.csv", 23, 5.0, 0.52)],
    ids=["the repeated hour is two hours", "the missing hour joins nothing"],
)
def test_days_of_25_and_23_hours_settle_hour_by_hour(file, n_hours, shared_kwh, incentive_eur):
    table = rows(file)
    assert len(table) == n_hours
    communities = community_of(
        role=("producer", "consumer"), plants=((0, 6, date(2024, 3, 1)),), end_step=(4 * n_hours,) * 2
    )
    hours = [row | {"roof_kw": f"-{row['injected_kwh']}", "flat_kw": row["withdrawn_kwh"]} for row in table]
    hourly = metered_hours(communities, hours=hours, names=("roof", "flat")).hourly
    stamps = [int(datetime.fromisoformat(row["local_start"]).timestamp()) for row in table]
    np.testing.assert_array_equal(hourly.hour_start_utc_s, stamps)
    settlement = hourly_settlement(
        communities,
        hours=hours,
        names=("roof", "flat"),
        rules=CacerRules(social_threshold=1.0),
        splits=SplitRules(),
    )
    (line,) = settlement.communities
    assert line.injected_kwh == column(table, "injected_kwh").sum()
    assert line.withdrawn_kwh == column(table, "withdrawn_kwh").sum()
    assert line.shared_kwh == column(table, "shared_kwh").sum() == shared_kwh
    assert line.incentive_eur == pytest.approx(incentive_eur, rel=0, abs=EUR)


# ---------------------------------------------------------------- two plants behind one meter, social threshold


def test_injection_of_one_meter_is_divided_over_its_plants_by_pv_then_by_rated_power():
    table = rows("two_plants/hours.csv")
    communities = community_of(
        role=("prosumer",),
        plants=((0, 6, date(2024, 3, 1)), (0, 18, date(2024, 3, 1))),
        end_step=(16,),
    )
    metered = Metered(
        communities,
        p_kw=np.repeat(columns(table, ["shop_kw"]), 4, axis=0),
        pv_kw=np.repeat(columns(table, ["pv_small_kw", "pv_large_kw"]), 4, axis=0),
        start_utc_s=start_of(table),
    )
    expected = columns(table, ["small_kwh", "large_kwh"])
    np.testing.assert_allclose(metered.hourly.plant_injected_kwh, expected, rtol=0, atol=1e-12)


def social_settlement(*, grant_share, flat_kind):
    hours = rows("social/hours.csv")
    communities = community_of(
        role=("producer", "consumer", "consumer"),
        member_kind=("sme", flat_kind, "sme"),
        invest_eur=(10000, 5000, 5000),
        plants=((0, 30, date(2024, 3, 1)),),
        grant_share=[grant_share],
        end_step=(8, 8, 8),
    )
    return hourly_settlement(
        communities,
        hours=hours,
        names=("dairy", "flat", "bakery"),
        rules=CacerRules(),
        splits=SplitRules(member_split="by_investment"),
    )


@pytest.mark.parametrize("row", rows("social/expected.csv"), ids=lambda row: f"grant {row['grant_share']}")
def test_premium_beyond_the_social_threshold_goes_to_members_that_are_no_business(row):
    settlement = social_settlement(grant_share=float(row["grant_share"]), flat_kind="household")
    assert settlement.communities[0].shared_kwh == pytest.approx(float(row["shared_kwh"]), rel=0, abs=KWH)
    assert settlement.communities[0].incentive_eur == pytest.approx(
        float(row["incentive_eur"]), rel=0, abs=EUR
    )
    assert settlement.communities[0].social_eur == pytest.approx(float(row["excess_eur"]), rel=0, abs=EUR)
    assert settlement.communities[0].social_kept_eur == 0.0
    found = [line.incentive_eur for line in settlement.members]
    expected = [float(row[name]) for name in ("dairy_eur", "flat_eur", "bakery_eur")]
    assert found == pytest.approx(expected, rel=0, abs=EUR)


def test_premium_beyond_the_social_threshold_is_kept_where_all_members_are_businesses():
    settlement = social_settlement(grant_share=0.0, flat_kind="sme")
    line = settlement.communities[0]
    assert (line.incentive_eur, line.social_eur, line.social_kept_eur) == pytest.approx((2.90, 0.58, 0.58))
    assert [member.incentive_eur for member in settlement.members] == pytest.approx([1.16, 0.58, 0.58])


def test_a_battery_without_a_plant_shares_nothing():
    communities = community_of(
        role=("prosumer", "consumer", "consumer"),
        plants=((0, 6, date(2024, 3, 1)),),
        end_step=(4, 4, 4),
    )
    hours = [
        {
            "local_start": "2018-05-09T10:00+02:00",
            "zone_price_eur_mwh": "100",
            "roof_kw": "-2",
            "store_kw": "-3",
            "flat_kw": "4",
        }
    ]
    settlement = hourly_settlement(
        communities, hours=hours, names=("roof", "store", "flat"), rules=FlatRules(), splits=SplitRules()
    )
    assert settlement.communities[0].shared_kwh == 2.0
    assert [member.shared_kwh for member in settlement.members] == [1.0, 0.0, 1.0]
