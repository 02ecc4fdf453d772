"""What a planning level makes of what it knows: readings, the hour so far, bounds from above, homes without a plan."""

from dataclasses import replace

import numpy as np
import pytest

from models.battery import BatteryFleet
from twin.control import Observation, Site
from twin.control.forecast import PerfectForecast
from twin.control.management.guidance import Priority, no_guidance
from twin.control.planning.planner import Planner, PlannerOptions
from twin.control.planning.rollout import rolled_out, unplanned_meter_kw
from twin.control.planning.worth import StorageWorth
from twin.members import Communities

HOUR = 1_467_324_000
DT_S = 1800
N_HOMES = 3


def plant(*, n_steps, battery_home=(0,), value=0.15, **changes):
    """Return a site of three members of one community; batteries of 10 kWh and 5 kW, efficiencies 0.95."""
    every = np.ones(len(battery_home))
    members = Communities(
        name=("community",),
        kind=("CER",),
        perimeter=("cp",),
        area=("CP",),
        cp=np.zeros(1, dtype=np.int64),
        cp_name=("CP",),
        zone="NORD",
        member_home=np.arange(N_HOMES),
        member_community=np.zeros(N_HOMES, dtype=np.int64),
        member_kind=("household",) * N_HOMES,
        member_role=("prosumer",) * N_HOMES,
        member_contract_kw=np.full(N_HOMES, 6.0),
        member_invest_eur=np.zeros(N_HOMES),
        member_first_step=np.zeros(N_HOMES, dtype=np.int64),
        member_end_step=np.full(N_HOMES, n_steps, dtype=np.int64),
        member_opted_out=np.zeros(N_HOMES, dtype=np.bool_),
        member_reserve_share=np.zeros(N_HOMES),
        member_delay_steps=np.zeros(N_HOMES, dtype=np.int64),
        plant_pv=np.arange(N_HOMES),
        plant_member=np.arange(N_HOMES),
    )
    return Site(
        dt_s=DT_S,
        n_steps=n_steps,
        steps_per_day=86400 // DT_S,
        home_name=tuple(f"home {i}" for i in range(N_HOMES)),
        pv_home=np.arange(N_HOMES),
        pv_rated_kw=np.full(N_HOMES, 20.0),
        battery_home=np.asarray(battery_home, dtype=np.int64),
        battery=BatteryFleet(
            capacity_kwh=10.0 * every,
            charge_kw=5.0 * every,
            discharge_kw=5.0 * every,
            eta_charge=0.95 * every,
            eta_discharge=0.95 * every,
            soc_min=0.0 * every,
            soc_max=every,
            loss_per_day=0.0 * every,
        ),
        start_utc_s=HOUR,
        communities=replace(members, **changes),
        shared_value_eur_kwh=np.array([value]),
    )


def observation(site, net_kw, *, step, soc, grid_kw=(0.0, 0.0, 0.0), age_steps=None):
    net_kw = np.asarray(net_kw, dtype=float)
    known = PerfectForecast(
        load_kw=np.maximum(net_kw, 0.0),
        pv_kw=np.minimum(net_kw, 0.0),
        price_import_eur_kwh=np.full(len(net_kw), 0.30),
        price_export_eur_kwh=np.full(len(net_kw), 0.10),
    )
    load_kw, pv_kw = known.window(step, 1)
    return Observation(
        step=step,
        time_s=step * site.dt_s,
        load_kw=load_kw[0],
        pv_kw=pv_kw[0],
        soc=np.full(site.battery.n, soc),
        vm_pu=np.ones(site.n_homes),
        grid_kw=np.asarray(grid_kw, dtype=float),
        price_import_eur_kwh=0.30,
        price_export_eur_kwh=0.10,
        forecast=known,
        age_steps=age_steps,
    )


def holding(site, *, until_step):
    """Return guidance that has 60 % of the only battery kept."""
    return replace(
        no_guidance(site),
        hold_soc=np.array([0.6]),
        priority=np.array([Priority.ORDER, Priority.NONE, Priority.NONE]),
        expires_step=np.array([until_step, 0, 0]),
    )


def planner(site, **options):
    options = PlannerOptions(**{"terminal_price_eur_kwh": 0.0, **options})
    pools = np.zeros(1, dtype=np.int64)
    return Planner(site, pool_of_community=pools, priority=Priority.ADVICE, options=options)


# Home 1 has fed in 1 kWh in the first half of the hour. Charging 1 kWh in the second half is shared with it: it costs
# 0.30 - 0.15, and what comes out an hour later, 0.9025 kWh, earns 0.10 + 0.15 each: 0.226. Were nothing fed in before,
# or only for others, charging would cost the full 0.30.
@pytest.mark.parametrize(
    ("fed_in_kw", "for_others_kw", "expected_kw"), [(2.0, 0.0, 2.0), (0.0, 0.0, 0.0), (2.0, -2.0, 0.0)]
)
def test_what_the_hour_has_so_far_counts(fed_in_kw, for_others_kw, expected_kw):
    site, net_kw = plant(n_steps=4), np.zeros((4, N_HOMES))
    net_kw[0, 1], net_kw[2:, 2] = -fed_in_kw, 2.0
    guide, nobody = planner(site, replan_every_h=0.5), no_guidance(site)
    above = replace(nobody, for_others_kw=np.array([0.0, for_others_kw, 0.0]))
    guide.guide(observation(site, net_kw, step=0, soc=0.0), above)
    met_kw = (0.0, -fed_in_kw, 0.0)
    asked = guide.guide(observation(site, net_kw, step=1, soc=0.0, grid_kw=met_kw), nobody)
    assert asked.battery_kw[0] == pytest.approx(expected_kw, abs=1e-6)


# 4 kW of surplus that earns nothing else charge 1.9 kWh a step. At step 2 the last reading, of step 1, says 0.69; by then
# the battery is at 0.88 and takes 1.2 kWh, which are 1.2 / 0.95 / 0.5 = 2.526 kW.
def test_a_late_reading_is_carried_forward_with_the_plan():
    site = plant(n_steps=3, value=0.0)
    net_kw = np.tile([-4.0, 0.0, 0.0], (3, 1))
    # with caution, what there is is stored at once
    guide, nobody = planner(site, terminal_price_eur_kwh=0.2, caution_eur_kwh=0.02), no_guidance(site)
    first = guide.guide(observation(site, net_kw, step=0, soc=0.5), nobody)
    second = guide.guide(observation(site, net_kw, step=1, soc=0.69), nobody)
    assert [first.battery_kw[0], second.battery_kw[0]] == pytest.approx([4.0, 4.0])
    late = np.array([1, 0, 0])
    third = guide.guide(observation(site, net_kw, step=2, soc=0.69, age_steps=late), nobody)
    assert third.battery_kw[0] == pytest.approx(1.2 / 0.95 / 0.5, abs=1e-6)


@pytest.mark.parametrize("by", ["user", "level above"])
def test_energy_that_is_kept_is_not_planned_away(by):
    share = 0.6 if by == "user" else 0.0
    site = plant(n_steps=8, member_reserve_share=np.array([share, 0.0, 0.0]))
    above = no_guidance(site) if by == "user" else holding(site, until_step=8)
    net_kw = np.tile([0.0, 4.0, 4.0], (8, 1))
    guide, soc = planner(site), 0.95
    for step in range(8):
        asked = guide.guide(observation(site, net_kw, step=step, soc=soc), above)
        soc += asked.battery_kw[0] * 0.5 / 0.95 / 10.0
    assert soc == pytest.approx(0.6, abs=1e-6)


def test_a_plan_feeds_in_no_more_than_a_bound_from_above_leaves_while_it_holds():
    site, net_kw = plant(n_steps=4), np.tile([0.0, 4.0, 4.0], (4, 1))
    bounded = replace(
        no_guidance(site), grid_min_kw=np.array([-1.0, -np.inf, -np.inf]), expires_step=np.array([2, 0, 0])
    )
    guide = planner(site, replan_every_h=2.0)
    fed_in_kw = [
        -guide.guide(observation(site, net_kw, step=step, soc=0.8), bounded).battery_kw[0]
        for step in range(4)
    ]
    assert max(fed_in_kw[:2]) <= 1.0 + 1e-6
    assert max(fed_in_kw[2:]) > 1.0


def test_energy_held_by_a_level_above_is_free_once_that_expires():
    site, net_kw = plant(n_steps=4), np.tile([0.0, 4.0, 4.0], (4, 1))
    guide = planner(site, replan_every_h=2.0)
    fed_in_kwh = [
        -0.5
        * guide.guide(observation(site, net_kw, step=step, soc=0.8), holding(site, until_step=2)).battery_kw[
            0
        ]
        for step in range(4)
    ]
    assert sum(fed_in_kwh[:2]) <= 2.0 * 0.95 + 1e-6
    assert sum(fed_in_kwh[2:]) >= 5.0 - 1e-6


# The fed-in 1 kWh of the test of the hour so far comes from a home with a battery alone: nothing is shared with it.
def test_what_a_home_without_a_plant_has_fed_in_so_far_does_not_count():
    site, net_kw = plant(n_steps=4, plant_member=np.array([0, 0, 2])), np.zeros((4, N_HOMES))
    net_kw[0, 1], net_kw[2:, 2] = -2.0, 2.0
    guide, nobody = planner(site, replan_every_h=0.5), no_guidance(site)
    guide.guide(observation(site, net_kw, step=0, soc=0.0), nobody)
    met_kw = (0.0, -2.0, 0.0)
    asked = guide.guide(observation(site, net_kw, step=1, soc=0.0, grid_kw=met_kw), nobody)
    assert asked.battery_kw[0] == pytest.approx(0.0, abs=1e-6)


def test_a_member_whose_messages_are_good_for_less_than_their_delay_is_not_planned():
    late = {"member_delay_steps": np.array([2, 0, 0]), "battery_home": (0, 1)}
    site = plant(n_steps=6, **late)
    net_kw = np.tile([0.0, 4.0, 4.0], (6, 1))
    for valid_h, planned in ((0.5, [False, True]), (1.0, [True, True])):
        seen = observation(site, net_kw, step=0, soc=0.8)
        asked = planner(site, valid_h=valid_h).guide(seen, no_guidance(site))
        assert np.isfinite(asked.battery_kw).tolist() == planned


def test_homes_without_a_plan_are_taken_to_serve_themselves():
    site = plant(n_steps=4, battery_home=(0, 1))
    net_kw = np.array([[-4.0, -4.0, 1.0], [-4.0, -4.0, np.nan], [3.0, 3.0, 1.0]])
    planned = np.array([False, True, False])
    meter_kw = unplanned_meter_kw(site, np.array([0.81, 0.5]), net_kw, planned=planned)
    # 1.9 kWh fit in: all of the first step, nothing of the second
    assert meter_kw[:, 0] == pytest.approx([0.0, -4.0, 0.0])
    assert np.all(meter_kw[:, 1:] == 0.0)


def test_a_battery_whose_state_is_not_known_counts_as_none():
    site = plant(n_steps=4)
    meter_kw = unplanned_meter_kw(
        site, np.array([np.nan]), np.array([[2.0, 1.0, 0.0]]), planned=np.zeros(3, dtype=np.bool_)
    )
    assert meter_kw.tolist() == [[2.0, 1.0, 0.0]]


def test_a_plan_that_is_carried_on_stops_at_what_the_batteries_can_hold():
    site = plant(n_steps=4)
    reached_kw, soc = rolled_out(
        site, np.array([0.9]), np.array([[5.0], [-5.0], [-5.0]]), keep_soc=np.full((3, 1), 0.6)
    )
    assert soc[:, 0] == pytest.approx([0.9, 1.0, 1.0 - 0.25 / 0.95, 0.6])
    assert reached_kw[:, 0] == pytest.approx([1.0 / 0.475, -5.0, -(4.0 - 2.5 / 0.95) * 0.95 / 0.5])


def test_stored_energy_is_worth_what_the_longest_windows_said():
    worth = StorageWorth(np.array([0.9, 1.0]))
    assert np.isnan(worth.eur_kwh).all()
    assert worth.see(np.array([0.2, 0.4]), np.array([0.1, 0.1])) == pytest.approx([0.18, 0.2])
    assert worth.see(np.array([0.4]), np.array([0.1])) == pytest.approx([0.18, 0.2])
    assert worth.see(np.array([0.4, 0.4]), np.array([0.1, 0.1])) == pytest.approx([0.225, 0.25])
    assert StorageWorth(np.ones(2), price_eur_kwh=0.1).see(np.ones(4), np.ones(4)).tolist() == [0.1, 0.1]
