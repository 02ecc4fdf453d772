"""Model predictive control against cases worked by hand."""

from dataclasses import fields, replace

import numpy as np
import pytest

from models.battery import BatteryFleet, power_limits_kw
from twin.control import Observation, Site
from twin.control.forecast import PerfectForecast
from twin.control.mpc import Mpc
from twin.control.planning.home_lp import HomeLp, HomeWindow
from twin.control.rehearsal import rehearse
from twin.control.rules import SelfConsumption
from twin.errors import ControllerError


def fleet(n=1, **changes):
    base = {
        "capacity_kwh": 10.0,
        "charge_kw": 5.0,
        "discharge_kw": 5.0,
        "eta_charge": 1.0,
        "eta_discharge": 1.0,
        "soc_min": 0.0,
        "soc_max": 1.0,
        "loss_per_day": 0.0,
    }
    return BatteryFleet(**{key: np.full(n, value) for key, value in {**base, **changes}.items()})


def window(net_kw, price_import, price_export=0.0, *, soc=0.0, worth=0.0, n_batteries=1):
    net_kw = np.asarray(net_kw, dtype=float)
    return HomeWindow(
        step=7,
        net_kw=net_kw,
        price_import_eur_kwh=np.broadcast_to(np.asarray(price_import, dtype=float), net_kw.shape),
        price_export_eur_kwh=np.broadcast_to(np.asarray(price_export, dtype=float), net_kw.shape),
        soc=np.full(n_batteries, soc),
        stored_value_eur_kwh=np.full(n_batteries, worth),
    )


def program(battery, horizon=4, **options):
    return HomeLp("Rossi", battery, dt_s=3600, horizon=horizon, **options)


def site(battery, *, n_steps=4, battery_home=(0,), n_homes=1, dt_s=3600):
    return Site(
        dt_s=dt_s,
        n_steps=n_steps,
        steps_per_day=86400 // dt_s,
        home_name=tuple(f"home {i}" for i in range(n_homes)),
        pv_home=np.zeros(0, dtype=np.int64),
        pv_rated_kw=np.zeros(0),
        battery_home=np.asarray(battery_home, dtype=np.int64),
        battery=battery,
    )


def forecast(net_kw, price_import, price_export=0.0):
    """Return what is known of homes with ``net_kw``, shape (T, H)."""
    net_kw = np.asarray(net_kw, dtype=float)
    return PerfectForecast(
        load_kw=np.maximum(net_kw, 0.0),
        pv_kw=np.minimum(net_kw, 0.0),
        price_import_eur_kwh=np.broadcast_to(np.asarray(price_import, dtype=float), len(net_kw)).copy(),
        price_export_eur_kwh=np.broadcast_to(np.asarray(price_export, dtype=float), len(net_kw)).copy(),
    )


def observation(known, *, step, soc):
    load_kw, pv_kw = known.window(step, 1)
    nothing = np.full(load_kw.shape[1], np.nan)
    return Observation(
        step=step,
        time_s=3600 * step,
        load_kw=load_kw[0],
        pv_kw=pv_kw[0],
        soc=np.asarray(soc, dtype=float),
        vm_pu=nothing,
        grid_kw=nothing,
        price_import_eur_kwh=float(known.prices(step, 1)[0][0]),
        price_export_eur_kwh=float(known.prices(step, 1)[1][0]),
        forecast=known,
    )


# A home draws 2 kW in each of four hours at 0.10, 0.30, 0.20 and 0.40 EUR/kWh; its battery is empty and stores 90 %
# of what it takes and gives 80 % of what it stores, so a delivered kWh takes 1/0.72 = 1.3889 kWh.
# Hour 1 charges all it can: 5 kW, which stores 4.5 kWh and delivers 3.6 kWh.
# Hour 2 is served in full: 2 kWh delivered release 2.5 kWh; 2.0 kWh stay, worth 1.6 kWh delivered.
# Hour 4 needs 0.4 kWh more; taken in hour 3 they cost 0.20 * 0.4/0.72 = 0.1111, less than 0.40 * 0.4 = 0.16.
# Cost: 7 * 0.10 + 0 + (2 + 0.4/0.72) * 0.20 + 0 = 0.70 + 0.51111 = 1.21 EUR, against 2.00 EUR without the battery.
def test_the_plan_buys_cheap_hours_for_dear_ones_as_worked_by_hand():
    lp = program(fleet(eta_charge=0.9, eta_discharge=0.8))
    plan = lp.solve(window([2.0, 2.0, 2.0, 2.0], [0.10, 0.30, 0.20, 0.40]))
    assert plan.battery_kw[:, 0] == pytest.approx([5.0, -2.0, 0.4 / 0.72, -2.0])
    assert plan.cost_eur == pytest.approx(1.21111, abs=1e-5)


# Surplus 3 kW, then deficits of 1 and 2 kW; lossless battery of 2 kW. Storing 2 kWh of the surplus gives up 0.20 EUR and
# saves 0.60; the third kWh is sold, the last one bought: -0.10 + 0.30 = 0.20 EUR.
def test_surplus_is_stored_rather_than_sold_as_worked_by_hand():
    plan = program(fleet(charge_kw=2.0, discharge_kw=2.0)).solve(window([-3.0, 1.0, 2.0], 0.30, 0.10))
    assert plan.battery_kw[0, 0] == pytest.approx(2.0)
    assert plan.battery_kw.sum() == pytest.approx(0.0)
    assert plan.cost_eur == pytest.approx(0.20)


# Half of the energy is gone after a day at rest, so of 8 kWh only 8 * 0.5^(1/24) are there after an hour.
def test_the_plan_counts_the_standing_loss():
    plan = program(fleet(loss_per_day=0.5)).solve(window([0.0, 9.0], [0.0, 0.3], soc=0.8))
    assert plan.battery_kw[1, 0] == pytest.approx(-5.0)
    plan = program(fleet(loss_per_day=0.5, discharge_kw=9.0, charge_kw=0.0)).solve(
        window([0.0, 9.0], [0.0, 0.3], soc=0.8)
    )
    assert plan.battery_kw[:, 0] == pytest.approx([0.0, -8.0 * 0.5 ** (2 / 24)])


# A stored kWh saves 0.9 * 0.30 = 0.27 EUR when it is used and costs 0.30 / 0.9 = 0.333 EUR to buy.
@pytest.mark.parametrize(
    ("worth", "expected_kw"),
    [(0.05, -3.6), (0.30, 0.0), (0.35, 1.0 / 0.9)],
    ids=[
        "worth less than it saves",
        "worth more than it saves, less than it costs",
        "worth more than it costs",
    ],
)
def test_energy_left_at_the_end_is_used_kept_or_bought_by_its_worth(worth, expected_kw):
    lp = program(fleet(soc_max=0.5, eta_charge=0.9, eta_discharge=0.9))
    plan = lp.solve(window([4.0], 0.30, soc=0.4, worth=worth))
    assert plan.battery_kw[0, 0] == pytest.approx(expected_kw)


def test_a_window_shorter_than_the_horizon_gives_the_plan_of_a_shorter_program():
    battery = fleet(2, eta_charge=0.9, eta_discharge=0.8, loss_per_day=0.1)
    cut = window([2.0, -3.0, 4.0], [0.1, 0.3, 0.5], 0.05, soc=0.3, worth=0.1, n_batteries=2)
    long, short = program(battery, horizon=7), program(battery, horizon=3)
    long.solve(window([1.0] * 7, 0.2, soc=0.5, n_batteries=2))
    expected = short.solve(cut)
    found = long.solve(cut)
    assert found.cost_eur == pytest.approx(expected.cost_eur, abs=1e-9)
    assert found.battery_kw.shape == (3, 2)


def test_two_batteries_of_a_home_are_planned_together():
    plan = program(fleet(2), horizon=2).solve(window([8.0, 0.0], [0.3, 0.0], soc=0.4, n_batteries=2))
    assert plan.battery_kw[0].sum() == pytest.approx(-8.0)


@pytest.mark.parametrize("soc", [0.05, 0.97], ids=["below the window", "above the window"])
def test_a_battery_that_starts_outside_its_window_is_planned(soc):
    battery = fleet(soc_min=0.1, soc_max=0.9, loss_per_day=0.01)
    plan = program(battery).solve(window([1.0, 1.0, 1.0, 1.0], 0.3, soc=soc, worth=0.1))
    lowest_kw, highest_kw = power_limits_kw(battery, np.array([soc]), 3600.0)
    assert lowest_kw[0] <= plan.battery_kw[0, 0] <= highest_kw[0]
    assert plan.battery_kw[0, 0] == pytest.approx(0.0 if soc < 0.5 else -1.0)


# Without the weight, any of the plans costs the same; with it, 6 kWh of surplus over three hours are taken evenly.
def test_a_peak_weight_flattens_the_meter():
    lp = program(fleet(), horizon=3, peak_weight_eur_kw=0.01)
    plan = lp.solve(window([-4.0, -4.0, -4.0], 0.3, 0.1, worth=0.2))
    assert plan.battery_kw.sum() == pytest.approx(10.0)
    assert np.max(-(np.array([-4.0] * 3) + plan.battery_kw[:, 0])) == pytest.approx(2 / 3)


def test_export_that_pays_more_than_import_costs_is_not_turned_over_at_the_meter():
    plan = program(fleet()).solve(window([1.0, 1.0], 0.10, 0.50, soc=0.0))
    assert plan.cost_eur == pytest.approx(0.20)


def test_negative_prices_keep_the_proposal_inside_the_battery_limits():
    battery = fleet(eta_charge=0.9, eta_discharge=0.9)
    plan = program(battery).solve(window([1.0, 1.0, 1.0], [-0.2, -0.1, 0.3], -0.3))
    lowest_kw, highest_kw = power_limits_kw(battery, np.zeros(1), 3600.0)
    assert lowest_kw[0] <= plan.battery_kw[0, 0] <= highest_kw[0]
    assert plan.battery_kw[0, 0] > 0.0


@pytest.mark.parametrize(
    ("field", "value"), [("net_kw", np.nan), ("price_import_eur_kwh", np.inf), ("soc", np.nan)]
)
def test_a_gap_in_what_is_known_names_home_step_and_field(field, value):
    good = window([1.0, 1.0], 0.2)
    broken = getattr(good, field).copy()
    broken[-1] = value
    with pytest.raises(
        ControllerError, match=rf"home 'Rossi', step 7: {field}\[{len(broken) - 1}\] .*fill the gap"
    ):
        program(fleet()).solve(replace(good, **{field: broken}))


def test_a_program_without_optimum_names_home_step_status_and_remedy():
    lp = program(fleet())
    lp._highs.setOptionValue("simplex_iteration_limit", 0)
    lp._highs.setOptionValue("presolve", "off")
    message = r"home 'Rossi', step 7: the LP over 4 steps .*'.*[Ii]teration.*'.* or use another strategy"
    with pytest.raises(ControllerError, match=message):
        lp.solve(window([2.0, 2.0, 2.0, 2.0], [0.10, 0.30, 0.20, 0.40]))


def test_a_home_without_battery_has_no_program():
    plant = site(fleet(2), battery_home=(2, 2), n_homes=3)
    mpc = Mpc(plant)
    known = forecast(np.ones((4, 3)), 0.2)
    assert len(mpc._programs) == 1
    assert mpc.decide(observation(known, step=0, soc=[0.5, 0.5])).battery_kw.shape == (2,)


@pytest.mark.parametrize(
    ("net_kw", "expected_kw"),
    [([-9.0, 0.0], [0.0, 2.0, 0.0]), ([0.0, -9.0], [1.0, 0.0, 3.0])],
    ids=["surplus in the first home", "surplus in the second home"],
)
def test_batteries_keep_the_order_of_the_site(net_kw, expected_kw):
    battery = replace(fleet(3), charge_kw=np.array([1.0, 2.0, 3.0]))
    mpc = Mpc(site(battery, n_steps=2, battery_home=(1, 0, 1), n_homes=2), terminal_price_eur_kwh=0.15)
    known = forecast([net_kw, [0.0, 0.0]], 0.3, 0.1)
    found = mpc.decide(observation(known, step=0, soc=[0.0, 0.0, 0.0])).battery_kw
    assert found == pytest.approx(expected_kw)


def test_without_batteries_there_is_nothing_to_ask_for():
    nobody = BatteryFleet(**{field.name: np.zeros(0) for field in fields(BatteryFleet)})
    known = forecast(np.ones((4, 1)), 0.2)
    assert Mpc(site(nobody, battery_home=())).decide(observation(known, step=0, soc=[])).battery_kw.shape == (
        0,
    )


class CountingForecast:
    """A perfect forecast that counts how often a window is asked for."""

    def __init__(self, known):
        self.known, self.asked_at = known, []

    def window(self, step, horizon):
        if horizon > 1:
            self.asked_at.append(step)
        return self.known.window(step, horizon)

    def prices(self, step, horizon):
        return self.known.prices(step, horizon)


@pytest.mark.parametrize(
    ("replan_every_h", "expected"), [(1.0, [0, 1, 2, 3, 4, 5]), (2.0, [0, 2, 4]), (4.0, [0, 4])]
)
def test_a_plan_is_followed_until_the_next_one_is_due(replan_every_h, expected):
    known = CountingForecast(forecast(np.ones((6, 1)), 0.2))
    plant = site(fleet(), n_steps=6)
    mpc = Mpc(plant, horizon_h=4, replan_every_h=replan_every_h)
    rehearse(mpc, plant, pv_available_kw=np.zeros((6, 0)), soc_start=np.array([0.5]), forecast=known)
    assert known.asked_at == expected


def test_a_battery_that_could_not_follow_gets_what_it_can_hold():
    known = forecast([[0.0], [0.0], [2.0], [2.0]], [0.1, 0.1, 0.4, 0.4])
    mpc = Mpc(site(fleet()), replan_every_h=4, terminal_price_eur_kwh=0.0)
    mpc.decide(observation(known, step=0, soc=[0.0]))
    assert mpc.decide(observation(known, step=2, soc=[0.1])).battery_kw == pytest.approx([-1.0])


# Planned on a load of 1 kW; what is metered in the step after the plan differs, and the meter was to stay at 0.
@pytest.mark.parametrize(
    ("net_kw", "soc", "expected_kw"),
    [(1.0, [0.4, 0.4], -1.0), (3.0, [0.4, 0.4], -3.0), (-2.0, [0.4, 0.4], 2.0), (3.0, [0.1, 0.1], -2.0)],
    ids=["as forecast", "more load", "surplus instead of load", "more load than energy left"],
)
def test_between_two_plans_the_meter_follows_the_plan(net_kw, soc, expected_kw):
    expected, battery = forecast(np.ones((4, 1)), 0.3), fleet(2, eta_charge=0.9)
    mpc = Mpc(site(battery, battery_home=(0, 0)), replan_every_h=4, terminal_price_eur_kwh=0.15)
    mpc.decide(observation(expected, step=0, soc=[0.5, 0.5]))
    met = forecast(np.full((4, 1), net_kw), 0.3)
    found = mpc.decide(observation(met, step=1, soc=soc)).battery_kw
    assert found.sum() == pytest.approx(expected_kw)


# 4 kW of surplus now and, by forecast, in the next hour; only one of them fits into the battery.
@pytest.mark.parametrize(("caution_eur_kwh", "expected_kw"), [(0.0, 0.0), (0.02, 4.0)])
def test_caution_stores_surplus_while_it_is_there(caution_eur_kwh, expected_kw):
    known = forecast([[-4.0], [-4.0], [4.0], [0.0]], 0.3, 0.1)
    battery = fleet(capacity_kwh=4.0, loss_per_day=0.01)
    mpc = Mpc(site(battery), caution_eur_kwh=caution_eur_kwh, terminal_price_eur_kwh=0.0)
    found = mpc.decide(observation(known, step=0, soc=[0.0])).battery_kw
    assert found == pytest.approx([expected_kw], abs=0.01)


def test_the_worth_of_stored_energy_lies_between_selling_and_using_it_and_is_kept_at_the_end():
    known = forecast(np.ones((4, 1)), [0.2, 0.2, 0.4, 0.4], 0.1)
    mpc = Mpc(site(fleet(eta_discharge=0.9)), horizon_h=3)
    assert np.isnan(mpc.stored_value_eur_kwh[0])
    mpc.decide(observation(known, step=1, soc=[0.5]))
    assert mpc.stored_value_eur_kwh == pytest.approx([0.9 * 0.5 * (1.0 / 3 + 0.1)])
    mpc.decide(observation(known, step=2, soc=[0.5]))
    assert mpc.stored_value_eur_kwh == pytest.approx([0.9 * 0.5 * (1.0 / 3 + 0.1)])


# one day, hour by hour: 1 kW of load, 4 kW of surplus from 10 to 14 h, prices 0.30 and 0.05 all day
def test_at_flat_prices_the_plan_is_as_cheap_as_the_rule():
    net_kw = np.ones((24, 1))
    net_kw[10:14] = -4.0
    known, battery = forecast(net_kw, 0.30, 0.05), fleet(eta_charge=0.95, eta_discharge=0.95)
    plant = site(battery, n_steps=24)
    options = {"pv_available_kw": np.zeros((24, 0)), "soc_start": np.array([0.2]), "forecast": known}
    mpc = Mpc(plant)
    planned = rehearse(mpc, plant, **options)
    ruled = rehearse(SelfConsumption(plant), plant, **options)
    worth = mpc.stored_value_eur_kwh[0] * battery.capacity_kwh[0]
    assert planned.cost_eur[0] - worth * planned.soc[-1, 0] == pytest.approx(
        ruled.cost_eur[0] - worth * ruled.soc[-1, 0], abs=1e-9
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"horizon_h": 0.5}, "horizon_h must be at least one step, 1 h"),
        ({"horizon_h": float("nan")}, "horizon_h"),
        ({"replan_every_h": 0.0}, "replan_every_h must be above 0"),
        ({"replan_every_h": 25.0}, "replan_every_h must be above 0 and at most horizon_h"),
        ({"forecast": "oracle"}, "forecast must be one of perfect, persistence"),
        ({"terminal_price_eur_kwh": float("inf")}, "terminal_price_eur_kwh must be finite"),
        ({"caution_eur_kwh": float("nan")}, "caution_eur_kwh must be at least 0"),
        ({"peak_weight_eur_kw": -1.0}, "peak_weight_eur_kw must be at least 0"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        Mpc(site(fleet()), **params)
