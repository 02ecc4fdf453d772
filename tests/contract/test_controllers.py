"""What every strategy must do, built-in or a user's own: the same tests over all of them."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from models.battery import BatteryFleet, clip_power_kw
from twin.control import Observation, Site, checked
from twin.control.forecast import forecast_kind, make_forecast
from twin.control.registry import make_controller, resolve
from twin.control.rehearsal import rehearse
from twin.members import Communities

SCENARIOS = Path(__file__).parents[2] / "scenarios"
STRATEGIES = {
    "none": {},
    "self_consumption": {},
    "peak_shaving": {"limit_kw": 2.0, "export_limit_kw": 2.0},
    "mpc": {},
    "mpc persistence": {"forecast": "persistence", "replan_every_h": 1.0, "peak_weight_eur_kw": 0.05},
    "cems": {},
    "aggregator": {"give_above_soc": 0.3},
    "aggregator_msd": {"orders": [{"start_h": 15, "duration_h": 2, "p_kw": -2.0}]},
    "night_charger.py:NightCharger": {"charge_until_h": 4.0},
}
STEPS_PER_DAY = 24
N_STEPS = 2 * STEPS_PER_DAY


def build(name, site):
    return make_controller(resolve(name.split()[0], SCENARIOS), site, STRATEGIES[name])


@pytest.fixture(params=list(STRATEGIES))
def strategy(request):
    return request.param


@pytest.fixture
def site():
    """Return three homes: one with two batteries, one without any, one with a battery and two PV generators."""
    three = np.ones(3)
    return Site(
        dt_s=3600,
        n_steps=N_STEPS,
        steps_per_day=STEPS_PER_DAY,
        home_name=("two batteries", "no battery", "two roofs"),
        pv_home=np.array([2, 0, 2]),
        pv_rated_kw=np.array([3.0, 4.0, 2.0]),
        battery_home=np.array([0, 2, 0]),
        battery=BatteryFleet(
            capacity_kwh=np.array([10.0, 5.0, 3.0]),
            charge_kw=np.array([5.0, 2.5, 1.0]),
            discharge_kw=np.array([4.0, 2.5, 1.5]),
            eta_charge=0.95 * three,
            eta_discharge=0.93 * three,
            soc_min=np.array([0.1, 0.2, 0.0]),
            soc_max=np.array([0.95, 1.0, 0.9]),
            loss_per_day=0.0013 * three,
        ),
        communities=communities(),
    )


def communities():
    """Return two communities under one CP, of the first two homes and of the third."""
    return Communities(
        name=("pair", "roofs"),
        kind=("CER", "GACC"),
        perimeter=("cp", "building"),
        area=("cp", "roofs"),
        cp=np.array([0, 0]),
        cp_name=("cp",),
        zone="NORD",
        member_home=np.array([0, 1, 2]),
        member_community=np.array([0, 0, 1]),
        member_kind=("household",) * 3,
        member_role=("prosumer", "producer", "prosumer"),
        member_contract_kw=np.array([6.0, 3.0, 4.5]),
        member_invest_eur=np.zeros(3),
        member_first_step=np.zeros(3, dtype=np.int64),
        member_end_step=np.full(3, N_STEPS),
        member_opted_out=np.zeros(3, dtype=np.bool_),
        member_reserve_share=np.array([0.0, 0.0, 0.2]),
        member_delay_steps=np.array([0, 0, 1]),
    )


@pytest.fixture
def pv_available_kw(site):
    hour = np.arange(N_STEPS) % STEPS_PER_DAY
    sun = np.maximum(np.sin((hour - 6) / 12 * np.pi), 0.0)
    return -sun[:, None] * site.pv_rated_kw


def known_to(controller, site, pv_available_kw):
    pv_kw = np.stack([np.bincount(site.pv_home, row, site.n_homes) for row in pv_available_kw])
    hour = np.arange(N_STEPS) % STEPS_PER_DAY
    load_kw = np.random.default_rng(5).gamma(1.0, 0.8, (N_STEPS, site.n_homes))
    return make_forecast(
        forecast_kind(controller),
        load_kw=load_kw,
        pv_kw=pv_kw,
        price_import_eur_kwh=np.where((hour > 7) & (hour < 20), 0.32, 0.21),
        price_export_eur_kwh=np.full(N_STEPS, 0.08),
        steps_per_day=STEPS_PER_DAY,
    )


def run(strategy, site, pv_available_kw):
    controller = build(strategy, site)
    return rehearse(
        controller,
        site,
        pv_available_kw=pv_available_kw,
        soc_start=np.array([0.5, 0.2, 0.9]),
        forecast=known_to(controller, site, pv_available_kw),
    )


def first_observation(site, forecast, *, soc):
    load_kw, pv_kw = forecast.window(0, 1)
    arrays = {
        "load_kw": load_kw[0].copy(),
        "pv_kw": pv_kw[0].copy(),
        "soc": soc,
        "vm_pu": np.full(site.n_homes, np.nan),
        "grid_kw": np.full(site.n_homes, np.nan),
    }
    for array in arrays.values():
        array.flags.writeable = False
    price_import, price_export = (float(price[0]) for price in forecast.prices(0, 1))
    return Observation(
        step=0,
        time_s=0,
        **arrays,
        price_import_eur_kwh=price_import,
        price_export_eur_kwh=price_export,
        forecast=forecast,
    )


def test_it_runs_two_days_with_valid_proposals_inside_the_battery_window(strategy, site, pv_available_kw):
    done = run(strategy, site, pv_available_kw)
    assert np.all(np.isfinite(done.battery_kw))
    # the standing loss alone may take a battery below soc_min
    assert np.all(done.soc[1:] >= site.battery.soc_min * (1.0 - site.battery.loss_per_day) ** 2 - 1e-9)
    assert np.all(done.soc <= site.battery.soc_max + 1e-9)


def test_the_same_run_twice_gives_the_same_bytes(strategy, site, pv_available_kw):
    first, second = run(strategy, site, pv_available_kw), run(strategy, site, pv_available_kw)
    assert first.battery_kw.tobytes() == second.battery_kw.tobytes()


def test_it_accepts_the_first_step_where_meters_have_not_been_read(strategy, site, pv_available_kw):
    controller = build(strategy, site)
    forecast = known_to(controller, site, pv_available_kw)
    proposal = checked(controller.decide(first_observation(site, forecast, soc=np.full(3, 0.5))), site)
    assert proposal.battery_kw.shape == (3,)


def test_two_controllers_of_a_class_do_not_share_state(strategy, site, pv_available_kw):
    alone = run(strategy, site, pv_available_kw)
    other = build(strategy, site)
    forecast = known_to(other, site, pv_available_kw)
    other.decide(first_observation(site, forecast, soc=np.full(3, 0.3)))
    assert run(strategy, site, pv_available_kw).battery_kw.tobytes() == alone.battery_kw.tobytes()


def test_a_feeder_without_batteries_is_served(strategy, site, pv_available_kw):
    bare = Site(
        dt_s=site.dt_s,
        n_steps=site.n_steps,
        steps_per_day=site.steps_per_day,
        home_name=site.home_name,
        pv_home=site.pv_home,
        pv_rated_kw=site.pv_rated_kw,
        battery_home=np.zeros(0, dtype=np.int64),
        battery=BatteryFleet(**{field.name: np.zeros(0) for field in fields(BatteryFleet)}),
        communities=site.communities,
    )
    controller = build(strategy, bare)
    forecast = known_to(controller, bare, pv_available_kw)
    done = rehearse(
        controller, bare, pv_available_kw=pv_available_kw, soc_start=np.zeros(0), forecast=forecast
    )
    assert done.battery_kw.shape == (N_STEPS, 0)


@pytest.mark.parametrize(
    "builtin", ["none", "self_consumption", "peak_shaving", "mpc", "cems", "aggregator", "aggregator_msd"]
)
def test_a_builtin_asks_only_for_what_the_batteries_can_hold(builtin, site, pv_available_kw):
    controller = build(builtin, site)
    forecast = known_to(controller, site, pv_available_kw)
    for soc in (np.full(3, 0.0), np.full(3, 0.201), np.full(3, 0.5), np.full(3, 0.899), np.full(3, 1.0)):
        asked_kw = build(builtin, site).decide(first_observation(site, forecast, soc=soc)).battery_kw
        assert np.array_equal(asked_kw, clip_power_kw(site.battery, soc, asked_kw, site.dt_s))


def test_strategies_do_what_they_are_for(site, pv_available_kw):
    done = {name: run(name, site, pv_available_kw) for name in STRATEGIES}
    idle, rule, shaved, planned = (done[key] for key in ("none", "self_consumption", "peak_shaving", "mpc"))
    assert np.all(idle.battery_kw == 0.0)
    assert np.abs(rule.grid_kw[:, [0, 2]]).sum() < np.abs(idle.grid_kw[:, [0, 2]]).sum()
    assert np.maximum(shaved.grid_kw[:, 0], 0.0).max() < np.maximum(idle.grid_kw[:, 0], 0.0).max()
    assert planned.cost_eur.sum() < idle.cost_eur.sum()
    for name in STRATEGIES:
        assert done[name].grid_kw[:, 1] == pytest.approx(idle.grid_kw[:, 1]), (
            "a home without devices is not touched"
        )
