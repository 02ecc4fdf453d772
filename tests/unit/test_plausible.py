"""A sign turned round between an FMU and the scenario is seen in what the device says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from twin.simulators.plausible import generator_fault, storage_fault, strikes_after, strikes_allowed

RATED_KW = np.array([5.0, 10.0])
NONE = np.zeros(1, np.int64)


def after(strikes: NDArray[np.int64], p_kw: float, gained_kwh: float, dt_s: float = 3600.0) -> int:
    """Return the strikes of one battery of 10 kW."""
    counted = strikes_after(
        strikes, np.array([p_kw]), gained_kwh=np.array([gained_kwh]), rated_kw=np.array([10.0]), dt_s=dt_s
    )
    return int(counted[0])


def test_a_generator_may_draw_a_little_at_night_and_no_more() -> None:
    assert generator_fault(np.array([0.5, -10.0]), rated_kw=RATED_KW, names=("a", "b")) is None
    fault = generator_fault(np.array([0.0, 4.0]), rated_kw=RATED_KW, names=("a", "b"))
    assert fault is not None
    assert fault.startswith("'b' draws p_kw = 4 kW, 40% of its rated 10 kW")
    assert "`sign:` of p_kw" in fault
    both = generator_fault(np.array([0.6, 4.0]), rated_kw=RATED_KW, names=("a", "b"))
    assert both is not None
    assert both.startswith("'a' (and 1 more device) draws")


@pytest.mark.parametrize(
    ("p_kw", "gained_kwh", "strikes"),
    [
        (4.0, 3.8, 0),  # charges with an efficiency of 95 %
        (4.0, 1.0, 0),  # a poor one, but no wrong sign
        (4.0, -0.85, 0),  # less than a tenth of 4 kWh and the own use of 0.5 kWh
        (4.0, -0.95, 1),
        (4.0, -1.9, 1),  # the battery of the FMU is twice as large as the scenario says
        (-4.0, -4.2, 0),
        (-4.0, 0.35, 0),
        (-4.0, 0.45, 1),
        (-4.0, 1.9, 1),
        (0.1, -5.0, 0),  # at 1 % of rated power it says nothing
        (0.11, -0.4, 0),  # own consumption is larger than the charge
    ],
)
def test_stored_energy_against_the_power_is_a_strike(p_kw: float, gained_kwh: float, strikes: int) -> None:
    assert after(NONE, p_kw, gained_kwh) == strikes


def test_the_length_of_the_step_counts() -> None:
    assert after(NONE, -4.0, 0.007, dt_s=60.0) == 1
    assert after(NONE, -4.0, 0.006, dt_s=60.0) == 0


def test_in_short_steps_a_reading_may_lag_for_seconds() -> None:
    assert [strikes_allowed(dt_s) for dt_s in (900, 60, 1, 0.5, 0.1)] == [3, 3, 3, 6, 30]
    strikes, gained_kwh = np.array([29]), np.array([-0.1])
    said = [
        storage_fault(strikes + more, np.array([4.0]), gained_kwh=gained_kwh, names=("b",), allowed=30)
        for more in (0, 1)
    ]
    assert said[0] is None
    assert said[1] is not None
    assert "for 30 steps in a row" in said[1]


def test_only_strikes_in_a_row_are_a_fault_and_idle_steps_do_not_end_the_row() -> None:
    strikes = NONE
    for p_kw, gained_kwh, expected in ((4.0, -4.0, 1), (0.0, 0.0, 1), (4.0, -4.0, 2), (4.0, 4.0, 0)):
        strikes = np.array([after(strikes, p_kw, gained_kwh)])
        assert strikes[0] == expected
    power, gained = np.array([-4.0]), np.array([4.0])
    for _ in range(2):
        strikes = np.array([after(strikes, -4.0, 4.0)])
        assert storage_fault(strikes, power, gained_kwh=gained, names=("a",)) is None
    strikes = np.array([after(strikes, -4.0, 4.0)])
    fault = storage_fault(strikes, power, gained_kwh=gained, names=("a",))
    assert fault is not None
    assert fault.startswith("'a' discharges with p_kw = -4 kW, but its stored energy (soc) rises by 4 kWh")
    assert "for 3 steps" in fault
    assert "`sign:` of p_kw" in fault


@settings(deadline=None, max_examples=200)
@given(
    powers=st.lists(st.floats(-10.0, 10.0), min_size=3, max_size=20),
    eta=st.floats(0.5, 1.0),
    own_use_kw=st.floats(0.0, 0.5),
)
def test_a_battery_with_losses_and_the_right_sign_never_gets_a_strike(
    powers: list[float], eta: float, own_use_kw: float
) -> None:
    for p_kw in powers:
        gained_kwh = (p_kw * eta if p_kw > 0 else p_kw / eta) - own_use_kw
        assert after(NONE, p_kw, gained_kwh) == 0
