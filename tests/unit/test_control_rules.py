"""The rules, row by row."""

import numpy as np
import pytest

from models.battery import BatteryFleet
from twin.control import Observation, Site
from twin.control.forecast import PerfectForecast
from twin.control.rules import NoControl, PeakShaving, SelfConsumption


def fleet(n=1, *, capacity_kwh=10.0, power_kw=5.0):
    return BatteryFleet(
        capacity_kwh=np.full(n, capacity_kwh),
        charge_kw=np.broadcast_to(np.asarray(power_kw, dtype=float), (n,)).copy(),
        discharge_kw=np.broadcast_to(np.asarray(power_kw, dtype=float), (n,)).copy(),
        eta_charge=np.ones(n),
        eta_discharge=np.ones(n),
        soc_min=np.full(n, 0.1),
        soc_max=np.full(n, 0.9),
        loss_per_day=np.zeros(n),
    )


def site(battery, battery_home=(0,), n_homes=1):
    return Site(
        dt_s=3600,
        n_steps=24,
        steps_per_day=24,
        home_name=tuple(f"home {i}" for i in range(n_homes)),
        pv_home=np.zeros(0, dtype=np.int64),
        pv_rated_kw=np.zeros(0),
        battery_home=np.asarray(battery_home, dtype=np.int64),
        battery=battery,
    )


def seen(net_kw, soc):
    net_kw = np.asarray(net_kw, dtype=float)
    n_homes = len(net_kw)
    series, prices = np.zeros((24, n_homes)), np.zeros(24)
    return Observation(
        step=0,
        time_s=0,
        load_kw=np.maximum(net_kw, 0.0),
        pv_kw=np.minimum(net_kw, 0.0),
        soc=np.asarray(soc, dtype=float),
        vm_pu=np.full(n_homes, np.nan),
        grid_kw=np.full(n_homes, np.nan),
        price_import_eur_kwh=0.25,
        price_export_eur_kwh=0.08,
        forecast=PerfectForecast(
            load_kw=series, pv_kw=series, price_import_eur_kwh=prices, price_export_eur_kwh=prices
        ),
    )


def test_without_control_batteries_rest():
    proposal = NoControl(site(fleet(2), (0, 0))).decide(seen([3.0], [0.5, 0.5]))
    assert proposal.battery_kw.tolist() == [0.0, 0.0]
    assert proposal.pv_limit_kw is None


@pytest.mark.parametrize(
    ("net_kw", "soc", "expected_kw"),
    [
        (-2.0, 0.5, 2.0),
        (2.0, 0.5, -2.0),
        (0.0, 0.5, 0.0),
        (-9.0, 0.1, 5.0),
        (-9.0, 0.8, 1.0),
        (9.0, 0.2, -1.0),
        (2.0, 0.05, 0.0),
    ],
    ids=[
        "surplus charges",
        "deficit discharges",
        "balanced rests",
        "surplus above the rated power",
        "surplus above the room left",
        "deficit above the energy left",
        "below soc_min nothing is given",
    ],
)
def test_self_consumption_brings_the_meter_to_zero_as_far_as_it_can(net_kw, soc, expected_kw):
    proposal = SelfConsumption(site(fleet())).decide(seen([net_kw], [soc]))
    assert proposal.battery_kw == pytest.approx([expected_kw])


def test_batteries_of_a_home_share_in_proportion_to_available_power():
    rule = SelfConsumption(site(fleet(2, power_kw=[1.0, 3.0]), (0, 0)))
    assert rule.decide(seen([-2.0], [0.5, 0.5])).battery_kw == pytest.approx([0.5, 1.5])
    assert rule.decide(seen([-2.0], [0.5, 0.9])).battery_kw == pytest.approx([1.0, 0.0])


def test_a_home_does_not_serve_its_neighbour():
    rule = SelfConsumption(site(fleet(2), (0, 2), n_homes=3))
    assert rule.decide(seen([0.0, 4.0, -1.0], [0.5, 0.5])).battery_kw == pytest.approx([0.0, 1.0])


# the window is 1 to 9 kWh, so the reserve of one half ends at 5 kWh
@pytest.mark.parametrize(
    ("net_kw", "soc", "expected_kw"),
    [
        (5.0, 0.5, -2.0),
        (5.0, 0.2, -1.0),
        (2.5, 0.5, 0.0),
        (2.5, 0.6, -1.0),
        (5.0, 0.8, -3.0),
        (-3.0, 0.5, 1.0),
        (-1.0, 0.5, 0.0),
        (-1.0, 0.4, 1.0),
        (-3.0, 0.1, 4.0),
        (1.0, 0.3, 0.5),
        (2.0, 0.3, 0.0),
        (-9.0, 0.85, 0.5),
    ],
    ids=[
        "the reserve serves the peak",
        "the peak takes what is left above soc_min",
        "the reserve is kept below the limit",
        "energy above the reserve covers the load",
        "peak and load together leave the reserve",
        "feed-in above the limit is stored",
        "feed-in below the limit passes at the reserve",
        "surplus refills the reserve",
        "excess and grid refill the reserve together",
        "the grid refills up to the charge limit",
        "no refill above the charge limit",
        "a full battery takes no more",
    ],
)
def test_peak_shaving_holds_the_meter_inside_its_limits(net_kw, soc, expected_kw):
    rule = PeakShaving(site(fleet()), limit_kw=3.0, export_limit_kw=2.0)
    assert rule.decide(seen([net_kw], [soc])).battery_kw == pytest.approx([expected_kw])


def test_peak_shaving_without_an_export_limit_stores_all_surplus():
    rule = PeakShaving(site(fleet()), limit_kw=3.0)
    assert rule.decide(seen([-1.0], [0.7])).battery_kw == pytest.approx([1.0])


def test_peak_shaving_without_grid_charging_refills_from_surplus_only():
    rule = PeakShaving(site(fleet()), limit_kw=3.0, charge_limit_kw=0.0)
    assert rule.decide(seen([0.5], [0.2])).battery_kw == pytest.approx([0.0])
    assert rule.decide(seen([-0.5], [0.2])).battery_kw == pytest.approx([0.5])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"limit_kw": -1.0}, "limit_kw must be at least 0"),
        ({"limit_kw": float("nan")}, "limit_kw must be at least 0"),
        ({"limit_kw": 3.0, "charge_limit_kw": 4.0}, "charge_limit_kw must be at most limit_kw 3"),
        ({"limit_kw": 3.0, "export_limit_kw": -1.0}, "export_limit_kw must be at least 0"),
        ({"limit_kw": 3.0, "reserve_share": 1.0}, "reserve_share must be above 0 and below 1"),
    ],
)
def test_peak_shaving_refuses_parameters_that_make_no_sense(params, message):
    with pytest.raises(ValueError, match=message):
        PeakShaving(site(fleet()), **params)
