"""Planning CEMS and aggregator: who is planned, when, and what travels to the homes."""

from dataclasses import replace

import numpy as np
import pytest
from planned_members import HOUR, day, known, observation, plant, run, settled

from twin.control.community_mpc import AggregatorMpc, AggregatorMsdMpc, CemsMpc
from twin.control.forecast import forecast_kind, forecast_noise, make_forecast
from twin.control.management.guidance import Priority, no_guidance
from twin.control.management.levels import level_of, settles_of
from twin.control.planning.planner import Planner, PlannerOptions
from twin.control.rules import self_consumption_kw


def planner(site, *, pools=None, priority=Priority.ADVICE, **options):
    pools = np.arange(site.communities.n_communities) if pools is None else np.asarray(pools)
    return Planner(site, pool_of_community=pools, priority=priority, options=PlannerOptions(**options))


def paid_eur(site, done, *, worth_eur_kwh):
    """Return all bills less the worth of what is left and the value of what was shared, hour by hour."""
    left_kwh = float(done.soc[-1] @ site.battery.capacity_kwh)
    earned_eur = float(site.shared_value_eur_kwh @ settled(site, done).shared_kwh.sum(axis=0))
    return float(done.cost_eur.sum()) - worth_eur_kwh * left_kwh - earned_eur


# Home 1 has 2 kW of surplus in hour 1, home 2 draws 2 kW in hour 2, home 0 has the only battery. A kWh drawn in hour 1
# costs 0.30 and one fed in later earns 0.10; each is shared, at 0.15: 2 * 0.15 > 0.30 - 0.95^2 * 0.10 - ..., so it pays.
@pytest.mark.parametrize(("value", "moved_kwh"), [(0.15, 2.0), (0.05, 0.0)])
@pytest.mark.parametrize("joint_up_to_homes", [0, 32])
def test_a_battery_serves_its_neighbours_where_sharing_pays(value, moved_kwh, joint_up_to_homes):
    net_kw = np.array([[0, -2, 0], [0, -2, 0], [0, 0, 2], [0, 0, 2]])
    site = plant(n_steps=4, battery_home=(0,), value=value)
    how = {"terminal_price_eur_kwh": 0.0, "joint_up_to_homes": joint_up_to_homes}
    done = run(CemsMpc(site, **how), site, known(net_kw), soc=0.0)
    assert np.maximum(done.grid_kw[:2, 0], 0.0).sum() * 0.5 == pytest.approx(moved_kwh, abs=1e-6)
    assert -done.grid_kw[2:, 0].sum() * 0.5 == pytest.approx(moved_kwh * 0.95**2, abs=1e-6)


def test_communities_help_each_other_only_under_an_aggregator():
    net_kw = np.array([[0, -2, 0], [0, -2, 0], [0, 0, 2], [0, 0, 2]])
    site = plant(n_steps=4, community=(0, 1, 1), cp=(0, 0), battery_home=(0,), value=0.15)
    alone = run(CemsMpc(site, terminal_price_eur_kwh=0.0), site, known(net_kw), soc=0.0)
    pooled = run(AggregatorMpc(site, terminal_price_eur_kwh=0.0), site, known(net_kw), soc=0.0)
    assert np.all(alone.grid_kw[:, 0] == 0.0)
    assert pooled.grid_kw[:2, 0].sum() * 0.5 == pytest.approx(2.0, abs=1e-6)


@pytest.mark.parametrize(("joint_up_to_homes", "gap"), [(0, 1e-4), (2, 0.0)])
def test_every_plan_knows_its_gap(joint_up_to_homes, gap):
    site = plant()
    controller = CemsMpc(site, gap=1e-4, joint_up_to_homes=joint_up_to_homes)
    run(controller, site, known(day(24, 3)))
    assert [record.step for record in controller.planner.records] == list(range(0, 24, 2))
    assert all(record.gap <= gap and record.homes == 2 for record in controller.planner.records)


@pytest.mark.parametrize(
    ("start_s", "replan_every_h", "expected"),
    [
        (0, 1.0, [0, 2, 4, 6]),
        (1800, 1.0, [0, 1, 3, 5, 7]),
        (0, 0.5, [0, 1, 2, 3, 4, 5, 6, 7]),
        (1800, 2.0, [0, 3, 7]),
    ],
    ids=[
        "every hour",
        "first plan in the middle of an hour",
        "every step",
        "every other hour, counted in UTC",
    ],
)
def test_plans_begin_with_an_hour(start_s, replan_every_h, expected):
    site = plant(n_steps=8, start_utc_s=HOUR + start_s)
    controller = CemsMpc(site, horizon_h=4.0, replan_every_h=replan_every_h)
    run(controller, site, known(day(8, 3)))
    assert [record.step for record in controller.planner.records] == expected


def test_a_set_point_for_a_member_with_a_delay_is_that_of_the_step_it_arrives_in():
    twins = {"community": (0, 1), "cp": (0, 0), "member_delay_steps": np.array([1, 0])}
    site = plant(n_steps=12, **twins)
    future = known(np.tile(day(12, 1), 2))
    guide = planner(site, replan_every_h=4.0)
    asked = [
        guide.guide(observation(site, future, step=step, soc=0.5), no_guidance(site)) for step in range(4)
    ]
    ahead_kw = [found.battery_kw[0] for found in asked[:3]]
    assert ahead_kw == [found.battery_kw[1] for found in asked[1:]]
    assert len(set(ahead_kw)) > 1
    assert [found.planned_net_kw[0] for found in asked[:3]] == [
        found.planned_net_kw[1] for found in asked[1:]
    ]


def test_members_that_are_late_are_planned_from_where_their_batteries_are_by_then():
    net_kw = day(24, 3)
    late = plant(member_delay_steps=np.array([1, 0, 0]))
    controller = CemsMpc(late, terminal_price_eur_kwh=0.15)
    done = run(controller, late, known(net_kw))
    prompt = run(CemsMpc(plant(), terminal_price_eur_kwh=0.15), plant(), known(net_kw))
    assert controller.planner.records[0].homes == 1
    assert all(record.homes == 2 for record in controller.planner.records[1:])

    late_eur, prompt_eur = (paid_eur(late, each, worth_eur_kwh=0.15) for each in (done, prompt))
    assert prompt_eur - 1e-3 <= late_eur <= prompt_eur + 0.15


def test_a_member_that_falls_silent_serves_itself_once_its_last_message_has_expired():
    site = plant(silent=np.array([[0, 8, 24]]))
    net_kw = day(24, 3)
    controller = CemsMpc(site)
    done = run(controller, site, known(net_kw))
    for step in range(10, 24):
        own_kw = self_consumption_kw(site, net_kw[step], soc=done.soc[step])
        assert done.battery_kw[step, 0] == own_kw[0]
    homes = {record.step: record.homes for record in controller.planner.records}
    assert homes[8] == 2  # its reading of the step before is still good
    assert homes[10] == 1


def test_a_silent_member_still_counts_with_what_it_was_forecast_to_do():
    # home 0 without a battery has the surplus that home 1 stores, and falls silent before it comes
    net_kw = np.zeros((12, 3))
    net_kw[6:8, 0], net_kw[8:10, 2] = -2.0, 2.0
    site = plant(n_steps=12, battery_home=(1,), value=0.15, silent=np.array([[0, 4, 12]]))
    done = run(CemsMpc(site, terminal_price_eur_kwh=0.0), site, known(net_kw), soc=0.0)
    assert np.maximum(done.battery_kw[6:8, 0], 0.0).sum() * 0.5 == pytest.approx(2.0, abs=1e-6)


def test_a_member_that_opted_out_is_not_there():
    net_kw = np.zeros((12, 3))
    net_kw[6:8, 0], net_kw[8:10, 2] = -2.0, 2.0
    opted_out = np.array([True, False, False])
    site = plant(n_steps=12, battery_home=(1,), value=0.15, member_opted_out=opted_out)
    done = run(CemsMpc(site, terminal_price_eur_kwh=0.0), site, known(net_kw), soc=0.0)
    assert np.all(done.battery_kw == 0.0)


def test_members_come_and_go():
    site = plant(member_first_step=np.array([0, 6, 0]), member_end_step=np.array([12, 24, 24]))
    controller = CemsMpc(site)
    run(controller, site, known(day(24, 3)))
    homes = {record.step: record.homes for record in controller.planner.records}
    assert [homes[step] for step in (4, 6, 10, 12)] == [1, 2, 2, 1]


# With 9.5 kWh in the battery, a load of 4 kW elsewhere in the community, nothing of its own and energy worth nothing
# later, all above the reserve is given.
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_the_reserve_of_the_user_is_not_planned_away(share):
    net_kw = np.tile([0.0, 4.0, 4.0], (8, 1))
    reserve = np.array([share, 0.0, 0.0])
    site = plant(n_steps=8, battery_home=(0,), member_reserve_share=reserve)
    done = run(CemsMpc(site, terminal_price_eur_kwh=0.0), site, known(net_kw), soc=0.95)
    assert done.soc[-1, 0] == pytest.approx(share, abs=1e-6)


def test_a_home_that_a_higher_level_orders_is_left_to_it():
    site = plant(n_steps=8)
    ordered = replace(
        no_guidance(site),
        battery_kw=np.array([2.0, np.nan]),
        priority=np.array([Priority.ORDER, Priority.NONE, Priority.NONE]),
        expires_step=np.array([8, 0, 0]),
    )
    asked = planner(site).guide(observation(site, known(day(8, 3)), step=0, soc=0.5), ordered)
    assert np.isnan(asked.battery_kw[0])
    assert np.isfinite(asked.battery_kw[1])
    assert asked.priority.tolist() == [Priority.NONE, Priority.ADVICE, Priority.NONE]


def test_a_plan_keeps_to_the_bounds_at_the_meter_from_above():
    net_kw = np.tile([0.0, -4.0, 0.0], (8, 1))
    net_kw[4:, 1:] = 4.0
    site = plant(n_steps=8, battery_home=(0,), value=0.2)
    narrow = replace(
        no_guidance(site), grid_max_kw=np.array([1.0, np.inf, np.inf]), expires_step=np.full(3, 8)
    )
    for above, most_kw in ((no_guidance(site), 5.0), (narrow, 1.0)):
        guide = planner(site, terminal_price_eur_kwh=0.0, replan_every_h=4.0)
        asked_kw = [
            guide.guide(observation(site, known(net_kw), step=step, soc=0.0), above).battery_kw[0]
            for step in range(4)
        ]
        assert max(asked_kw) == pytest.approx(most_kw) if most_kw == 1.0 else max(asked_kw) > 1.0


def test_levels_say_what_they_are():
    site = plant()
    found = [
        (level_of(c), settles_of(c))
        for c in (kind(site) for kind in (CemsMpc, AggregatorMpc, AggregatorMsdMpc))
    ]
    assert found == [(2, "community"), (3, "cp"), (4, "cp")]


def test_orders_of_the_market_come_before_the_plan():
    site, net_kw = plant(), day(24, 3)
    orders = [{"start_h": 6.0, "duration_h": 1.0, "p_kw": -3.0}]
    served = run(AggregatorMsdMpc(site, orders=orders, reserve_up_share=0.0), site, known(net_kw), soc=0.9)
    rule_kw = np.array(
        [self_consumption_kw(site, net_kw[step], soc=served.soc[step]).sum() for step in (12, 13)]
    )
    assert served.battery_kw[12:14].sum(axis=1) == pytest.approx(rule_kw - 3.0)


def test_noise_is_the_same_for_the_same_seed_and_costs_something():
    site, net_kw = plant(), day(24, 3)

    def with_forecast(**options):
        controller = CemsMpc(site, terminal_price_eur_kwh=0.15, **options)
        perfect = known(net_kw)
        load_kw, pv_kw = perfect.window(0, 24)
        price_import, price_export = perfect.prices(0, 24)
        forecast = make_forecast(
            forecast_kind(controller),
            load_kw=load_kw,
            pv_kw=pv_kw,
            price_import_eur_kwh=price_import,
            price_export_eur_kwh=price_export,
            steps_per_day=48,
            noise=forecast_noise(controller),
        )
        done = run(controller, site, forecast)
        return paid_eur(site, done, worth_eur_kwh=0.15)

    noisy = {"forecast": "noisy", "forecast_error": 0.8, "caution_eur_kwh": 0.0}
    assert with_forecast(**noisy, forecast_seed=1) == with_forecast(**noisy, forecast_seed=1)
    assert with_forecast(**noisy, forecast_seed=1) != with_forecast(**noisy, forecast_seed=2)
    assert min(with_forecast(**noisy, forecast_seed=seed) for seed in range(4)) > with_forecast() - 1e-3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"horizon_h": 0.1}, "replan_every_h must be above 0 and at most horizon_h"),
        ({"horizon_h": 0.2, "replan_every_h": 0.2}, "horizon_h must be at least one step, 0.5 h"),
        ({"replan_every_h": 25.0}, "replan_every_h must be above 0 and at most horizon_h"),
        ({"valid_h": 0.0}, "valid_h must be above 0"),
        ({"objective": "fame"}, "objective must be value or shared"),
        ({"gap": 1.0}, "gap must be from 0 to below 1"),
        ({"joint_up_to_homes": -1}, "joint_up_to_homes must be at least 0"),
        ({"max_rounds": 0}, "max_rounds must be at least 1"),
        ({"forecast": "crystal"}, "forecast must be one of perfect, persistence, noisy"),
        ({"caution_eur_kwh": -1.0}, "caution_eur_kwh must be at least 0"),
        ({"terminal_price_eur_kwh": np.nan}, "terminal_price_eur_kwh must be finite"),
        ({"ems": "none"}, "ems must be one of self_consumption, mpc"),
        ({"hand_down": "hints"}, "hand_down must be set_points or prices"),
        (
            {"hand_down": "prices"},
            "hand_down: prices needs ems: mpc, because a home with ems: self_consumption does not look at prices",
        ),
        (
            {"hand_down": "prices", "ems": "mpc", "objective": "shared"},
            "hand_down: prices needs objective: value",
        ),
        (
            {"objective": "shared", "horizon_h": 26.0},
            r"at most 100 homes .*\(got 104\); use objective: value",
        ),
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        CemsMpc(plant(n_steps=60), **wrong)


@pytest.mark.parametrize("value", [np.zeros(0), np.array([-0.1]), np.array([np.nan])])
def test_a_missing_value_of_shared_energy_is_refused(value):
    with pytest.raises(
        ValueError, match="shared_value_eur_kwh: must be one number of at least 0 for each of 1"
    ):
        CemsMpc(replace(plant(), shared_value_eur_kwh=value))
