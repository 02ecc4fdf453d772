"""Batteries against values worked out by hand."""

import numpy as np
import pytest

from models.battery import BatteryFleet, advance, clip_power_kw, power_limits_kw, retention
from models.errors import DeviceError

GOOD = {
    "capacity_kwh": 10.0,
    "charge_kw": 4.0,
    "discharge_kw": 5.0,
    "eta_charge": 0.8,
    "eta_discharge": 0.5,
    "soc_min": 0.1,
    "soc_max": 0.9,
    "loss_per_day": 0.0,
}
HOUR_S = 3600.0


def battery(**changes):
    return BatteryFleet(**{name: np.array([value]) for name, value in (GOOD | changes).items()})


@pytest.mark.parametrize(
    ("soc", "p_kw", "soc_after", "lost_kwh"),
    [(0.5, 2.0, 0.66, 0.4), (0.5, -1.0, 0.3, 1.0), (0.5, 0.0, 0.5, 0.0)],
    ids=["2 kWh taken store 1.6", "1 kWh given costs 2", "rest"],
)
def test_one_hour_changes_the_charge_by_power_and_efficiency(soc, p_kw, soc_after, lost_kwh):
    after, lost = advance(battery(), np.array([soc]), np.array([p_kw]), HOUR_S)
    assert after[0] == pytest.approx(soc_after)
    assert lost[0] == pytest.approx(lost_kwh)


@pytest.mark.parametrize(
    ("soc", "lowest_kw", "highest_kw"),
    [
        (0.5, -2.0, 4.0),
        (0.8, -3.5, 1.25),
        (0.9, -4.0, 0.0),
        (0.1, 0.0, 4.0),
        (1.0, -4.5, 0.0),
        (0.05, 0.0, 4.0),
    ],
    ids=["half full", "nearly full", "full", "empty", "above its window", "below its window"],
)
def test_power_is_limited_by_rating_and_by_the_energy_left(soc, lowest_kw, highest_kw):
    lowest, highest = power_limits_kw(battery(), np.array([soc]), HOUR_S)
    assert lowest[0] == pytest.approx(lowest_kw)
    assert highest[0] == pytest.approx(highest_kw)


def test_a_short_step_is_limited_by_rated_power_alone():
    lowest, highest = power_limits_kw(battery(), np.array([0.5]), 60.0)
    assert (lowest[0], highest[0]) == (-5.0, 4.0)


def test_a_set_point_is_clipped_to_what_can_be_held():
    assert clip_power_kw(battery(), np.array([0.8]), np.array([3.0]), HOUR_S)[0] == pytest.approx(1.25)
    assert clip_power_kw(battery(), np.array([0.8]), np.array([-9.0]), HOUR_S)[0] == pytest.approx(-3.5)
    assert clip_power_kw(battery(), np.array([0.8]), np.array([0.5]), HOUR_S)[0] == 0.5


def test_standing_loss_compounds_over_parts_of_a_day():
    fleet = battery(loss_per_day=0.19)
    assert retention(fleet, 43200.0)[0] == pytest.approx(0.9)
    after, lost = advance(fleet, np.array([0.5]), np.array([0.0]), 86400.0)
    assert after[0] == pytest.approx(0.405)
    assert lost[0] == pytest.approx(0.95)


def test_standing_loss_leaves_room_to_charge_and_less_to_discharge():
    fleet = battery(loss_per_day=0.19)
    lowest, highest = power_limits_kw(fleet, np.array([0.9]), 43200.0)
    assert highest[0] == pytest.approx((9.0 - 8.1) / (0.8 * 12))
    assert lowest[0] == pytest.approx(-(8.1 - 1.0) * 0.5 / 12)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("capacity_kwh", 0.0),
        ("capacity_kwh", np.nan),
        ("charge_kw", -1.0),
        ("discharge_kw", -1.0),
        ("eta_charge", 0.0),
        ("eta_charge", 1.1),
        ("eta_discharge", 0.0),
        ("soc_min", 0.9),
        ("soc_min", -0.1),
        ("soc_max", 1.1),
        ("loss_per_day", 1.0),
    ],
)
def test_a_contradiction_names_battery_and_field(field, value):
    with pytest.raises(DeviceError, match=f"battery 0: {field} must"):
        battery(**{field: value})
