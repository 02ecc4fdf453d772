"""Laws of the settlement: nothing is lost, nothing is made, and how a run is cut changes nothing.

Money and energy hold to 1e-12 of the total; how a run is cut into chunks does not change a bit.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from twin.clock import local_time, utc_s
from twin.community.grouping import sum_columns
from twin.community.incentives import SIZE_CLASSES, CacerRules, FlatRules, Rules, tariff_eur_mwh
from twin.community.meters import HourlyMeters, MeterAccumulator, MeterTotals
from twin.community.results import Settlement
from twin.community.settle import MemberMoney, Pooled, settle
from twin.community.sharing import CommunityHours, shared_kwh, shared_pooled
from twin.community.splitting import ATTRIBUTION, MEMBER_SPLIT, SplitRules
from twin.community.valorisation import Valorisation
from twin.members import Communities
from twin.plant import FloatArray, IntArray
from twin.signals import Chunk

CLOSE: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-12}
SEEDS = st.integers(0, 2**32 - 1)
ENERGIES = st.floats(0, 1e4, allow_subnormal=False).map(lambda kwh: round(kwh, 6))
PLAIN = SplitRules()
Arrays = dict[str, NDArray[np.float32]]
Sides = tuple[FloatArray, FloatArray, IntArray]


def hour_of(n: int) -> st.SearchStrategy[FloatArray]:
    return st.lists(st.tuples(ENERGIES, ENERGIES), min_size=n, max_size=n).map(
        lambda rows: np.array(rows).T[:, None]
    )


@st.composite
def sides(draw: st.DrawFn) -> Sides:
    """Return injected and withdrawn energy (1, M) of some members and their group."""
    n = draw(st.integers(1, 8))
    injected, withdrawn = draw(hour_of(n))
    group = np.array(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    return injected, withdrawn, group


@given(sides())
def test_shared_energy_is_at_most_what_is_injected_and_what_is_withdrawn(case: Sides) -> None:
    injected, withdrawn, group = case
    found = shared_kwh(injected, withdrawn, group, 4)
    assert (found <= sum_columns(injected, group, 4)).all()
    assert (found <= sum_columns(withdrawn, group, 4)).all()
    assert (found >= 0).all()


@given(sides())
@example((np.array([[5.0, 0.0]]), np.array([[0.0, 5.0]]), np.array([0, 1])))
def test_merging_two_communities_never_lowers_the_shared_energy(case: Sides) -> None:
    injected, withdrawn, group = case
    apart = shared_kwh(injected, withdrawn, group, 4)
    merged = shared_kwh(injected, withdrawn, np.where(group == 1, 0, group), 4)
    assert merged[0, 0] >= (apart[0, 0] + apart[0, 1]) * (1 - 1e-12)
    np.testing.assert_array_equal(merged[:, 2:], apart[:, 2:])


@given(sides())
def test_a_pool_gives_no_one_less_than_alone_and_all_of_it_away(case: Sides) -> None:
    injected, withdrawn, cp = case
    hours = CommunityHours(
        injected_kwh=injected, withdrawn_kwh=withdrawn, shared_kwh=np.minimum(injected, withdrawn)
    )
    pool = shared_pooled(hours, cp, 4)
    assert (pool.paid_kwh >= hours.shared_kwh).all()
    as_one = shared_kwh(injected, withdrawn, cp, 4)
    scale = injected.sum() + withdrawn.sum()
    np.testing.assert_allclose(sum_columns(pool.paid_kwh, cp, 4), as_one, rtol=1e-12, atol=1e-12 * scale)
    np.testing.assert_allclose(
        sum_columns(pool.from_plants_kwh, cp, 4), as_one, rtol=1e-12, atol=1e-12 * scale
    )
    assert (pool.from_plants_kwh <= injected * (1 + 1e-12)).all()


@given(st.floats(-500, 4000), st.floats(0, 500), st.floats(0.1, 1000.0), st.floats(0, 0.4))
def test_the_cacer_tariff_lies_between_base_and_cap_and_falls_with_the_price(
    price: float, rise: float, plant_kw: float, grant: float
) -> None:
    rules = CacerRules(regional_eur_mwh=10.0)
    found = tariff_eur_mwh(
        rules,
        np.array([price, price + rise]),
        plant_kw=np.array([plant_kw]),
        plant_kind=("CER",),
        plant_grant_share=np.array([grant]),
        plant_name=("pv",),
    )[:, 0]
    size = next(entry for entry in SIZE_CLASSES if plant_kw <= entry.limit_kw)
    kept = 1 - 0.5 * grant / 0.4
    assert found[1] <= found[0]
    assert kept * (size.base_eur_mwh + 10) <= found[1] * (1 + 1e-12)
    assert found[0] <= kept * (size.cap_eur_mwh + 10) * (1 + 1e-12)


def make_communities(rng: np.random.Generator, n_steps: int, *, n_members: int = 9) -> Communities:
    """Return three configurations under two primary substations, with joiners and leavers; some have two plants."""
    n_plants = int(rng.integers(1, 8))
    plant_member = np.sort(rng.integers(0, n_members, n_plants))
    first = np.where(rng.random(n_members) < 0.6, 0, rng.integers(0, n_steps, n_members))
    return Communities(
        name=("a", "b", "c"),
        kind=("CER", "GACC", "CER"),
        perimeter=("cp", "building", "cp"),
        area=("CP1", "bus 1", "CP2"),
        cp=np.array([0, 0, 1]),
        cp_name=("CP1", "CP2"),
        zone="NORD",
        member_home=rng.permutation(n_members),
        member_community=np.concatenate([[0, 1, 2], rng.integers(0, 3, n_members - 3)]),
        member_kind=tuple(rng.choice(["household", "sme", "municipality", "farm"], n_members).tolist()),
        member_role=tuple("prosumer" for _ in range(n_members)),
        member_contract_kw=np.full(n_members, 3.0),
        member_invest_eur=rng.choice([0.0, 500.0, 1234.5], n_members) + 1.0,
        member_first_step=first.astype(np.int64),
        member_end_step=np.where(
            rng.random(n_members) < 0.6, 10**9, first + rng.integers(0, n_steps, n_members)
        ),
        plant_pv=np.arange(n_plants),
        plant_member=plant_member,
        plant_kw=rng.choice([5.0, 150.0, 450.0, 900.0], n_plants),
        plant_entered_day=rng.choice([17000, 18000, 19000], n_plants),
        plant_grant_share=rng.choice([0.0, 0.2, 0.4], n_plants),
    )


def make_run(rng: np.random.Generator, communities: Communities, n_steps: int) -> Arrays:
    n_homes, n_pv = communities.n_members, len(communities.plant_pv)
    power = rng.normal(size=(n_steps, n_homes)) * 5 * (rng.random((n_steps, n_homes)) < 0.8)
    pv = -np.abs(rng.normal(size=(n_steps, n_pv))) * (rng.random((n_steps, n_pv)) < 0.7)
    prices = {f"feeder.price_{way}_eur_kwh": rng.random((n_steps, 1)) for way in ("import", "export")}
    arrays = {"home.p_kw": power, "pv.p_kw": pv} | prices
    return {key: array.astype(np.float32) for key, array in arrays.items()}


def metered(
    communities: Communities,
    arrays: Arrays,
    *,
    dt_s: int = 900,
    start_utc_s: int = 1528063200,
    cuts: Sequence[int] = (),
) -> tuple[HourlyMeters, MeterTotals]:
    n_steps = len(arrays["home.p_kw"])
    accumulator = MeterAccumulator(
        communities,
        dt_s=dt_s,
        start_utc_s=start_utc_s,
        n_steps=n_steps,
        pv_home=communities.member_home[communities.plant_member],
    )
    for first, last in pairwise(sorted({0, *cuts, n_steps})):
        accumulator.add(
            Chunk(first_step=first, arrays={key: array[first:last] for key, array in arrays.items()})
        )
    return accumulator.hourly(), accumulator.totals()


def settled(
    communities: Communities,
    meters: HourlyMeters,
    totals: MeterTotals,
    *,
    rules: Rules,
    pooled: Pooled,
    splits: SplitRules = PLAIN,
    seed: int = 0,
) -> Settlement:
    rng = np.random.default_rng(seed)
    n_hours = len(meters.hour_start_utc_s)
    return settle(
        communities,
        meters,
        rules=rules,
        valorisation=Valorisation(),
        splits=splits,
        money=MemberMoney(
            bill_eur=totals.energy_cost_eur,
            sale_eur=totals.sale_eur,
            peak_kw=totals.peak_kw,
            over_contract_h=totals.over_contract_h,
        ),
        zone_price_eur_mwh=rng.uniform(0, 300, n_hours),
        co2_kg_kwh=rng.uniform(0.1, 0.5, n_hours),
        home_name=[f"home{i}" for i in range(communities.n_members)],
        pv_name=[f"pv{i}" for i in range(len(communities.plant_pv))],
        pooled=pooled,
    )


RULES = st.sampled_from([FlatRules(), CacerRules(regional_eur_mwh=10.0)])
POOLED = st.sampled_from(["community", "cp"])
SPLITS = st.builds(
    SplitRules,
    attribution=st.sampled_from(sorted(ATTRIBUTION)),
    member_split=st.sampled_from(sorted(MEMBER_SPLIT)),
    producer_share=st.floats(0, 1),
)


def case_of(seed: int, n_steps: int = 40) -> tuple[Communities, HourlyMeters, MeterTotals]:
    rng = np.random.default_rng(seed)
    communities = make_communities(rng, n_steps)
    return communities, *metered(communities, make_run(rng, communities, n_steps))


@settings(max_examples=60)
@given(SEEDS, RULES, POOLED, SPLITS)
def test_members_and_plants_get_exactly_what_their_community_gets(
    seed: int, rules: Rules, pooled: Pooled, splits: SplitRules
) -> None:
    communities, meters, totals = case_of(seed)
    found = settled(communities, meters, totals, rules=rules, pooled=pooled, splits=splits, seed=seed)
    for line in found.communities:
        members = [member for member in found.members if member.community == line.name]
        for name, kept in (
            ("shared_kwh", 0.0),
            ("incentive_eur", line.social_kept_eur),
            ("valorisation_eur", 0.0),
            ("withdrawn_kwh", 0.0),
            ("injected_kwh", 0.0),
            ("bill_eur", 0.0),
            ("sale_eur", 0.0),
            ("co2_kg", 0.0),
            ("net_eur", -line.social_kept_eur),
        ):
            total = sum(getattr(member, name) for member in members) + kept
            np.testing.assert_allclose(total, getattr(line, name), **CLOSE, err_msg=name)
        assert 0 <= line.social_kept_eur <= line.social_eur <= line.incentive_eur
    for name in ("shared_kwh", "incentive_eur"):
        by_plants = sum(getattr(plant, name) for plant in found.plants)
        np.testing.assert_allclose(
            by_plants, sum(getattr(line, name) for line in found.communities), **CLOSE, err_msg=name
        )
    assert all(plant.shared_kwh <= plant.injected_kwh * (1 + 1e-12) for plant in found.plants)


@settings(max_examples=40)
@given(SEEDS, RULES, SPLITS)
def test_a_pool_pays_every_community_at_least_what_it_gets_alone(
    seed: int, rules: Rules, splits: SplitRules
) -> None:
    communities, meters, totals = case_of(seed)
    alone, pool = (
        settled(communities, meters, totals, rules=rules, pooled=pooled, splits=splits, seed=seed)
        for pooled in ("community", "cp")
    )
    for before, after in zip(alone.communities, pool.communities, strict=True):
        assert after.shared_kwh >= before.shared_kwh == after.own_shared_kwh
        assert after.incentive_eur >= before.incentive_eur * (1 - 1e-12)
        assert after.valorisation_eur >= before.valorisation_eur * (1 - 1e-12)
    for area in pool.areas[:-1]:
        paid = sum(line.shared_kwh for line in pool.communities if line.cp == area.name)
        np.testing.assert_allclose(paid, area.shared_kwh, **CLOSE)
    by_level = sum(line.shared_kwh for line in alone.communities), sum(a.shared_kwh for a in pool.areas[:-1])
    assert by_level[0] <= by_level[1] * (1 + 1e-12)
    assert by_level[1] <= pool.areas[-1].shared_kwh * (1 + 1e-12)


@settings(max_examples=40)
@given(SEEDS, RULES, POOLED, SPLITS)
def test_who_is_no_member_gets_nothing(seed: int, rules: Rules, pooled: Pooled, splits: SplitRules) -> None:
    communities, meters, totals = case_of(seed)
    found = settled(communities, meters, totals, rules=rules, pooled=pooled, splits=splits, seed=seed)
    never = communities.member_first_step >= communities.member_end_step
    for line, out in zip(found.members, never, strict=True):
        if out:
            assert line.withdrawn_kwh == line.injected_kwh == line.shared_kwh == 0.0
            assert line.incentive_eur == line.valorisation_eur == line.co2_kg == 0.0


@settings(max_examples=40)
@given(
    SEEDS,
    st.sampled_from([60, 180, 300, 900]),
    st.integers(1, 200),
    st.sampled_from([0, 900, 2700]),
    st.data(),
)
def test_cutting_a_run_into_other_chunks_does_not_change_a_bit(
    seed: int, dt_s: int, n_steps: int, offset_s: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    communities = make_communities(rng, n_steps)
    arrays = make_run(rng, communities, n_steps)
    cuts = data.draw(st.lists(st.integers(1, n_steps), max_size=12))
    start = 1528063200 + offset_s
    whole = metered(communities, arrays, dt_s=dt_s, start_utc_s=start)
    cut = metered(communities, arrays, dt_s=dt_s, start_utc_s=start, cuts=cuts)
    for before, after in zip(whole, cut, strict=True):
        for name, values in vars(before).items():
            np.testing.assert_array_equal(getattr(after, name), values, err_msg=name)
    results = [
        settled(communities, *readings, rules=CacerRules(), pooled="cp", seed=seed)
        for readings in (whole, cut)
    ]
    assert results[0] == results[1]


@settings(max_examples=40)
@given(SEEDS, RULES, POOLED, SPLITS)
def test_the_order_of_members_and_plants_does_not_matter(
    seed: int, rules: Rules, pooled: Pooled, splits: SplitRules
) -> None:
    communities, meters, totals = case_of(seed)
    # of two plants that entered service on one day the first in the scenario counts as older
    communities = replace(communities, plant_entered_day=np.arange(len(communities.plant_pv))[::-1].copy())
    rng = np.random.default_rng(seed + 1)
    member = rng.permutation(communities.n_members)
    plant = rng.permutation(len(communities.plant_pv))
    by_member: dict[str, Any] = {
        name: np.array(getattr(communities, name))[member]
        for name in vars(communities)
        if name.startswith("member_") and len(getattr(communities, name))
    }
    by_plant: dict[str, Any] = {
        name: getattr(communities, name)[plant]
        for name in ("plant_pv", "plant_kw", "plant_entered_day", "plant_grant_share")
    }
    moved_to = np.argsort(member)[communities.plant_member]
    shuffled = replace(communities, **by_member, plant_member=moved_to[plant], **by_plant)
    assert meters.active is not None
    readings = HourlyMeters(
        hour_start_utc_s=meters.hour_start_utc_s,
        injected_kwh=meters.injected_kwh[:, member],
        withdrawn_kwh=meters.withdrawn_kwh[:, member],
        plant_injected_kwh=meters.plant_injected_kwh[:, plant],
        active=meters.active[:, member],
    )
    permuted = replace(totals, **{name: values[member] for name, values in vars(totals).items()})
    before = settled(communities, meters, totals, rules=rules, pooled=pooled, splits=splits, seed=seed)
    after = settled(shuffled, readings, permuted, rules=rules, pooled=pooled, splits=splits, seed=seed)
    for name in ("incentive_eur", "shared_kwh", "sale_eur"):
        for lines, others, key in (
            (before.members, after.members, "home"),
            (before.plants, after.plants, "name"),
        ):
            found = {getattr(line, key): getattr(line, name) for line in others}
            for line in lines:
                assert found[getattr(line, key)] == pytest.approx(getattr(line, name), rel=1e-9, abs=1e-12)


@settings(max_examples=30)
@given(
    st.dates(date(2018, 1, 1), date(2019, 12, 30)),
    st.integers(1, 3),
    SEEDS,
)
@example(date(2018, 3, 25), 1, 0)
@example(date(2018, 10, 28), 1, 0)
@example(date(2018, 10, 27), 3, 0)
def test_every_local_day_has_its_hours_and_loses_no_energy(day: date, n_days: int, seed: int) -> None:
    start, end = utc_s(day), utc_s(day + timedelta(days=n_days))
    n_steps = (end - start) // 900
    rng = np.random.default_rng(seed)
    communities = replace(
        make_communities(rng, n_steps),
        member_first_step=np.zeros(9, int),
        member_end_step=np.full(9, n_steps),
    )
    arrays = make_run(rng, communities, n_steps)
    meters, totals = metered(communities, arrays, start_utc_s=start)
    times = [local_time(s) for s in meters.hour_start_utc_s]
    assert len(times) == n_steps // 4
    assert [at.minute for at in times] == [0] * len(times)
    assert (times[0].hour, times[-1].hour) == (0, 23)
    # every clock hour of every day once, but for the one that is skipped or comes twice
    per_day = np.unique([at.date().toordinal() for at in times], return_counts=True)[1]
    changes = {utc_s(day + timedelta(days=k + 1)) - utc_s(day + timedelta(days=k)) for k in range(n_days)}
    assert {3600 * int(count) for count in per_day} == changes
    net_kwh = arrays["home.p_kw"].astype(float).sum(axis=0)[communities.member_home] / 4
    metered_kwh = (meters.withdrawn_kwh - meters.injected_kwh).sum(axis=0)
    np.testing.assert_allclose(metered_kwh, net_kwh, rtol=1e-12, atol=1e-9)
    found = settled(communities, meters, totals, rules=FlatRules(), pooled="community")
    own = shared_kwh(
        np.where(np.isin(np.arange(9), communities.plant_member), meters.injected_kwh, 0.0),
        meters.withdrawn_kwh,
        communities.member_community,
        3,
    )
    np.testing.assert_allclose([line.shared_kwh for line in found.communities], own.sum(axis=0), **CLOSE)
