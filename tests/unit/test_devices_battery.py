"""Batteries with losses by power, derating and fading, against numbers by hand and closed forms."""

import numpy as np
import pytest

from models.devices import battery_detailed
from models.devices.base import Causality
from models.devices.numpy_block import NumpyBlock

OUTPUTS = battery_detailed.KIND.named(Causality.OUTPUT)
IDEAL = {"eta_charge": 1.0, "eta_discharge": 1.0, "soc_min": 0.0, "soc_max": 1.0}


def battery(**parameters):
    return NumpyBlock(
        battery_detailed,
        size=1,
        parameters=parameters,
        inputs=("p_set_kw",),
        outputs=OUTPUTS,
        label="battery",
    )


def step(device, p_set_kw, dt_s=3600.0):
    shown = device.step(np.array([[p_set_kw]]), time_s=0.0, dt_s=dt_s)
    return dict(zip(OUTPUTS, shown[:, 0].tolist(), strict=True))


def test_charging_for_an_hour_by_hand():
    shown = step(battery(), 2.0)
    assert shown["p_kw"] == 2.0
    assert shown["soc"] == pytest.approx(0.5 + 0.95 * 2.0 / 10.0, abs=1e-15)
    assert shown["lost_kwh"] == pytest.approx(0.1, abs=1e-15)


def test_the_further_loss_grows_with_the_square_of_power():
    # 10 % of rated power at rated power, a quarter of that loss at half power
    full = step(battery(loss_quadratic=0.1), 5.0, 1800.0)
    half = step(battery(loss_quadratic=0.1), 2.5, 1800.0)
    assert full["soc"] == pytest.approx(0.5 + (0.95 * 2.5 - 0.25) / 10.0, abs=1e-14)
    assert half["soc"] == pytest.approx(0.5 + (0.95 * 1.25 - 0.0625) / 10.0, abs=1e-14)
    assert half["lost_kwh"] == pytest.approx(0.05 * 1.25 + 0.0625, abs=1e-14)


def test_a_battery_that_loses_more_at_power_still_fills_exactly():
    shown = step(battery(**IDEAL, loss_quadratic=0.1, soc_start=0.8), 5.0)
    # p - 0.1 p^2 / 5 = 2 kWh in an hour
    assert shown["p_kw"] == pytest.approx((1.0 - np.sqrt(1.0 - 4 * 0.02 * 2.0)) / (2 * 0.02), rel=1e-12)
    assert shown["soc"] == pytest.approx(1.0, abs=1e-14)


def test_a_battery_at_rest_covers_its_own_consumption():
    shown = step(battery(standby_kw=0.02), 0.0)
    assert shown["p_kw"] == 0.0
    assert shown["soc"] == pytest.approx(0.5 - 0.02 / 0.95 / 10.0, abs=1e-15)


def test_an_empty_battery_takes_its_own_consumption_from_the_grid():
    shown = step(battery(standby_kw=0.02, soc_start=0.1), -5.0)
    assert shown["p_kw"] == pytest.approx(0.02, abs=1e-15)
    assert shown["lost_kwh"] == pytest.approx(0.02, abs=1e-15)


@pytest.mark.parametrize("dt_s", [10.0, 60.0, 900.0])
def test_the_taper_holds_at_the_end_of_the_step(dt_s):
    shown = step(battery(taper_high_soc=0.2, soc_start=0.85), 5.0, dt_s)
    assert shown["p_kw"] == pytest.approx(5.0 * (0.95 - shown["soc"]) / 0.2, rel=1e-12)
    shown = step(battery(taper_low_soc=0.2, soc_start=0.2), -5.0, dt_s)
    assert shown["p_kw"] == pytest.approx(-5.0 * (shown["soc"] - 0.1) / 0.2, rel=1e-12)


def test_a_tapered_battery_fills_exponentially():
    device = battery(**IDEAL, taper_high_soc=0.2, soc_start=0.8)
    tau_s = 0.2 * 10.0 / 5.0 * 3600.0
    for k in range(1, 241):
        shown = step(device, 5.0, 10.0)
        assert shown["soc"] == pytest.approx(1.0 - 0.2 * np.exp(-k * 10.0 / tau_s), abs=3e-4)


def test_a_tapered_battery_neither_oscillates_nor_overfills_in_long_steps():
    device = battery(taper_high_soc=0.05, charge_kw=20.0)
    power_kw = [step(device, 20.0, 3600.0) for _ in range(10)]
    soc = [shown["soc"] for shown in power_kw]
    assert all(np.diff(soc) >= 0.0)
    assert soc[-1] <= 0.95 + 1e-12
    assert all(np.diff([shown["p_kw"] for shown in power_kw]) <= 0.0)


@pytest.mark.parametrize(
    ("temp_degc", "share"), [(20.0, 1.0), (35.0, 1.0), (40.0, 0.5), (45.0, 0.0), (60.0, 0.0)]
)
def test_a_hot_battery_gives_less(temp_degc, share):
    hot = {"temp_start_degc": temp_degc, "temp_derate_start_degc": 35.0, "temp_derate_end_degc": 45.0}
    assert step(battery(**hot), 5.0, 60.0)["p_kw"] == pytest.approx(5.0 * share, abs=1e-12)
    assert step(battery(**hot), -5.0, 60.0)["p_kw"] == pytest.approx(-5.0 * share, abs=1e-12)


def test_a_battery_at_rest_cools_to_the_air_exponentially():
    shown = step(battery(temp_start_degc=50.0), 0.0, 6 * 3600.0)
    assert shown["temp_degc"] == pytest.approx(20.0 + 30.0 * np.exp(-6.0 * 0.005 / 0.03), abs=1e-12)


def test_a_battery_without_conductance_keeps_its_heat():
    shown = step(battery(conductance_kw_k=0.0), 2.0)
    assert shown["temp_degc"] == pytest.approx(20.0 + 0.1 / 0.03, abs=1e-12)


def test_a_battery_settles_where_the_air_takes_its_losses():
    device = battery(capacity_kwh=1e6, eta_charge=0.95)
    for _ in range(200):
        shown = step(device, 2.0)
    assert shown["temp_degc"] == pytest.approx(20.0 + 0.1 / 0.005, abs=1e-9)


def test_a_full_cycle_costs_the_fade_of_a_cycle():
    device = battery(**IDEAL, soc_start=0.0, fade_per_cycle=1e-4)
    step(device, 5.0, 2 * 3600.0)
    shown = step(device, -5.0, 2 * 3600.0)
    # the second half moves 5e-5 less, since half the fade came with the first
    assert shown["health"] == pytest.approx(1.0 - 0.5e-4 * (2.0 - 0.5e-4), abs=1e-14)
    assert shown["soc"] == pytest.approx(0.0, abs=1e-14)


def test_a_year_at_rest_costs_the_fade_of_a_year():
    shown = step(battery(fade_per_year=0.02), 0.0, 8760 * 3600.0)
    assert shown["health"] == pytest.approx(0.98, abs=1e-15)
    assert shown["soc"] == 0.5
    assert shown["lost_kwh"] == pytest.approx(0.02 * 0.5 * 10.0, abs=1e-12)


def test_steps_of_10_s_and_60_s_agree_over_a_day():
    random = np.random.default_rng(1)
    hot = {"temp_derate_start_degc": 30.0, "temp_derate_end_degc": 45.0, "loss_quadratic": 0.03}
    extras = hot | {"taper_low_soc": 0.1, "taper_high_soc": 0.1, "loss_per_day": 0.001, "standby_kw": 0.01}
    short, long = battery(**extras), battery(**extras)
    taken_kwh = np.zeros(2)
    for p_set_kw in random.uniform(-5.0, 5.0, 96):
        for _ in range(15):
            small = [step(short, p_set_kw, 10.0) for _ in range(6)][-1]
            large = step(long, p_set_kw, 60.0)
            assert large["soc"] == pytest.approx(small["soc"], abs=0.003)
            assert large["temp_degc"] == pytest.approx(small["temp_degc"], abs=0.05)
            taken_kwh += small["lost_kwh"] * 6, large["lost_kwh"]
    assert taken_kwh[1] == pytest.approx(taken_kwh[0], rel=0.01)
