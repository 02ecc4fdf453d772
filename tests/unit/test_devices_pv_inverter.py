"""PV inverters with a response time and a ramp, against numbers by hand and closed forms."""

import numpy as np
import pytest

from models.devices import pv_inverter
from models.devices.base import Causality
from models.devices.numpy_block import NumpyBlock

OUTPUTS = pv_inverter.KIND.named(Causality.OUTPUT)
INPUTS = ("p_available_kw", "p_limit_kw", "vm_pu")


def inverter(**parameters):
    return NumpyBlock(pv_inverter, size=1, parameters=parameters, inputs=INPUTS, outputs=OUTPUTS, label="pv")


def step(device, p_available_kw, *, p_limit_kw=1e9, vm_pu=1.0, dt_s=60.0):
    shown = device.step(np.array([[p_available_kw], [p_limit_kw], [vm_pu]]), time_s=0.0, dt_s=dt_s)
    return dict(zip(OUTPUTS, shown[:, 0].tolist(), strict=True))


def test_a_fixed_power_factor_by_hand():
    shown = step(inverter(cos_phi=0.8), -6.0)
    assert (shown["p_kw"], shown["locked"]) == (-6.0, 1.0)
    assert shown["q_kvar"] == pytest.approx(4.5, rel=1e-12)
    assert step(inverter(cos_phi=0.8, absorbs=0.0), -6.0)["q_kvar"] == pytest.approx(-4.5, rel=1e-12)


def test_the_limit_from_outside_and_the_rating_bind():
    assert step(inverter(), -12.0)["p_kw"] == -10.0
    assert step(inverter(), -8.0, p_limit_kw=3.0)["p_kw"] == -3.0
    assert step(inverter(), -8.0, p_limit_kw=0.0)["p_kw"] == 0.0


def test_consumption_is_never_available():
    assert step(inverter(), 2.0)["p_kw"] == 0.0


def test_p_v_halves_feed_in_halfway():
    shown = step(inverter(p_v_start_pu=1.06, p_v_end_pu=1.10), -10.0, vm_pu=1.08)
    assert shown["p_kw"] == pytest.approx(-5.0, rel=1e-12)


@pytest.mark.parametrize(
    ("vm_pu", "share"), [(0.9, -0.436), (0.91, -0.218), (1.0, 0.0), (1.09, 0.218), (1.12, 0.436)]
)
def test_q_v_follows_its_four_points(vm_pu, share):
    assert step(inverter(mode=2.0), -8.0, vm_pu=vm_pu)["q_kvar"] == pytest.approx(10.0 * share, abs=1e-12)


def test_q_v_waits_for_its_lock_and_keeps_it():
    device = inverter(mode=2.0)
    assert step(device, -1.0, vm_pu=1.1)["q_kvar"] == 0.0
    assert step(device, -3.0, vm_pu=1.1)["q_kvar"] == pytest.approx(4.36)
    assert step(device, -1.0, vm_pu=1.1)["locked"] == 1.0
    assert step(device, -0.4, vm_pu=1.1)["locked"] == 0.0


def test_power_approaches_its_aim_exponentially():
    shown = step(device := inverter(response_s=20.0), -10.0)
    assert device._state["p_end_kw"][0] == pytest.approx(-10.0 * (1.0 - np.exp(-3.0)), rel=1e-14)
    assert shown["p_kw"] == pytest.approx(-10.0 * (1.0 - (1.0 - np.exp(-3.0)) / 3.0), rel=1e-14)


def test_reactive_power_approaches_its_aim_exponentially():
    device = inverter(mode=2.0, response_s=20.0)
    for _ in range(40):
        step(device, -8.0)
    shown = step(device, -8.0, vm_pu=1.1)
    assert device._state["q_end_kvar"][0] == pytest.approx(4.36 * (1.0 - np.exp(-3.0)), rel=1e-9)
    assert shown["q_kvar"] == pytest.approx(4.36 * (1.0 - (1.0 - np.exp(-3.0)) / 3.0), rel=1e-9)


def test_feed_in_grows_along_its_ramp():
    device = inverter(ramp_up_share_s=0.2 / 60.0)
    powers = [step(device, -8.0)["p_kw"] for _ in range(5)]
    assert powers == pytest.approx([-1.0, -3.0, -5.0, -7.0, -8.0], rel=1e-12)


def test_the_mean_of_a_ramp_that_ends_within_the_step():
    shown = step(inverter(ramp_up_share_s=0.01), -2.0)
    # 20 s from 0 to 2 kW, 40 s at 2 kW
    assert shown["p_kw"] == pytest.approx(-(20.0 * 1.0 + 40.0 * 2.0) / 60.0, rel=1e-12)


def test_ramp_and_response_meet_where_they_are_equally_fast():
    device = inverter(ramp_up_share_s=0.01, response_s=10.0)
    shown = step(device, -5.0)
    # 0.1 kW/s for 40 s up to 4 kW, where (5 - 4) / 10 s is 0.1 kW/s; then 20 s of approach
    assert device._state["p_end_kw"][0] == pytest.approx(-(5.0 - np.exp(-2.0)), rel=1e-12)
    area_kws = 40.0 * 2.0 + 20.0 * 5.0 - 10.0 * (1.0 - np.exp(-2.0))
    assert shown["p_kw"] == pytest.approx(-area_kws / 60.0, rel=1e-12)


def test_a_cloud_acts_at_once():
    device = inverter(response_s=300.0)
    for _ in range(60):
        step(device, -8.0)
    assert step(device, -2.0)["p_kw"] == pytest.approx(-2.0, rel=1e-3)


def test_a_limit_acts_with_the_response_time():
    device = inverter(response_s=10.0)
    for _ in range(10):
        step(device, -8.0)
    shown = step(device, -8.0, p_limit_kw=2.0, dt_s=10.0)
    assert device._state["p_end_kw"][0] == pytest.approx(-(2.0 + 6.0 * np.exp(-1.0)), rel=1e-9)
    assert shown["p_kw"] < -2.0


def test_reactive_power_by_active_power_depends_on_the_step_by_less_than_4_percent_of_the_rating():
    slow = {"mode": 1.0, "response_s": 10.0, "ramp_up_share_s": 0.2 / 60.0}
    whole, split = inverter(**slow), inverter(**slow)
    for p_available_kw in (-9.0, -9.0, -9.0, -9.0, -9.0, -3.0, -10.0, -10.0):
        shown = step(whole, p_available_kw, vm_pu=1.06)
        small = [step(split, p_available_kw, vm_pu=1.06, dt_s=1.0)["q_kvar"] for _ in range(60)]
        assert shown["q_kvar"] == pytest.approx(np.mean(small), abs=0.4)
