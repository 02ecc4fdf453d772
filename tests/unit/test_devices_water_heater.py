"""Heat-pump water heaters, against numbers by hand, closed forms and an integrator."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from models.devices import water_heater
from models.devices.base import Causality
from models.devices.numpy_block import NumpyBlock

OUTPUTS = water_heater.KIND.named(Causality.OUTPUT)
INPUTS = water_heater.KIND.named(Causality.INPUT)
QUIET = {"draw_l_min": 0.0, "temp_air_degc": 15.0, "temp_room_degc": 20.0, "p_limit_kw": 1e9}
OFF = {"p_rated_kw": 0.0, "p_element_kw": 0.0, "loss_kw_k": 0.0}
C = water_heater.WATER_KWH_L_K


def heater(**parameters):
    return NumpyBlock(
        water_heater, size=1, parameters=parameters, inputs=INPUTS, outputs=OUTPUTS, label="heater"
    )


def step(device, dt_s=60.0, **inputs):
    seen = QUIET | inputs
    shown = device.step(np.array([[seen[name]] for name in INPUTS]), time_s=0.0, dt_s=dt_s)
    return dict(zip(OUTPUTS, shown[:, 0].tolist(), strict=True))


@pytest.mark.parametrize(
    ("tank_degc", "cop"),
    [(50.0, 6.81 - 0.121 * 35.0 + 0.00063 * 35.0**2), (20.0, 5.13675), (90.0, 1.818)],
    ids=["lift 35 K", "lift below 15 K", "lift above 60 K"],
)
def test_the_coefficient_of_performance_follows_the_lift(tank_degc, cop):
    device = heater(temp_start_degc=tank_degc)
    assert device.start()[OUTPUTS.index("cop"), 0] == pytest.approx(cop, abs=1e-12)


def test_the_coefficient_of_performance_is_never_below_that_of_an_element():
    device = heater(cop_a=0.5, cop_b=0.0, cop_c=0.0)
    assert device.start()[OUTPUTS.index("cop"), 0] == 1.0


def test_a_cold_tank_warms_by_the_heat_of_the_pump():
    # cop_b = cop_c = 0: 0.5 kW x 3 into 200 l
    device = heater(temp_start_degc=30.0, loss_kw_k=0.0, cop_a=3.0, cop_b=0.0, cop_c=0.0)
    shown = step(device, 3600.0)
    assert (shown["p_kw"], shown["heat_kw"]) == pytest.approx((0.5, 1.5), rel=1e-12)
    assert shown["temp_top_degc"] == pytest.approx(30.0 + 1.5 / (200.0 * C), abs=1e-9)
    assert shown["temp_bottom_degc"] == pytest.approx(shown["temp_top_degc"], abs=1e-9)


def test_the_heat_pump_stops_at_its_set_point_within_the_step():
    device = heater(temp_start_degc=47.0, loss_kw_k=0.0, cop_a=3.0, cop_b=0.0, cop_c=0.0)
    shown = step(device, 3600.0)
    assert shown["temp_top_degc"] == pytest.approx(53.0, abs=1e-12)
    assert shown["p_kw"] == pytest.approx(200.0 * C * 6.0 / 3.0, rel=1e-9)
    assert step(device, 3600.0)["p_kw"] == 0.0


def test_the_thermostat_waits_for_its_hysteresis():
    device = heater(temp_start_degc=48.5, loss_kw_k=0.05, p_rated_kw=2.0)
    assert step(device, 10.0)["p_kw"] == 0.0
    powers = [step(device, 10.0) for _ in range(360)]
    starts = [shown["temp_top_degc"] for shown in powers if shown["p_kw"] > 0.0]
    assert 47.9 < starts[0] < 48.1
    assert max(starts) == pytest.approx(53.0, abs=0.2)


def test_a_tank_at_rest_cools_exponentially():
    shown = step(heater(temp_start_degc=50.0, p_rated_kw=0.0), 86400.0)
    expected = 20.0 + 30.0 * np.exp(-0.0015 * 24.0 / (200.0 * C))
    assert shown["temp_top_degc"] == pytest.approx(expected, abs=1e-9)
    assert shown["lost_kwh"] == pytest.approx(200.0 * C * (50.0 - expected), rel=1e-9)


def test_a_hot_tank_meets_the_wish_at_the_tap_exactly():
    shown = step(heater(**OFF, temp_start_degc=60.0), 600.0, draw_l_min=5.0)
    assert shown["drawn_kwh"] == pytest.approx(C * 50.0 * 25.0, rel=1e-12)
    assert shown["unmet_kwh"] == 0.0


def test_a_lukewarm_tank_leaves_the_tap_colder_than_wanted():
    shown = step(heater(**OFF, volume_l=1e6, temp_start_degc=30.0), 60.0, draw_l_min=6.0)
    assert shown["drawn_kwh"] == pytest.approx(C * 6.0 * 15.0, rel=1e-4)
    assert shown["unmet_kwh"] == pytest.approx(C * 6.0 * 10.0, rel=1e-4)


@pytest.mark.parametrize("top_share", [0.2, 0.5, 0.8])
def test_drawing_hot_water_follows_the_two_mixed_volumes(top_share):
    volume_l, use_k, draw_l_min = 150.0, 25.0, 8.0

    def slopes(_, above_k):
        top_k, bottom_k = above_k
        hot_l_s = draw_l_min / 60.0 * use_k / max(top_k, use_k)
        upper_l, lower_l = volume_l * top_share, volume_l * (1.0 - top_share)
        return [hot_l_s * (bottom_k - top_k) / upper_l, -hot_l_s * bottom_k / lower_l]

    device = heater(**OFF, volume_l=volume_l, top_share=top_share, temp_start_degc=60.0)
    exact = solve_ivp(slopes, (0.0, 1800.0), [45.0, 45.0], rtol=1e-10, atol=1e-10, dense_output=True).sol
    drawn_kwh = 0.0
    for minute in range(1, 31):
        shown = step(device, draw_l_min=draw_l_min)
        top_k, bottom_k = exact(60.0 * minute)
        drawn_kwh += shown["drawn_kwh"]
        assert shown["temp_top_degc"] == pytest.approx(15.0 + top_k, abs=0.02)
        assert shown["temp_bottom_degc"] == pytest.approx(15.0 + bottom_k, abs=0.02)
        left_kwh = volume_l * C * (top_share * top_k + (1.0 - top_share) * bottom_k)
        assert drawn_kwh == pytest.approx(volume_l * C * 45.0 - left_kwh, abs=1e-3)


def test_a_large_draw_in_a_long_step_empties_the_tank_without_oscillating():
    device = heater(**OFF, volume_l=80.0, top_share=0.05, temp_start_degc=60.0)
    seen = [step(device, 900.0, draw_l_min=50.0) for _ in range(4)]
    for name in ("temp_top_degc", "temp_bottom_degc"):
        degc = [60.0] + [shown[name] for shown in seen]
        assert all(np.diff(degc) <= 0.0)
        assert degc[-1] == pytest.approx(15.0, abs=1e-6)
    drawn_kwh = sum(shown["drawn_kwh"] for shown in seen)
    assert drawn_kwh == pytest.approx(80.0 * C * 45.0, rel=1e-6)


def test_warm_water_rises():
    # the lower node is heated: it never gets warmer than the upper one
    device = heater(temp_start_degc=52.0, p_rated_kw=3.0, hysteresis_k=0.1)
    step(device, draw_l_min=20.0)
    for _ in range(60):
        shown = step(device)
        assert shown["temp_bottom_degc"] <= shown["temp_top_degc"]
    assert shown["temp_bottom_degc"] == shown["temp_top_degc"]


def test_the_heat_pump_has_the_first_right_to_a_limited_power():
    cold = {"temp_start_degc": 20.0, "p_element_kw": 1.5}
    assert step(heater(**cold))["p_kw"] == pytest.approx(2.0)
    assert step(heater(**cold), p_limit_kw=0.9)["p_kw"] == pytest.approx(0.9)
    alone = step(heater(**cold), p_limit_kw=0.5)
    assert alone["heat_kw"] == pytest.approx(0.5 * 5.13675, rel=1e-2)
    assert step(heater(**cold), p_limit_kw=0.0)["p_kw"] == 0.0


def test_a_limit_below_the_least_power_stops_the_heat_pump():
    assert step(heater(temp_start_degc=20.0, p_min_kw=0.3), p_limit_kw=0.29)["p_kw"] == 0.0
    assert step(heater(temp_start_degc=20.0, p_min_kw=0.3), p_limit_kw=0.3)["p_kw"] == pytest.approx(0.3)


def test_in_cold_air_only_the_element_heats():
    shown = step(heater(temp_start_degc=20.0, p_element_kw=1.5), temp_air_degc=-8.0)
    assert (shown["p_kw"], shown["heat_kw"]) == (pytest.approx(1.5), pytest.approx(1.5))


def test_the_element_stops_at_its_own_set_point():
    device = heater(temp_start_degc=30.0, p_rated_kw=0.0, p_element_kw=3.0, loss_kw_k=0.0)
    for _ in range(60):
        shown = step(device)
    assert shown["temp_top_degc"] == pytest.approx(40.0, abs=1e-9)
    assert shown["temp_bottom_degc"] == 30.0
    assert shown["p_kw"] == 0.0


def busy_day():
    """Return draws [l/min] of a day for each minute, and air temperatures."""
    random = np.random.default_rng(3)
    draw_l_min = np.where(random.random(1440) < 0.025, random.uniform(2.0, 9.0, 1440), 0.0)
    return draw_l_min, 12.0 + 6.0 * np.sin(np.arange(1440) / 1440.0 * 2.0 * np.pi)


def run(device, parts, minutes=1440):
    shown = [
        [step(device, 60.0 / parts, draw_l_min=draw, temp_air_degc=air) for _ in range(parts)]
        for draw, air in zip(*(column[:minutes] for column in busy_day()), strict=True)
    ]
    energy_kwh = sum(row["p_kw"] / 60.0 / parts for minute in shown for row in minute)
    return np.array([minute[-1]["temp_top_degc"] for minute in shown]), energy_kwh


def test_steps_of_10_s_and_60_s_agree_to_rounding_over_a_day():
    short, long = (run(heater(p_element_kw=1.2), parts) for parts in (6, 1))
    np.testing.assert_allclose(long[0], short[0], atol=1e-9)
    assert long[1] == pytest.approx(short[1], rel=1e-9)


def test_steps_of_1_s_and_60_s_agree_to_a_tenth_of_a_kelvin():
    short, long = (run(heater(), parts, minutes=360) for parts in (60, 1))
    assert np.abs(long[0] - short[0]).max() < 0.1
    assert long[1] == pytest.approx(short[1], rel=0.003)
