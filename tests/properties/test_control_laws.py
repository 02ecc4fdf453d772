"""Laws of the strategies."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from models.battery import BatteryFleet, clip_power_kw, retention
from twin.control import Proposal, Site, share_out_kw, total_by
from twin.control.forecast import PerfectForecast
from twin.control.mpc import Mpc
from twin.control.planning.home_lp import HomeLp, HomeWindow
from twin.control.rehearsal import rehearse
from twin.control.rules import PeakShaving, SelfConsumption

DT_S = 3600
seeds = st.integers(min_value=0, max_value=2**32 - 1)


def random_fleet(rng, n):
    soc_min = rng.uniform(0.0, 0.3, n)
    return BatteryFleet(
        capacity_kwh=rng.uniform(1.0, 15.0, n),
        charge_kw=rng.uniform(0.0, 6.0, n),
        discharge_kw=rng.uniform(0.0, 6.0, n),
        eta_charge=rng.uniform(0.7, 1.0, n),
        eta_discharge=rng.uniform(0.7, 1.0, n),
        soc_min=soc_min,
        soc_max=rng.uniform(0.6, 1.0, n),
        loss_per_day=rng.choice([0.0, 0.0013, 0.05], n),
    )


def subset(fleet, index):
    return BatteryFleet(**{field.name: getattr(fleet, field.name)[index] for field in fields(fleet)})


def plant(battery, battery_home, *, n_homes, n_steps):
    return Site(
        dt_s=DT_S,
        n_steps=n_steps,
        steps_per_day=24,
        home_name=tuple(f"home {i}" for i in range(n_homes)),
        pv_home=np.arange(n_homes),
        pv_rated_kw=np.full(n_homes, 5.0),
        battery_home=battery_home,
        battery=battery,
    )


def random_days(rng, *, n_steps, n_homes):
    """Return a forecast and its PV: prices of at least 0, export never above import."""
    hour = np.arange(n_steps) % 24
    sun = np.maximum(np.sin((hour - 6) / 12 * np.pi), 0.0)[:, None]
    pv_kw = -rng.uniform(0.0, 6.0, n_homes) * sun * rng.uniform(0.3, 1.0, (n_steps, n_homes))
    load_kw = rng.gamma(1.0, 0.7, (n_steps, n_homes))
    price_import = rng.uniform(0.1, 0.4, 24)[hour]
    known = PerfectForecast(
        load_kw=load_kw,
        pv_kw=pv_kw,
        price_import_eur_kwh=price_import,
        price_export_eur_kwh=rng.uniform(0.0, 0.9) * price_import,
    )
    return known, pv_kw


@given(seed=seeds)
def test_devices_share_exactly_what_is_wanted_or_all_they_have(seed):
    rng = np.random.default_rng(seed)
    home = rng.integers(0, 4, 6)
    available_kw = rng.choice([0.0, 1.0, 2.5], 6) * rng.uniform(0.0, 1.0, 6)
    wanted_kw = rng.uniform(0.0, 3.0, 4)
    given_kw = share_out_kw(wanted_kw, available_kw, home=home)
    total_kw = total_by(home, available_kw, 4)
    assert np.all((given_kw >= 0.0) & (given_kw <= available_kw))
    assert total_by(home, given_kw, 4) == pytest.approx(np.minimum(wanted_kw, total_kw))


@pytest.mark.parametrize("name", ["self_consumption", "peak_shaving"])
@given(seed=seeds)
def test_a_rule_asks_only_for_what_the_batteries_can_hold_and_helps_the_meter(name, seed):
    rng = np.random.default_rng(seed)
    battery, battery_home = random_fleet(rng, 5), rng.integers(0, 3, 5)
    site = plant(battery, battery_home, n_homes=3, n_steps=1)
    rule = (
        SelfConsumption(site)
        if name == "self_consumption"
        else PeakShaving(site, limit_kw=2.0, export_limit_kw=1.0)
    )
    known, pv_kw = random_days(rng, n_steps=48, n_homes=3)
    step = int(rng.integers(0, 48))
    load_kw = known.window(step, 1)[0][0]
    soc_start = rng.uniform(0.0, 1.0, 5)
    one = PerfectForecast(
        load_kw=load_kw[None],
        pv_kw=pv_kw[[step]],
        price_import_eur_kwh=np.ones(1),
        price_export_eur_kwh=np.ones(1),
    )
    done = rehearse(rule, site, pv_available_kw=pv_kw[[step]], soc_start=soc_start, forecast=one)
    assert done.battery_kw[0] == pytest.approx(clip_power_kw(battery, soc_start, done.battery_kw[0], DT_S))
    net_kw, grid_kw = load_kw + pv_kw[step], done.grid_kw[0]
    # a rule never turns import into export or back, and peak shaving imports more only below its charge limit of 1 kW
    ceiling_kw = np.maximum(net_kw, 0.0 if name == "self_consumption" else 1.0)
    assert np.all(grid_kw <= ceiling_kw + 1e-9)
    assert np.all(grid_kw >= np.minimum(net_kw, 0.0) - 1e-9)


@pytest.mark.parametrize("name", ["self_consumption", "peak_shaving", "mpc"])
@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_the_order_of_the_batteries_changes_nothing(name, seed):
    rng = np.random.default_rng(seed)
    battery, battery_home, soc_start = random_fleet(rng, 4), rng.permutation(4), rng.uniform(0.2, 0.6, 4)
    known, pv_kw = random_days(rng, n_steps=24, n_homes=4)
    order = rng.permutation(4)
    make = {
        "self_consumption": SelfConsumption,
        "peak_shaving": lambda site: PeakShaving(site, limit_kw=2.0),
        "mpc": Mpc,
    }[name]

    def run(index):
        site = plant(subset(battery, index), battery_home[index], n_homes=4, n_steps=24)
        return rehearse(make(site), site, pv_available_kw=pv_kw, soc_start=soc_start[index], forecast=known)

    assert np.array_equal(run(order).battery_kw, run(np.arange(4)).battery_kw[:, order])


def linprog_cost(battery, window):
    """Return the optimum of the same problem stated without stored energy as a variable, for one battery."""
    n, dt_h = len(window.net_kw), DT_S / 3600
    kept = retention(battery, DT_S)[0]
    age = np.arange(n)[:, None] - np.arange(n)[None, :]
    decay = np.where(age >= 0, kept ** np.maximum(age, 0), 0.0)
    start_kwh = kept ** np.arange(1, n + 1) * window.soc[0] * battery.capacity_kwh[0]
    e_of_c, e_of_d = decay * battery.eta_charge[0] * dt_h, -decay * dt_h / battery.eta_discharge[0]
    one, worth = np.eye(n), window.stored_value_eur_kwh[0]
    cost = np.concatenate(
        [
            -worth * e_of_c[-1],
            -worth * e_of_d[-1],
            dt_h * window.price_import_eur_kwh,
            -dt_h * window.price_export_eur_kwh,
        ]
    )
    e_of_all = np.hstack([e_of_c, e_of_d, 0 * one, 0 * one])
    low_kwh = battery.soc_min[0] * battery.capacity_kwh[0]
    high_kwh = battery.soc_max[0] * battery.capacity_kwh[0]
    found = linprog(
        cost,
        A_ub=np.vstack([e_of_all, -e_of_all]),
        b_ub=np.concatenate(
            [np.maximum(high_kwh, start_kwh) - start_kwh, start_kwh - np.minimum(low_kwh, start_kwh)]
        ),
        A_eq=np.hstack([-one, one, one, -one]),
        b_eq=window.net_kw,
        bounds=[(0, battery.charge_kw[0])] * n + [(0, battery.discharge_kw[0])] * n + [(0, None)] * (2 * n),
        method="highs-ipm",
    )
    assert found.status == 0
    return found.fun - worth * start_kwh[-1]


@settings(max_examples=60, deadline=None)
@given(seed=seeds, n=st.integers(min_value=1, max_value=6))
def test_the_kept_program_finds_what_linprog_finds(seed, n):
    rng = np.random.default_rng(seed)
    battery = random_fleet(rng, 1)
    lp = HomeLp("home", battery, dt_s=DT_S, horizon=6)
    for _ in range(3):  # the second and third start from the basis before
        price = rng.uniform(0.0, 0.4, n)
        window = HomeWindow(
            step=0,
            net_kw=rng.uniform(-4.0, 4.0, n),
            price_import_eur_kwh=price,
            price_export_eur_kwh=rng.uniform(0.0, 1.0) * price,
            soc=rng.uniform(0.0, 1.0, 1),
            stored_value_eur_kwh=rng.uniform(0.0, 0.4, 1),
        )
        plan = lp.solve(window)
        assert plan.cost_eur == pytest.approx(linprog_cost(battery, window), abs=1e-6)


class Wanderer:
    """Any feasible way to run the batteries."""

    def __init__(self, site, rng):
        self._site, self._rng = site, rng

    def decide(self, seen):
        fleet = self._site.battery
        wish_kw = self._rng.uniform(-1.0, 1.0, fleet.n) * np.maximum(fleet.charge_kw, fleet.discharge_kw)
        return Proposal(battery_kw=clip_power_kw(fleet, seen.soc, wish_kw, self._site.dt_s))


def topping_up_eur(battery, known, *, n_steps):
    """Return what it can cost at most to make good the standing loss below ``soc_min`` over the run.

    The plan keeps batteries above ``soc_min``, while a rule may let an empty one decay below it for nothing.
    """
    lost_kwh = battery.soc_min * battery.capacity_kwh * (1.0 - retention(battery, DT_S * n_steps))
    return lost_kwh / battery.eta_charge * known.prices(0, n_steps)[0].max()


@pytest.mark.parametrize("other", ["self_consumption", "peak_shaving", "wanderer"])
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_under_perfect_forecast_mpc_never_costs_more_than_any_rule(other, seed):
    rng = np.random.default_rng(seed)
    n_steps, n_homes = 60, 2
    battery = random_fleet(rng, n_homes)
    site = plant(battery, np.arange(n_homes), n_homes=n_homes, n_steps=n_steps)
    known, pv_kw = random_days(rng, n_steps=n_steps, n_homes=n_homes)
    rival = {
        "self_consumption": SelfConsumption(site),
        "peak_shaving": PeakShaving(site, limit_kw=1.5),
        "wanderer": Wanderer(site, rng),
    }[other]
    mpc = Mpc(site, horizon_h=n_steps, replan_every_h=float(rng.choice([1, 5])))
    soc_start = rng.uniform(battery.soc_min, battery.soc_max)

    def run(controller):
        return rehearse(controller, site, pv_available_kw=pv_kw, soc_start=soc_start, forecast=known)

    planned, ruled = run(mpc), run(rival)
    worth_eur = mpc.stored_value_eur_kwh * battery.capacity_kwh
    planned_eur = planned.cost_eur - worth_eur * planned.soc[-1]
    ruled_eur = ruled.cost_eur - worth_eur * ruled.soc[-1]
    assert np.all(planned_eur <= ruled_eur + topping_up_eur(battery, known, n_steps=n_steps) + 1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_the_loop_costs_what_its_first_plan_promised(seed):
    rng = np.random.default_rng(seed)
    battery, n_steps = random_fleet(rng, 1), 36
    battery.loss_per_day[:] = 0.0
    site = plant(battery, np.zeros(1, dtype=np.int64), n_homes=1, n_steps=n_steps)
    known, pv_kw = random_days(rng, n_steps=n_steps, n_homes=1)
    mpc = Mpc(site, horizon_h=n_steps)
    soc_start = rng.uniform(battery.soc_min, battery.soc_max)
    done = rehearse(mpc, site, pv_available_kw=pv_kw, soc_start=soc_start, forecast=known)
    load_kw, _ = known.window(0, n_steps)
    price_import, price_export = known.prices(0, n_steps)
    worth_eur_kwh = battery.eta_discharge * 0.5 * (price_import.mean() + price_export.mean())
    promised = HomeLp("home", battery, dt_s=DT_S, horizon=n_steps).solve(
        HomeWindow(
            step=0,
            net_kw=(load_kw + pv_kw)[:, 0],
            price_import_eur_kwh=price_import,
            price_export_eur_kwh=price_export,
            soc=soc_start,
            stored_value_eur_kwh=worth_eur_kwh,
        )
    )
    left_eur = worth_eur_kwh[0] * battery.capacity_kwh[0] * done.soc[-1, 0]
    assert done.cost_eur[0] - left_eur == pytest.approx(promised.cost_eur, abs=1e-6)
