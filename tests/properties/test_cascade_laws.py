"""Laws of the levels above the homes, on random communities."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.battery import BatteryFleet, advance, clip_power_kw, power_limits_kw
from twin.control import Observation, Site, total_by
from twin.control.forecast import PerfectForecast
from twin.control.management.aggregator import AggregatorMsdStrategy, AggregatorStrategy
from twin.control.management.cascade import Cascade
from twin.control.management.cems import CemsStrategy
from twin.control.management.ems import reserve_soc
from twin.control.management.guidance import Priority, combine, no_guidance
from twin.control.rehearsal import rehearse
from twin.control.rules import SelfConsumption
from twin.members import Communities

N_HOMES, N_BATTERIES, CP = 9, 8, np.array([0, 1, 0])
seeds = st.integers(min_value=0, max_value=2**32 - 1)
LADDER = {
    "cems": CemsStrategy,
    "aggregator": AggregatorStrategy,
    "aggregator_msd": lambda site: AggregatorMsdStrategy(
        site,
        orders=[{"start_h": 2, "duration_h": 1, "p_kw": -4.0}, {"start_h": 4, "duration_h": 1, "p_kw": 3.0}],
    ),
}


class Anything:
    """A guide that asks for whatever comes to its mind."""

    def __init__(self, site, seed):
        self.site, self.rng = site, np.random.default_rng(seed)

    def guide(self, seen, above):
        rng, n_homes, n_batteries = self.rng, self.site.n_homes, self.site.battery.n
        low_kw = np.where(rng.random(n_homes) < 0.3, rng.uniform(-6, 3, n_homes), -np.inf)
        high_kw = np.where(rng.random(n_homes) < 0.3, rng.uniform(-3, 6, n_homes), np.inf)
        return replace(
            no_guidance(self.site),
            battery_kw=np.where(rng.random(n_batteries) < 0.6, rng.uniform(-9, 9, n_batteries), np.nan),
            planned_net_kw=np.where(rng.random(n_homes) < 0.5, rng.uniform(-6, 6, n_homes), np.nan),
            hold_soc=np.where(rng.random(n_batteries) < 0.3, rng.random(n_batteries), 0.0),
            grid_min_kw=np.minimum(low_kw, high_kw),
            grid_max_kw=high_kw,
            priority=rng.integers(0, 4, n_homes),
            expires_step=seen.step + rng.integers(0, 4, n_homes),
        )


class Watched:
    """Keeps, for each step, what was seen and what was asked."""

    def __init__(self, controller):
        self.controller, self.steps = controller, []

    def decide(self, seen):
        proposal = self.controller.decide(seen)
        self.steps.append((seen, proposal.battery_kw.copy()))
        return proposal


def random_communities(rng, *, n_steps, troubled):
    """Return three configurations under two CPs; home 8 is in none of them."""
    n_members = N_HOMES - 1
    delay = rng.integers(0, 4, n_members) if troubled else np.zeros(n_members, dtype=np.int64)
    first = rng.integers(0, n_steps, (5, 1))
    silent = np.hstack([rng.integers(0, n_members, (5, 1)), first, first + rng.integers(1, 8, (5, 1))])
    member_home = rng.permutation(n_members)
    plant_member = np.flatnonzero(rng.random(n_members) < 0.7)
    return Communities(
        name=("a", "b", "c"),
        kind=("CER",) * 3,
        perimeter=("cp",) * 3,
        area=("x", "y", "x"),
        cp=CP,
        cp_name=("x", "y"),
        zone="NORD",
        member_home=member_home,
        member_community=rng.permutation(np.arange(n_members) % 3),
        member_kind=("household",) * n_members,
        member_role=("prosumer",) * n_members,
        member_contract_kw=np.full(n_members, 6.0),
        member_invest_eur=np.zeros(n_members),
        member_first_step=np.zeros(n_members, dtype=np.int64),
        member_end_step=rng.choice([n_steps, n_steps // 2], n_members)
        if troubled
        else np.full(n_members, n_steps),
        member_opted_out=rng.random(n_members) < (0.25 if troubled else 0.0),
        member_reserve_share=rng.choice([0.0, 0.3, 1.0], n_members),
        member_delay_steps=delay,
        silent=silent if troubled else np.zeros((0, 3), dtype=np.int64),
        plant_pv=member_home[plant_member],
        plant_member=plant_member,
        plant_kw=np.full(len(plant_member), 6.0),
        plant_entered_day=np.zeros(len(plant_member), dtype=np.int64),
        plant_grant_share=np.zeros(len(plant_member)),
    )


def random_site(rng, *, dt_s=900, n_steps=24, troubled=True):
    n = N_BATTERIES
    fleet = BatteryFleet(
        capacity_kwh=rng.uniform(1.0, 15.0, n),
        charge_kw=rng.uniform(0.5, 6.0, n),
        discharge_kw=rng.uniform(0.5, 6.0, n),
        eta_charge=rng.uniform(0.8, 1.0, n),
        eta_discharge=rng.uniform(0.8, 1.0, n),
        soc_min=rng.uniform(0.0, 0.3, n),
        soc_max=rng.uniform(0.6, 1.0, n),
        loss_per_day=rng.choice([0.0, 0.01], n),
    )
    return Site(
        dt_s=dt_s,
        n_steps=n_steps,
        steps_per_day=86400 // dt_s,
        home_name=tuple(f"home {i}" for i in range(N_HOMES)),
        pv_home=np.arange(N_HOMES),
        pv_rated_kw=np.full(N_HOMES, 6.0),
        battery_home=rng.integers(0, N_HOMES, n),
        battery=fleet,
        start_utc_s=int(rng.integers(0, 96)) * 900,
        communities=random_communities(rng, n_steps=n_steps, troubled=troubled),
    )


def random_data(rng, site):
    load_kw = rng.gamma(1.0, 1.2, (site.n_steps, N_HOMES))
    pv_kw = -rng.gamma(1.0, 1.5, (site.n_steps, N_HOMES)) * rng.choice([0.0, 1.0], N_HOMES)
    return load_kw, pv_kw, rng.uniform(site.battery.soc_min, site.battery.soc_max)


def play(controller, site, load_kw, pv_kw, soc):
    prices = np.full(len(load_kw), 0.2)
    known = PerfectForecast(
        load_kw=load_kw, pv_kw=pv_kw, price_import_eur_kwh=prices, price_export_eur_kwh=prices
    )
    watched = Watched(controller)
    done = rehearse(watched, site, pv_available_kw=pv_kw, soc_start=soc, forecast=known)
    return done, watched.steps


@pytest.mark.parametrize("name", [*LADDER, "anything"])
@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_devices_and_users_come_first_and_who_is_not_in_it_is_not_touched(name, seed):
    rng = np.random.default_rng(seed)
    site = random_site(rng)
    controller = Cascade(site, guides=(Anything(site, seed),)) if name == "anything" else LADDER[name](site)
    _, steps = play(controller, site, *random_data(rng, site))
    fleet, home, alone = site.battery, site.battery_home, SelfConsumption(site)
    communities, reserve = site.communities, reserve_soc(site)
    for seen, asked_kw in steps:
        own_kw = alone.decide(seen).battery_kw
        assert clip_power_kw(fleet, seen.soc, asked_kw, site.dt_s) == pytest.approx(asked_kw, abs=1e-12)
        after, _ = advance(fleet, seen.soc, asked_kw, site.dt_s)
        after_alone, _ = advance(fleet, seen.soc, own_kw, site.dt_s)
        assert np.all(after >= np.minimum(reserve, after_alone) - 1e-9), (
            "the user's reserve is for the own home"
        )
        inside = np.zeros(N_HOMES, dtype=bool)
        inside[communities.member_home[communities.active(seen.step) & ~communities.member_opted_out]] = True
        assert asked_kw[~inside[home]].tobytes() == own_kw[~inside[home]].tobytes()


@pytest.mark.parametrize("name", list(LADDER))
@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_a_community_that_is_not_heard_of_behaves_as_its_homes_do_alone(name, seed):
    rng = np.random.default_rng(seed)
    site = random_site(rng)
    members = np.arange(site.communities.n_members)[:, None]
    silent = np.hstack([members, 0 * members, 0 * members + site.n_steps])
    mute = replace(site, communities=replace(site.communities, silent=silent))
    data = random_data(rng, site)
    managed, _ = play(LADDER[name](mute), mute, *data)
    alone, _ = play(SelfConsumption(mute), mute, *data)
    assert managed.battery_kw.tobytes() == alone.battery_kw.tobytes()


@pytest.mark.parametrize("name", ["cems", "aggregator"])
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_two_cps_never_interact(name, seed):
    rng = np.random.default_rng(seed)
    site = random_site(rng)
    load_kw, pv_kw, soc = random_data(rng, site)
    communities = site.communities
    homes = communities.member_home[CP[communities.member_community] == 0]
    others = np.setdiff1d(np.arange(N_HOMES), homes)
    other_load_kw, other_pv_kw, other_soc = random_data(rng, site)
    load2_kw, pv2_kw, soc2 = load_kw.copy(), pv_kw.copy(), soc.copy()
    load2_kw[:, others], pv2_kw[:, others] = other_load_kw[:, others], other_pv_kw[:, others]
    in_others = np.isin(site.battery_home, others)
    soc2[in_others] = other_soc[in_others]
    first, _ = play(LADDER[name](site), site, load_kw, pv_kw, soc)
    second, _ = play(LADDER[name](site), site, load2_kw, pv2_kw, soc2)
    assert first.battery_kw[:, ~in_others].tobytes() == second.battery_kw[:, ~in_others].tobytes()


def one_step(site, load_kw, pv_kw, soc):
    prices = np.ones(1)
    return Observation(
        step=0,
        time_s=0,
        load_kw=load_kw[0],
        pv_kw=pv_kw[0],
        soc=soc,
        vm_pu=np.full(N_HOMES, np.nan),
        grid_kw=np.full(N_HOMES, np.nan),
        price_import_eur_kwh=0.2,
        price_export_eur_kwh=0.1,
        forecast=PerfectForecast(
            load_kw=load_kw[:1], pv_kw=pv_kw[:1], price_import_eur_kwh=prices, price_export_eur_kwh=prices
        ),
    )


def flows_kw(site, seen, battery_kw, *, of_cp):
    """Return injected and withdrawn power of each configuration, or of each CP, as settled."""
    communities = site.communities
    group = CP[communities.member_community] if of_cp else communities.member_community
    meter_kw = (seen.load_kw + seen.pv_kw + total_by(site.battery_home, battery_kw, N_HOMES))[
        communities.member_home
    ]
    n = int(group.max()) + 1
    injected_kw = np.where(communities.member_has_plant, np.maximum(-meter_kw, 0.0), 0.0)
    return total_by(group, injected_kw, n), total_by(group, np.maximum(meter_kw, 0.0), n)


@settings(max_examples=150, deadline=None)
@given(seed=seeds)
def test_in_an_hour_each_level_shares_at_least_what_the_level_below_does(seed):
    rng = np.random.default_rng(seed)
    site = random_site(rng, dt_s=3600, troubled=False)
    seen = one_step(site, *random_data(rng, site))
    alone_kw, cems_kw, both_kw = (
        kind(site).decide(seen).battery_kw for kind in (SelfConsumption, CemsStrategy, AggregatorStrategy)
    )
    for of_cp in (False, True):
        levels = (alone_kw, cems_kw, both_kw)
        shared_kw = [np.minimum(*flows_kw(site, seen, battery_kw, of_cp=of_cp)) for battery_kw in levels]
        assert np.all(shared_kw[1] >= shared_kw[0] - 1e-9)
        assert np.all(shared_kw[2] >= shared_kw[1] - 1e-9)
    # never more than there is: the balance keeps its sign, in the community and in the CP
    for battery_kw, below_kw, of_cp in ((cems_kw, alone_kw, False), (both_kw, cems_kw, True)):
        injected_kw, withdrawn_kw = flows_kw(site, seen, battery_kw, of_cp=of_cp)
        before_kw = np.subtract(*flows_kw(site, seen, below_kw, of_cp=of_cp))
        after_kw = injected_kw - withdrawn_kw
        assert np.all(after_kw * np.sign(before_kw) >= -1e-9)
        assert np.all(np.abs(after_kw) <= np.abs(before_kw) + 1e-9)


@settings(max_examples=100, deadline=None)
@given(seed=seeds)
def test_in_an_hour_surplus_is_left_only_where_nothing_takes_it(seed):
    rng = np.random.default_rng(seed)
    site = random_site(rng, dt_s=3600, troubled=False)
    seen = one_step(site, *random_data(rng, site))
    battery_kw = AggregatorStrategy(site).decide(seen).battery_kw
    injected_kw, withdrawn_kw = flows_kw(site, seen, battery_kw, of_cp=True)
    _, highest_kw = power_limits_kw(site.battery, seen.soc, site.dt_s)
    alone_kw = SelfConsumption(site).decide(seen).battery_kw
    # homes that cover a deficit of their own community do not take surplus of another
    gives = total_by(site.battery_home, battery_kw - alone_kw, N_HOMES)[site.battery_home] < -1e-12
    takes = ~gives & (highest_kw > battery_kw + 1e-9)
    communities = site.communities
    community = communities.community_of_home(0, N_HOMES)[site.battery_home]
    for k in range(2):
        under = (community >= 0) & (CP[community] == k)
        assert injected_kw[k] <= withdrawn_kw[k] + 1e-9 or not np.any(takes & under)


@pytest.mark.parametrize("name", ["cems", "aggregator"])
@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_a_home_without_a_plant_never_gives_more_than_its_own_rule_does(name, seed):
    rng = np.random.default_rng(seed)
    site = random_site(rng)
    _, steps = play(LADDER[name](site), site, *random_data(rng, site))
    alone = SelfConsumption(site)
    no_plant = ~site.communities.home_has_plant(N_HOMES)
    for seen, asked_kw in steps:
        more_kw = total_by(site.battery_home, asked_kw - alone.decide(seen).battery_kw, N_HOMES)
        assert np.all(more_kw[no_plant] >= -1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=seeds)
def test_a_level_below_only_narrows(seed):
    rng = np.random.default_rng(seed)
    site = random_site(rng)
    seen = one_step(site, *random_data(rng, site))
    above, below = (Anything(site, seed + i).guide(seen, no_guidance(site)) for i in range(2))
    joined = combine(above, below, battery_home=site.battery_home)
    assert np.all(joined.grid_min_kw <= joined.grid_max_kw)
    wins = above.priority >= below.priority
    assert np.all(joined.grid_min_kw[wins] >= above.grid_min_kw[wins])
    assert np.all(joined.grid_max_kw[wins] <= above.grid_max_kw[wins])
    said = wins[site.battery_home] & ~np.isnan(above.battery_kw)
    assert np.array_equal(joined.battery_kw[said], above.battery_kw[said])
    assert np.all(joined.priority >= above.priority)
    # nothing holds longer than what it is made of
    both = (above.priority > Priority.NONE) & (below.priority > Priority.NONE)
    assert np.all(joined.expires_step[both] <= np.minimum(above.expires_step, below.expires_step)[both])


@pytest.mark.parametrize("name", list(LADDER))
@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_the_order_of_the_members_changes_nothing(name, seed):
    rng = np.random.default_rng(seed)
    site = random_site(rng)
    data = random_data(rng, site)
    communities, order = site.communities, rng.permutation(N_HOMES - 1)
    position = np.argsort(order)
    silent = communities.silent.copy()
    silent[:, 0] = position[silent[:, 0]]
    shuffled = replace(
        communities,
        silent=silent,
        plant_member=position[communities.plant_member],
        **{
            field: getattr(communities, field)[order]
            for field in (
                "member_home",
                "member_community",
                "member_first_step",
                "member_end_step",
                "member_opted_out",
                "member_reserve_share",
                "member_delay_steps",
            )
        },
    )
    other = replace(site, communities=shuffled)
    first, _ = play(LADDER[name](site), site, *data)
    second, _ = play(LADDER[name](other), other, *data)
    assert second.battery_kw == pytest.approx(first.battery_kw, abs=1e-9)
