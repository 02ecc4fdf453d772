"""EV chargers, against numbers by hand."""

import numpy as np
import pytest

from models.devices import ev_charger
from models.devices.base import Causality
from models.devices.numpy_block import NumpyBlock

OUTPUTS = ev_charger.KIND.named(Causality.OUTPUT)
INPUTS = ev_charger.KIND.named(Causality.INPUT)
AT_HOME = {"plugged": 1.0, "used_kwh": 0.0, "departure_h": 1e9, "soc_need": 0.0, "p_set_kw": 1e9}


def charger(**parameters):
    return NumpyBlock(ev_charger, size=1, parameters=parameters, inputs=INPUTS, outputs=OUTPUTS, label="ev")


def step(device, dt_s=3600.0, **inputs):
    seen = AT_HOME | inputs
    shown = device.step(np.array([[seen[name]] for name in INPUTS]), time_s=0.0, dt_s=dt_s)
    return dict(zip(OUTPUTS, shown[:, 0].tolist(), strict=True))


def test_a_car_charges_at_once_with_all_power():
    shown = step(charger())
    assert shown["p_kw"] == 7.4
    assert shown["soc"] == pytest.approx(0.5 + 0.9 * 7.4 / 50.0, abs=1e-15)
    assert shown["lost_kwh"] == pytest.approx(0.74, abs=1e-14)


def test_a_car_that_fills_within_the_step_shows_the_mean():
    shown = step(charger(soc_start=0.95))
    assert shown["p_kw"] == pytest.approx(2.5 / 0.9, rel=1e-12)
    assert shown["soc"] == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize(
    ("p_set_kw", "p_kw"), [(1.37, 0.0), (1.38, 1.38), (3.0, 3.0), (0.0, 0.0), (-3.0, 0.0)]
)
def test_a_car_does_not_charge_below_the_minimum_current(p_set_kw, p_kw):
    assert step(charger(), p_set_kw=p_set_kw)["p_kw"] == p_kw


def test_vehicle_to_grid_stops_at_its_reserve():
    device = charger(p_v2g_kw=6.0, soc_start=0.3)
    shown = step(device, p_set_kw=-6.0, dt_s=1800.0)
    assert shown["p_kw"] == -6.0
    shown = step(device, p_set_kw=-6.0)
    left_kwh = 0.1 * 50.0 - 3.0 / 0.9
    assert shown["p_kw"] == pytest.approx(-left_kwh * 0.9, rel=1e-12)
    assert shown["soc"] == pytest.approx(0.2, abs=1e-14)
    assert step(device, p_set_kw=-6.0)["p_kw"] == pytest.approx(0.0, abs=1e-12)


def test_a_car_that_is_away_draws_nothing_and_drives():
    shown = step(charger(), plugged=0.0, used_kwh=10.0)
    assert shown["p_kw"] == 0.0
    assert shown["soc"] == pytest.approx(0.3, abs=1e-15)
    assert shown["driven_kwh"] == 10.0


def test_a_car_cannot_drive_on_more_than_it_has():
    shown = step(charger(), plugged=0.0, used_kwh=40.0)
    assert (shown["soc"], shown["driven_kwh"]) == (0.0, 25.0)


def test_the_power_needed_meets_the_need_when_it_is_held():
    device = charger()
    assert device.start()[OUTPUTS.index("p_needed_kw"), 0] == 0.0
    shown = step(device, p_set_kw=0.0, departure_h=5.0, soc_need=0.8)
    assert shown["p_needed_kw"] == pytest.approx(15.0 / (0.9 * 4.0), rel=1e-12)
    for hour in range(4):
        shown = step(device, p_set_kw=15.0 / 3.6, departure_h=4.0 - hour, soc_need=0.8)
    assert shown["soc"] == pytest.approx(0.8, abs=1e-12)
    assert step(device, plugged=0.0)["unmet_kwh"] == pytest.approx(0.0, abs=1e-12)


def test_the_power_needed_is_never_more_than_there_is():
    assert step(charger(), p_set_kw=0.0, departure_h=2.0, soc_need=1.0)["p_needed_kw"] == 7.4
    assert step(charger(), p_set_kw=0.0, departure_h=0.5, soc_need=1.0)["p_needed_kw"] == 7.4


def test_what_is_missing_is_told_once_when_the_car_unplugs():
    device = charger()
    step(device, p_set_kw=0.0, soc_need=0.8)
    told = [step(device, plugged=0.0, used_kwh=used)["unmet_kwh"] for used in (5.0, 0.0, 5.0)]
    assert told == [pytest.approx(15.0), 0.0, 0.0]


def test_a_car_never_plugged_in_misses_nothing():
    device = NumpyBlock(
        ev_charger,
        size=1,
        parameters={"plugged": 0.0, "soc_need": 1.0},
        inputs=INPUTS,
        outputs=OUTPUTS,
        label="ev",
    )
    assert step(device, plugged=0.0, soc_need=1.0)["unmet_kwh"] == 0.0


def test_two_half_steps_are_one_step():
    whole, split = charger(soc_start=0.9), charger(soc_start=0.9)
    shown = step(whole)
    small = [step(split, dt_s=1800.0) for _ in range(2)]
    assert shown["p_kw"] == pytest.approx(np.mean([row["p_kw"] for row in small]), rel=1e-12)
    assert shown["soc"] == pytest.approx(small[-1]["soc"], rel=1e-12)
