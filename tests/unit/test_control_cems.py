"""CEMS, aggregator and market desk by rule, on cases worked by hand. Batteries: 10 kWh, 5 kW, no losses."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from twin.clock import ZONE, utc_s
from twin.control.management.aggregator import Aggregator, AggregatorMsdStrategy, AggregatorStrategy
from twin.control.management.balance import change_kw, steps_valid
from twin.control.management.cems import Cems, CemsStrategy
from twin.control.management.guidance import Priority, no_guidance
from twin.control.management.levels import level_of, settles_of
from twin.control.management.msd_hook import MsdHook, ScheduledDesk
from twin.control.rules import NoControl, PeakShaving, SelfConsumption
from twin.errors import InputError

QUARTER_S = 900


def shared_kwh(done, community, *, of_homes=None):
    """Return the sum over hours of min(injected, withdrawn) of each group of homes."""
    groups = np.array(community if of_homes is None else of_homes)
    totals = []
    for group in np.unique(groups):
        homes = groups == group
        totals.append(
            np.minimum(done.injected[:, homes].sum(axis=1), done.withdrawn[:, homes].sum(axis=1)).sum()
        )
    return np.array(totals)


# home 0 has PV only, home 1 a battery, home 2 neither; home 3 another battery
@pytest.mark.parametrize(
    ("net_kw", "soc", "expected_kw"),
    [
        ([-6.0, 1.0, 2.0, 0.0], [0.5, 0.5], [-1 + 4 * 6 / 11, 4 * 5 / 11]),
        ([-6.0, 0.0, 2.0, 0.0], [0.9, 0.7], [1.0, 3.0]),
        ([-9.0, 0.0, 0.0, 0.0], [0.9, 0.7], [1.0, 3.0]),
        ([-2.0, 0.0, 2.0, 0.0], [0.9, 0.9], [0.0, 0.0]),
        ([-1.0, 0.0, 3.0, 0.0], [0.9, 0.6], [-2 * 4 / 5, -2 * 1 / 5]),
        ([0.0, 0.0, 9.0, 0.0], [0.9, 0.6], [-4.0, -1.0]),
        ([0.0, 0.0, 9.0, 0.0], [0.5, 0.4], [0.0, 0.0]),
        ([0.0, 1.0, 9.0, -1.0], [0.4, 0.4], [-1.0, 1.0]),
        ([0.0, 0.0, 9.0, -2.0], [0.4, 0.9], [0.0, -4.0]),
    ],
    ids=[
        "surplus is shared out in proportion to what batteries can still take",
        "surplus that fits fills them all",
        "surplus that does not fit is injected",
        "a balanced community is left alone",
        "a deficit is shared out in proportion to what batteries can still give",
        "a larger deficit takes all that is above the level",
        "nothing is given at or below the level",
        "below the level the home's own rule goes on",
        "a full battery gives its home's surplus as well",
    ],
)
def test_the_cems_levels_its_community(make_site, see, net_kw, soc, expected_kw):
    site = make_site([0, 0, 0, 0], battery_home=(1, 3))
    assert CemsStrategy(site).decide(see(net_kw, soc)).battery_kw == pytest.approx(expected_kw)


# home 0 has a plant, home 1 a plant and a battery, home 2 a battery alone
@pytest.mark.parametrize(
    ("net_kw", "soc", "expected_kw"),
    [
        ([3.0, 0.0, 0.0], [0.6, 1.0], [-1.0, 0.0]),
        ([3.0, 0.0, 2.0], [0.9, 1.0], [-3.0, -2.0]),
        ([-4.0, 0.0, 0.0], [0.9, 0.6], [4 * 1 / 5, 4 * 4 / 5]),
        ([-4.0, 0.0, 3.0], [0.9, 0.4], [4 * 1 / 9, -3 + 4 * 8 / 9]),
        ([3.0, 0.0, -1.0], [0.9, 1.0], [-3.0, 0.0]),
        ([-1.0, 0.0, -1.0], [0.0, 1.0], [1.0, 0.0]),
    ],
    ids=[
        "a battery alone does not give to others",
        "it serves its own home",
        "it takes surplus like the others",
        "it takes surplus and so leaves its own home to it",
        "what its home injects covers no deficit",
        "nor is it a surplus to be stored",
    ],
)
def test_a_battery_without_a_plant_takes_and_does_not_give(make_site, see, net_kw, soc, expected_kw):
    site = make_site([0, 0, 0], battery_home=(1, 2), no_plant=(2,))
    assert CemsStrategy(site).decide(see(net_kw, soc)).battery_kw == pytest.approx(expected_kw)


# In the second quarter a home without a plant injects 4 kW: 2 kW are to be stored, not 5, and 1 kWh less is there after.
def test_what_a_home_without_a_plant_injects_does_not_level_the_hour(make_site, play):
    site = make_site([0, 0, 0], battery_home=(1,), dt_s=QUARTER_S, n_steps=4, no_plant=(2,))
    net_kw = [[-2.0, 0.0, 2.0], [-2.0, 0.0, -4.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]]
    done = play(CemsStrategy(site), site, net_kw, [0.8])
    assert done.battery_kw[:, 0] == pytest.approx([0.0, 2.0, -2.0, 0.0])


def test_a_battery_without_a_plant_gives_to_no_other_community_but_answers_an_order(make_site, see):
    site = make_site([0, 1], cp=(0, 0), battery_home=(1,), no_plant=(1,))
    seen = see([3.0, 0.0], [1.0])
    assert AggregatorStrategy(site).decide(seen).battery_kw.tolist() == [0.0]
    assert AggregatorStrategy(site).decide(see([-3.0, 0.0], [0.5])).battery_kw == pytest.approx([3.0])
    orders = [{"start_h": 0, "duration_h": 1, "p_kw": -4.0}]
    assert AggregatorMsdStrategy(site, orders=orders).decide(seen).battery_kw == pytest.approx([-4.0])


def test_the_level_to_give_above_is_a_parameter_and_the_reserve_of_the_user_is_kept(make_site, see):
    site = make_site([0, 0, 0], battery_home=(1, 2), reserve={2: 0.8})
    seen = see([9.0, 0.0, 0.0], [0.9, 0.9])
    assert CemsStrategy(site, give_above_soc=0.7).decide(seen).battery_kw == pytest.approx([-2.0, -1.0])


def test_communities_do_not_mix(make_site, see):
    site = make_site([0, 0, 1, 1], cp=(0, 0), battery_home=(1, 3))
    seen = see([-3.0, 0.0, 2.0, 0.0], [0.5, 0.9])
    assert CemsStrategy(site).decide(seen).battery_kw == pytest.approx([3.0, -2.0])


def test_who_has_opted_out_is_not_counted(make_site, see):
    # 6 kW of the 8 kW surplus are behind a meter that is not heard
    site = make_site([0, 0, 0, 0], battery_home=(1, 3), opted_out=(2, 3))
    seen = see([-2.0, 0.0, -6.0, 0.0], [0.5, 0.5])
    assert CemsStrategy(site).decide(seen).battery_kw == pytest.approx([2.0, 0.0])


def test_readings_that_are_too_old_are_not_counted(make_site, play):
    # home 0 falls silent in step 2; its 2 kW are believed for half an hour, two steps
    site = make_site([0, 0], battery_home=(1,), dt_s=QUARTER_S, n_steps=8, silent=((0, 2, 9),))
    done = play(CemsStrategy(site, valid_h=0.5), site, [[-2.0, 0.0]] * 8, [0.1])
    assert done.battery_kw[:, 0] == pytest.approx([2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0])


def test_a_home_that_falls_silent_keeps_its_meter_and_then_serves_itself(make_site, play):
    site = make_site([0, 0], battery_home=(1,), dt_s=QUARTER_S, n_steps=8, silent=((1, 2, 9),))
    net_kw = [[-2.0, 0.0], [-2.0, 0.0], [-2.0, 0.0], [-2.0, -1.0], *[[-2.0, 1.0]] * 4]
    done = play(CemsStrategy(site, valid_h=0.5), site, net_kw, [0.1])
    # advice of step 1 holds in steps 2 and 3: the meter stays at 2 kW
    assert done.grid_kw[:, 1] == pytest.approx([2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0])
    assert done.battery_kw[3, 0] == pytest.approx(3.0)


# The community injects 8 kW for three quarters of an hour and the battery takes 5; 2.25 kWh are left over.
def test_in_its_last_step_the_hour_is_levelled_with_what_was_injected_before(make_site, play):
    site = make_site([0, 0], battery_home=(1,), dt_s=QUARTER_S, n_steps=4)
    net_kw = [[-8.0, 0.0]] * 3 + [[0.0, 0.0]]
    done = play(CemsStrategy(site), site, net_kw, [0.0])
    assert done.battery_kw[:, 0] == pytest.approx([5.0, 5.0, 5.0, 5.0])
    assert shared_kwh(done, [0, 0]) == pytest.approx([5.0])


# 1 kWh is withdrawn in the first quarter, so the 1 kWh injected in the second is shared without any battery.
def test_what_the_hour_lacks_already_is_not_stored(make_site, play):
    site = make_site([0, 0], battery_home=(1,), dt_s=QUARTER_S, n_steps=8)
    net_kw = [
        [4.0, 0.0],
        [-4.0, 0.0],
        [-3.0, 0.0],
        [1.0, 0.0],
        [-4.0, 0.0],
        [0.0, 0.0],
        [0.0, 0.0],
        [0.0, 0.0],
    ]
    done = play(CemsStrategy(site), site, net_kw, [0.1])
    # third: 0.75 kWh too much are stored; last of the hour: 0.25 kWh too little, nothing to give below the level;
    # the next hour starts from zero
    assert done.battery_kw[:, 0] == pytest.approx([0.0, 0.0, 3.0, 0.0, 4.0, 0.0, 0.0, 0.0])
    assert shared_kwh(done, [0, 0]) == pytest.approx([1.0 + 0.75 + 1.0])


def test_hours_are_those_of_the_clock(make_site, play):
    # the run starts at a quarter to: the first step is the last of its hour
    site = make_site([0, 0], battery_home=(1,), dt_s=QUARTER_S, n_steps=4, start_utc_s=45 * 60)
    net_kw = [[-8.0, 0.0], [-8.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    done = play(CemsStrategy(site), site, net_kw, [0.0])
    assert done.battery_kw[:, 0] == pytest.approx([5.0, 5.0, 0.0, 0.0])


TWO_UNDER_ONE = {"cp": (0, 0, 1), "battery_home": (1, 3, 5)}


@pytest.mark.parametrize(
    ("net_kw", "soc", "by_cems", "by_aggregator"),
    [
        ([-4, 0, 0, 0, 0, 0], [1.0, 0.2, 0.2], [0, 0, 0], [0, 4, 0]),
        ([-4, 0, 0, 0, 0, 0], [0.9, 0.2, 0.2], [1, 0, 0], [1, 3, 0]),
        ([-4, 0, -1, 0, 0, 0], [0.9, 0.2, 0.2], [1, 1, 0], [1, 4, 0]),
        ([-4, 0, 3, 0, 0, 0], [1.0, 0.2, 0.2], [0, 0, 0], [0, 1, 0]),
        ([2, 0, 0, 0, 0, 0], [0.2, 0.9, 0.9], [0, 0, 0], [0, -2, 0]),
        ([2, 0, 3, 0, 0, 0], [0.6, 0.9, 0.9], [-1, -3, 0], [-1, -4, 0]),
        ([0, 0, 0, 0, -4, 0], [0.2, 0.2, 1.0], [0, 0, 0], [0, 0, 0]),
        ([0, 0, 0, 0, 4, 0], [0.9, 0.9, 0.2], [0, 0, 0], [0, 0, 0]),
        ([-2, 0, 9, 0, 0, 0], [0.6, 0.2, 0.9], [2, 0, 0], [2, 0, 0]),
    ],
    ids=[
        "surplus of one is stored in another",
        "each stores its own first",
        "both parts reach a battery in one set-point",
        "surplus of one and deficit of another meet without a battery",
        "a deficit of one is covered by another",
        "each covers its own first",
        "surplus does not pass to another CP",
        "a deficit is not covered from another CP",
        "a battery that takes from its own community does not give to another",
    ],
)
def test_the_aggregator_lets_communities_of_a_cp_help_each_other(
    make_site, see, net_kw, soc, by_cems, by_aggregator
):
    site = make_site([0, 0, 1, 1, 2, 2], **TWO_UNDER_ONE)
    seen = see(net_kw, soc)
    assert CemsStrategy(site).decide(seen).battery_kw == pytest.approx(by_cems)
    assert AggregatorStrategy(site).decide(seen).battery_kw == pytest.approx(by_aggregator)


# Community 0 lacks 4 kW throughout; community 1 gives them, and must not take them back to level its own hour.
def test_help_is_not_undone_by_the_community_that_gives_it(make_site, play):
    site = make_site([0, 1, 1], cp=(0, 0), battery_home=(1, 2), dt_s=QUARTER_S, n_steps=4)
    done = play(AggregatorStrategy(site), site, [[4.0, 0.0, 0.0]] * 4, [1.0, 0.3])
    assert done.battery_kw == pytest.approx(np.tile([-4.0, 0.0], (4, 1)))
    assert shared_kwh(done, [0, 0, 0]) == pytest.approx([4.0])


# Two days; community 0 has the sun, community 1 the evening and most of the batteries.
def test_each_level_shares_at_least_what_the_level_below_does(make_site, play):
    community = [0, 0, 1, 1, 1]
    site = make_site(community, cp=(0, 0), battery_home=(1, 2, 3), dt_s=QUARTER_S, n_steps=192)
    hour = np.arange(192) / 4 % 24
    sun_kw = -6 * np.clip(np.sin((hour - 6) / 12 * np.pi), 0, None)
    evening_kw = 0.3 + 2.0 * np.exp(-((hour - 20) ** 2) / 6)
    net_kw = np.stack([sun_kw, evening_kw, sun_kw / 4 + evening_kw, evening_kw, evening_kw], axis=1)
    runs = [
        play(kind(site), site, net_kw, [0.2] * 3)
        for kind in (SelfConsumption, CemsStrategy, AggregatorStrategy)
    ]
    by_community = [shared_kwh(done, community).sum() for done in runs]
    pooled = [shared_kwh(done, community, of_homes=[0] * 5).sum() for done in runs]
    assert by_community[1] > 1.5 * by_community[0]
    assert pooled[2] > pooled[1] > pooled[0]
    # what batteries draw less what they give stays in them or serves their own homes: nothing is made up
    for done in runs:
        assert 10 * (done.soc[-1] - done.soc[0]).sum() == pytest.approx(done.battery_kw.sum() / 4)


def one_order(site, p_kw):
    return ScheduledDesk(site, [{"start_h": 0, "duration_h": 1, "p_kw": p_kw}])


@pytest.mark.parametrize(
    ("p_kw", "expected_kw"),
    [(-4.0, [-2.5, -1.5, 0.0]), (-50.0, [-5.0, -3.0, 0.0]), (3.5, [1.0, 1.0, 1.5]), (0.0, [0.0, 0.0, 0.0])],
    ids=["upward", "more than there is", "downward", "an order of nothing"],
)
def test_an_order_is_shared_out_in_proportion_to_what_members_can_give(make_site, see, p_kw, expected_kw):
    # 8, 8 and 7 kWh stored; 5 kWh of home 1 and all of home 2 are the users'
    site = make_site([0, 1, 2], cp=(0, 0, 1), battery_home=(0, 1, 2), reserve={1: 0.5, 2: 1.0})
    seen = see([0.0, 0.0, 0.0], [0.8, 0.8, 0.7])
    orders = [{"start_h": 0, "duration_h": 1, "p_kw": p_kw}]
    chosen_kw = AggregatorMsdStrategy(site, orders=orders).decide(seen).battery_kw
    assert chosen_kw == pytest.approx(expected_kw)
    assert MsdHook(site, desk=one_order(site, p_kw)).guide(seen, no_guidance(site)).priority.max() == (
        Priority.ORDER if p_kw else Priority.NONE
    )


def test_an_order_is_added_to_what_homes_do_anyway_and_not_undone_below(make_site, play):
    # home 1 serves its own 1 kW and gives 3 kW more; home 2 could take them, and does not, then or later in the hour
    site = make_site([0, 0, 0], battery_home=(1, 2), dt_s=QUARTER_S, n_steps=8)
    orders = [{"start_h": 0.0, "duration_h": 0.5, "p_kw": -3.0}]
    done = play(AggregatorMsdStrategy(site, orders=orders), site, [[0.0, 1.0, 0.0]] * 8, [1.0, 0.0])
    assert done.battery_kw[:, 0] == pytest.approx([-4.0] * 2 + [-1.0] * 6)
    assert done.battery_kw[:, 1] == pytest.approx([0.0] * 8)


# Community 0 injects 4 kW throughout and community 1 stores them; its home 1 answers an order of 3 kW
# for half an hour, which is 1.5 kWh that community 1 has not got to store at the end of the hour.
def test_help_and_an_order_in_the_same_hour_are_kept_apart(make_site, play):
    site = make_site([0, 1, 1], cp=(0, 0), battery_home=(1, 2), dt_s=QUARTER_S, n_steps=4, reserve={2: 1.0})
    orders = [{"start_h": 0.0, "duration_h": 0.5, "p_kw": -3.0}]
    done = play(AggregatorMsdStrategy(site, orders=orders), site, [[-4.0, 0.0, 0.0]] * 4, [1.0, 0.0])
    assert done.battery_kw[:2] == pytest.approx(np.array([[-3.0, 4.0]] * 2))
    assert done.battery_kw[2:].sum(axis=1) == pytest.approx([4.0, 4.0]), "both have room then"


def test_homes_that_a_level_above_asks_are_left_to_it(make_site, see):
    # home 1 is asked to rest, for its own community: the surplus of 4 kW goes to home 2
    site = make_site([0, 0, 0], battery_home=(1, 2))
    above = replace(no_guidance(site), battery_kw=np.array([0.0, np.nan]), priority=np.array([0, 3, 0]))
    asked = Cems(site).guide(see([-4.0, 0.0, 0.0], [0.5, 0.5]), above)
    assert asked.battery_kw == pytest.approx([np.nan, 4.0], nan_ok=True)


def test_what_a_level_above_asks_for_the_community_counts_in_its_balance(make_site, see):
    # home 1 is asked to take 3 of the 4 kW; of an order for others nothing would count
    site = make_site([0, 0, 0], battery_home=(1, 2))
    above = replace(no_guidance(site), battery_kw=np.array([3.0, np.nan]), priority=np.array([0, 3, 0]))
    seen = see([-4.0, 0.0, 0.0], [0.5, 0.5])
    assert Cems(site).guide(seen, above).battery_kw == pytest.approx([np.nan, 1.0], nan_ok=True)
    order = replace(above, for_others_kw=np.array([0.0, 3.0, 0.0]))
    assert Cems(site).guide(seen, order).battery_kw == pytest.approx([np.nan, 4.0], nan_ok=True)


def test_what_is_held_for_a_level_above_is_not_given_to_the_community(make_site, see):
    # 9 kWh stored in both; 8 of them are held in home 1, so it gives a quarter of what home 2 can
    site = make_site([0, 0, 0], battery_home=(1, 2))
    above = replace(no_guidance(site), hold_soc=np.array([0.8, 0.0]), priority=np.array([0, 3, 3]))
    asked = Cems(site).guide(see([2.5, 0.0, 0.0], [0.9, 0.9]), above)
    assert asked.battery_kw == pytest.approx([-0.5, -2.0])


def test_what_is_left_by_rounding_is_not_offered():
    asked_kw = change_kw(np.array([1e-12]), np.ones(2), np.ones(2), group=np.zeros(2, dtype=np.int64))
    assert asked_kw.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("valid_h", "steps"), [(0.1, 1), (0.5, 2), (1.0, 4)])
def test_a_message_is_good_for_at_least_a_step(make_site, valid_h, steps):
    assert steps_valid(make_site([0], dt_s=QUARTER_S), valid_h) == steps


@pytest.mark.parametrize(
    ("hour", "expected_kw"),
    [(11, [-1, -1]), (12, [0, -1]), (15, [0, -1]), (19, [0, -1]), (20, [-1, -1])],
    ids=["before", "kept two hours ahead", "in the window", "to its last hour", "after"],
)
def test_a_reserve_is_kept_before_and_in_the_window(make_site, see, hour, expected_kw):
    # a share of 0.3 of 10 kWh; half of the battery of home 1 is the user's, so 6.5 kWh are to be kept there
    start = utc_s(datetime(2026, 7, 1, hour, tzinfo=ZONE))
    site = make_site([0, 0], battery_home=(0, 1), reserve={1: 0.5}, start_utc_s=start)
    seen = see([1.0, 1.0], [0.3, 0.4])
    assert AggregatorMsdStrategy(site).decide(seen).battery_kw == pytest.approx(expected_kw)


def test_an_order_opens_the_reserve(make_site, see):
    site = make_site([0], battery_home=(0,), start_utc_s=12 * 3600)
    seen = see([0.0], [0.3])
    orders = [{"start_h": 0, "duration_h": 1, "p_kw": -2.0}]
    assert AggregatorMsdStrategy(site, orders=orders).decide(seen).battery_kw == pytest.approx([-2.0])


def test_orders_hold_in_the_steps_that_start_within_them(make_site):
    site = make_site([0], dt_s=QUARTER_S)
    orders = [{"start_h": 1.5, "duration_h": 0.5, "p_kw": 7}, {"start_h": 0.5, "duration_h": 0.3, "p_kw": -1}]
    desk = ScheduledDesk(site, orders)
    assert [desk.order_kw(step) for step in range(9)] == [None, None, -1.0, -1.0, None, None, 7.0, 7.0, None]


@pytest.mark.parametrize(
    ("strategy", "params", "message"),
    [
        (CemsStrategy, {"give_above_soc": 1.5}, "give_above_soc must be from 0 to 1 .got 1.5."),
        (CemsStrategy, {"valid_h": 0.0}, "valid_h must be above 0 and finite .got 0."),
        (AggregatorStrategy, {"valid_h": float("nan")}, "valid_h must be above 0"),
        (
            AggregatorMsdStrategy,
            {"window_start_h": 20, "window_end_h": 14},
            "window_start_h must be at least 0 and",
        ),
        (AggregatorMsdStrategy, {"reserve_up_share": -0.1}, "reserve_up_share must be from 0 to 1"),
        (AggregatorMsdStrategy, {"orders": [{"start": 1}]}, r"orders\[0\]: give duration_h, p_kw, start_h"),
        (
            AggregatorMsdStrategy,
            {"orders": [{"start_h": 1, "duration_h": 0, "p_kw": 1}]},
            r"orders\[0\]: start_h must be at least 0, duration_h above 0",
        ),
        (
            AggregatorMsdStrategy,
            {
                "orders": [
                    {"start_h": 1, "duration_h": 2, "p_kw": 1},
                    {"start_h": 2, "duration_h": 2, "p_kw": 1},
                ]
            },
            "the one from 1 h to 3 h overlaps the one from 2 h",
        ),
    ],
)
def test_parameters_that_make_no_sense_are_refused(make_site, strategy, params, message):
    with pytest.raises(ValueError, match=message):
        strategy(make_site([0]), **params)


def test_guides_alone_take_readings_without_an_age_as_those_of_the_step(make_site, see):
    site = make_site([0, 0, None], battery_home=(1, 2))
    seen = see([-2.0, 0.0, -1.0], [0.5, 0.5])
    for guide, priority in ((Cems(site), Priority.ADVICE), (Aggregator(site), Priority.NONE)):
        asked = guide.guide(seen, no_guidance(site))
        assert asked.priority.tolist() == [Priority.NONE, priority, Priority.NONE]
    assert Cems(site).guide(seen, no_guidance(site)).battery_kw == pytest.approx([2.0, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("make", "level", "settles"),
    [
        (NoControl, 0, "community"),
        (SelfConsumption, 1, "community"),
        (lambda site: PeakShaving(site, limit_kw=3.0), 1, "community"),
        (CemsStrategy, 2, "community"),
        (AggregatorStrategy, 3, "cp"),
        (AggregatorMsdStrategy, 4, "cp"),
        (lambda site: Plain(), None, None),
    ],
)
def test_a_strategy_says_its_level_and_how_it_settles(make_site, make, level, settles):
    controller = make(make_site([0]))
    assert (level_of(controller), settles_of(controller)) == (level, settles)


class Plain:
    """A strategy of somebody who does not care about levels."""

    def decide(self, seen):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("name", "value"), [("level", 5), ("level", True), ("level", "2"), ("settles", "zone")]
)
def test_a_level_that_does_not_exist_is_refused(name, value):
    controller = type("Mine", (Plain,), {name: value})()
    with pytest.raises(InputError, match=rf"Mine\.{name}: must be .* \(got {value!r}\)"):
        (level_of if name == "level" else settles_of)(controller)


def test_a_step_shorter_than_the_hour_is_asked_with_its_own_meters(make_site, play):
    # a delay of one step: surplus is offered one step late, and the meter is held at what was planned
    site = make_site([0, 0], battery_home=(1,), dt_s=QUARTER_S, n_steps=4, delay={1: 1})
    done = play(CemsStrategy(site), site, [[-2.0, 0.0]] * 4, [0.2])
    assert done.battery_kw[0, 0] == 0.0
    assert done.battery_kw[2:, 0] == pytest.approx([2.0, 2.0])
