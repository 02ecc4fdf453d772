"""What sharing is worth under a planning level: plants, values of the communities, prices handed down to the homes."""

from dataclasses import replace

import numpy as np
import pytest
from planned_members import day, fleet, known, observation, plant, run, settled

from twin.community.sharing import shared_pooled
from twin.control.community_mpc import AggregatorMpc, CemsMpc
from twin.control.forecast import NoisyForecast
from twin.control.management.guidance import Priority, no_guidance
from twin.control.mpc import Mpc
from twin.control.planning.planner import Planner, PlannerOptions


def planner(site, **options):
    pools = np.arange(site.communities.n_communities)
    return Planner(site, pool_of_community=pools, priority=Priority.ADVICE, options=PlannerOptions(**options))


def shared_under_cp_kwh(site, done):
    """Return what the communities share where those under one CP are settled as one."""
    cp = site.communities.cp
    return float(shared_pooled(settled(site, done), cp, max(cp) + 1).paid_kwh.sum())


# Home 1 has 2 kW of surplus in hour 1, home 2 draws 2 kW in hour 2, home 0 has the only battery: moving a kWh for them pays
# at 0.15. Without a plant behind its meter what it feeds in is not shared, so it stays empty.
@pytest.mark.parametrize("joint_up_to_homes", [0, 32])
def test_a_battery_without_a_plant_is_not_planned_to_feed_in_for_others(joint_up_to_homes):
    net_kw = np.array([[0, -2, 0], [0, -2, 0], [0, 0, 2], [0, 0, 2]])
    site = plant(n_steps=4, battery_home=(0,), value=0.15, plant_member=np.array([1, 1, 2]))
    how = {"terminal_price_eur_kwh": 0.0, "joint_up_to_homes": joint_up_to_homes}
    done = run(CemsMpc(site, **how), site, known(net_kw), soc=0.0)
    assert done.grid_kw[:, 0] == pytest.approx(np.zeros(4), abs=1e-6)
    # a full one sells for 0.10 instead of 0.25: not while a kWh left is worth more
    how["terminal_price_eur_kwh"] = 0.12
    done = run(CemsMpc(site, **how), site, known(net_kw), soc=1.0)
    assert done.grid_kw[:, 0] == pytest.approx(np.zeros(4), abs=1e-6)
    everybody = plant(n_steps=4, battery_home=(0,), value=0.15)
    done = run(CemsMpc(everybody, **how), everybody, known(net_kw), soc=1.0)
    assert -done.grid_kw[2:, 0].sum() * 0.5 == pytest.approx(2.0, abs=1e-6)


def test_surplus_that_is_not_of_a_plant_of_the_community_is_not_stored_for_it():
    net_kw = np.array([[0, -2, 0], [0, -2, 0], [0, 0, 2], [0, 0, 2]])
    site = plant(n_steps=4, battery_home=(0,), value=0.15, plant_member=np.array([0, 0, 2]))
    done = run(CemsMpc(site, terminal_price_eur_kwh=0.0), site, known(net_kw), soc=0.0)
    assert np.all(done.grid_kw[:, 0] == 0.0)


# What a community shares by itself keeps its value under an aggregator: moving a kWh pays at 0.15 as in the first test,
# though a community beside it earns 0.05.
@pytest.mark.parametrize("joint_up_to_homes", [0, 32])
def test_an_aggregator_values_what_a_community_shares_by_itself_at_its_own_value(joint_up_to_homes):
    net_kw = np.array([[0, -2, 0, 0], [0, -2, 0, 0], [0, 0, 2, 0], [0, 0, 2, 0]])
    site = plant(n_steps=4, community=(0, 0, 0, 1), cp=(0, 0), battery_home=(0,))
    uneven = replace(site, shared_value_eur_kwh=np.array([0.15, 0.05]))
    how = {"terminal_price_eur_kwh": 0.0, "joint_up_to_homes": joint_up_to_homes}
    done = run(AggregatorMpc(uneven, **how), uneven, known(net_kw), soc=0.0)
    assert np.maximum(done.grid_kw[:2, 0], 0.0).sum() * 0.5 == pytest.approx(2.0, abs=1e-6)


# Community 0 has 1 kWh of surplus in hour 1, a need of 1 kWh in hour 2 and a battery without losses; community 1 needs
# 1 kWh in hour 1. Moving a kWh costs 0.27 - 0.10 = 0.17. Alone, community 0 shares it twice, in both hours: 2 * 0.13. As
# one, both share the surplus in hour 1 anyway, and moving it earns 0.13 in hour 2 only: too little.
def test_an_aggregator_may_share_less_than_the_level_below_and_earn_more():
    net_kw = np.array([[0, -1, 0, 1], [0, -1, 0, 1], [0, 0, 1, 0], [0, 0, 1, 0]])
    site = plant(n_steps=4, community=(0, 0, 0, 1), cp=(0, 0), battery_home=(0,), value=0.13)
    site = replace(site, battery=fleet(1, eta_charge=1.0, eta_discharge=1.0))
    future = known(net_kw, price_import=0.27)

    def found(kind, **options):
        done = run(kind(site, terminal_price_eur_kwh=0.0, **options), site, future, soc=0.0)
        shared_kwh = shared_under_cp_kwh(site, done)
        idle_eur = 0.27 * 2.0 - 0.10 * 1.0
        return shared_kwh, 0.13 * shared_kwh - (float(done.cost_eur.sum()) - idle_eur)

    assert found(CemsMpc) == pytest.approx((2.0, 2 * 0.13 - 0.17), abs=1e-6)
    assert found(AggregatorMpc) == pytest.approx((1.0, 0.13), abs=1e-6)
    assert found(AggregatorMpc, objective="shared")[0] >= 2.0


def test_an_aggregator_counts_on_the_smallest_value_of_its_communities_for_what_passes_between_them():
    net_kw = np.array([[0, -2, 0], [0, -2, 0], [0, 0, 2], [0, 0, 2]])
    site = plant(n_steps=4, community=(0, 1, 1), cp=(0, 0), battery_home=(0,))
    cautious = replace(site, shared_value_eur_kwh=np.array([0.15, 0.05]))
    done = run(AggregatorMpc(cautious, terminal_price_eur_kwh=0.0), cautious, known(net_kw), soc=0.0)
    assert np.all(done.grid_kw[:, 0] == 0.0)


# Home 1 has more surplus in hour 2 than the battery of home 0 can take, home 2 lacks more in hour 3 than it can give: what
# the battery draws in hour 2 is worth 0.15, what it feeds in in hour 3, too. To its own EMS a stored kWh is worth
# 0.95 * (0.30 + 0.10) / 2 = 0.19: 0.95 * 0.19 is less than the 0.30 of a kWh drawn, and more than 0.30 - 0.15; 0.19 is
# more than 0.95 * 0.10 for a kWh fed in, and less than 0.95 * (0.10 + 0.15).
PRICED_KW = np.array([[0, 0, 0], [0, 0, 0], [0, -20, 0], [0, -20, 0], [0, 0, 20], [0, 0, 20]])
CHARGE_KW, EMPTIED_KW = 5.0, -2 * 2.375 * 0.95 / 0.5


def test_prices_handed_down_are_what_a_kwh_is_worth_to_the_community_in_the_present_hour():
    site = plant(n_steps=6, battery_home=(0, 2), value=0.15, plant_member=np.array([0, 1, 1]))
    guide = planner(site, hand_down="prices", terminal_price_eur_kwh=0.19)
    asked = [
        guide.guide(observation(site, known(PRICED_KW), step=step, soc=0.3), no_guidance(site))
        for step in range(6)
    ]
    assert np.isnan([found.battery_kw for found in asked]).all()
    for step in (2, 3):  # withdrawal is scarce; home 1 without a battery has nothing to plan
        assert asked[step].import_bonus_eur_kwh == pytest.approx([0.15, 0.0, 0.15])
        assert asked[step].export_bonus_eur_kwh == pytest.approx([0.0, 0.0, 0.0])
    for step in (4, 5):  # injection is scarce; home 2 has no plant
        assert asked[step].import_bonus_eur_kwh == pytest.approx([0.0, 0.0, 0.0])
        assert asked[step].export_bonus_eur_kwh == pytest.approx([0.15, 0.0, 0.0])
    assert [found.expires_step[0] for found in asked] == [2, 2, 4, 4, 6, 6]  # not beyond the hour
    assert asked[2].priority.tolist() == [Priority.ADVICE, Priority.NONE, Priority.ADVICE]


def test_a_price_for_a_member_with_a_delay_is_that_of_the_hour_it_arrives_in():
    site = plant(n_steps=6, battery_home=(0,), value=0.15, member_delay_steps=np.array([1, 0, 0]))
    guide = planner(site, hand_down="prices", terminal_price_eur_kwh=0.19, replan_every_h=3.0)
    asked = [
        guide.guide(observation(site, known(PRICED_KW), step=step, soc=0.3), no_guidance(site))
        for step in range(5)
    ]
    assert [found.import_bonus_eur_kwh[0] for found in asked[1:]] == pytest.approx([0.15, 0.15, 0.0, 0.0])
    assert [found.export_bonus_eur_kwh[0] for found in asked[1:]] == pytest.approx([0.0, 0.0, 0.15, 0.15])
    assert [found.expires_step[0] for found in asked] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("members", "expected_kw"),
    [
        ({}, [0.0, 0.0, CHARGE_KW, CHARGE_KW, -5.0, EMPTIED_KW + 5.0]),
        # what is sent in step 2 arrives in step 3
        ({"member_delay_steps": np.array([1, 0, 0])}, [0.0, 0.0, 0.0, CHARGE_KW, EMPTIED_KW / 2, 0.0]),
        # the last message holds to the end of its hour, then the home's own prices count
        ({"silent": np.array([[0, 3, 6]])}, [0.0, 0.0, CHARGE_KW, CHARGE_KW, 0.0, 0.0]),
        ({"member_opted_out": np.array([True, False, False])}, np.zeros(6)),
    ],
    ids=["heard", "late", "silent", "opted out"],
)
def test_a_home_plans_with_the_prices_it_has_been_handed_until_they_expire(members, expected_kw):
    site = plant(n_steps=6, battery_home=(0,), value=0.15, **members)
    done = run(CemsMpc(site, ems="mpc", hand_down="prices"), site, known(PRICED_KW), soc=0.0)
    charged, given = (np.maximum(sign * done.battery_kw[:, 0], 0.0) for sign in (1.0, -1.0))
    expected_kw = np.asarray(expected_kw)
    assert charged == pytest.approx(np.maximum(expected_kw, 0.0), abs=1e-6)
    # in which step of its hour it gives is the same to it
    given_kw, expected_given_kw = (
        each.reshape(3, 2).sum(axis=1) for each in (given, np.maximum(-expected_kw, 0.0))
    )
    assert given_kw == pytest.approx(expected_given_kw, abs=1e-6)


def test_without_value_prices_leave_every_home_its_own_plan_to_the_last_bit():
    site, net_kw = plant(value=0.0), day(24, 3)
    priced = run(CemsMpc(site, ems="mpc", hand_down="prices"), site, known(net_kw))
    assert priced.battery_kw.tobytes() == run(Mpc(site), site, known(net_kw)).battery_kw.tobytes()


def test_a_home_keeps_the_reserve_of_its_user_whatever_prices_it_is_handed():
    reserve = np.array([0.6, 0.0, 0.0])
    site = plant(n_steps=6, battery_home=(0,), value=0.15, member_reserve_share=reserve)
    done = run(CemsMpc(site, ems="mpc", hand_down="prices"), site, known(PRICED_KW), soc=0.5)
    assert done.soc[4, 0] > 0.9
    assert done.soc[-1, 0] == pytest.approx(0.6, abs=1e-6)


def test_prices_for_one_home_do_not_make_the_others_plan_again():
    # both fill up while energy is cheap for what they are forecast to need later, and the forecast changes every step
    site, net_kw = plant(n_steps=12, battery_home=(0, 1)), np.full((12, 3), 1.0)
    guess = NoisyForecast(
        load_kw=np.maximum(net_kw, 0.0),
        pv_kw=np.minimum(net_kw, 0.0),
        price_import_eur_kwh=np.where(np.arange(12) < 6, 0.2, 0.5),
        price_export_eur_kwh=np.full(12, 0.1),
        steps_per_day=48,
        seed=1,
        error=1.0,
    )
    prices = replace(
        no_guidance(site), import_bonus_eur_kwh=np.array([0.1, 0.0, 0.0]), expires_step=np.full(3, 4)
    )

    def chosen_kw(priced_steps):
        plan = Mpc(site, horizon_h=5.0, replan_every_h=4.0)
        return np.array(
            [
                plan.guided_kw(
                    observation(site, guess, step=step, soc=0.5),
                    prices if step in priced_steps else no_guidance(site),
                )
                for step in range(12)
            ]
        )

    plain_kw, priced_kw = chosen_kw(()), chosen_kw((2, 3))
    assert plain_kw[:, 1].tobytes() == priced_kw[:, 1].tobytes()
    assert priced_kw[:2, 0].tobytes() == plain_kw[:2, 0].tobytes()
    assert priced_kw[2, 0] > plain_kw[2, 0] + 1.0


def test_without_value_every_home_follows_its_own_cheapest_plan():
    site, net_kw = plant(value=0.0), day(24, 3)
    planned = run(CemsMpc(site), site, known(net_kw))
    alone = run(Mpc(site), site, known(net_kw))
    assert planned.cost_eur.sum() == pytest.approx(alone.cost_eur.sum(), abs=1e-4)
