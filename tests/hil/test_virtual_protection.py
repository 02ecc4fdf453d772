"""Interface protection: thresholds and times worked by hand from the settings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil_adapters.virtual.protection import (
    InterfaceProtection,
    ProtectionSettings,
    ProtectionState,
    Threshold,
)

GOOD = (1.0, 50.0)


def after(
    protection: InterfaceProtection, vm_pu: float, frequency_hz: float, *, time_s: float, dt_s: float = 0.1
) -> None:
    for _ in range(round(time_s / dt_s)):
        protection.step(vm_pu, frequency_hz, dt_s=dt_s)


def connected(**changes: object) -> InterfaceProtection:
    protection = InterfaceProtection(ProtectionSettings.model_validate(changes))
    after(protection, *GOOD, time_s=400.0, dt_s=1.0)
    assert protection.is_connected
    return protection


def time_until_trip(
    protection: InterfaceProtection, vm_pu: float, frequency_hz: float, *, most_s: float
) -> float | None:
    dt_s = 0.05
    for step in range(1, round(most_s / dt_s) + 1):
        protection.step(vm_pu, frequency_hz, dt_s=dt_s)
        if not protection.is_connected:
            return step * dt_s
    return None


@pytest.mark.parametrize(
    ("relay", "vm_pu", "frequency_hz", "trips_after_s"),
    [
        ("59.S2", 1.16, 50.0, 0.2),
        ("27.S1", 0.84, 50.0, 1.5),
        ("27.S2", 0.10, 50.0, 0.2),
        ("81>.S2", 1.0, 51.6, 1.0),
        ("81<.S2", 1.0, 47.4, 4.0),
    ],
)
def test_each_relay_trips_after_its_own_time(
    relay: str, vm_pu: float, frequency_hz: float, trips_after_s: float
) -> None:
    protection = connected()
    assert time_until_trip(protection, vm_pu, frequency_hz, most_s=10.0) == pytest.approx(trips_after_s)
    assert protection.tripped_by == relay
    assert protection.feed_in_share == 0.0


@pytest.mark.parametrize(
    ("vm_pu", "frequency_hz"), [(1.15, 50.0), (0.85, 50.0), (1.0, 51.5), (1.0, 47.5), (1.0, 50.3)]
)
def test_a_value_at_its_threshold_does_not_trip(vm_pu: float, frequency_hz: float) -> None:
    assert time_until_trip(connected(), vm_pu, frequency_hz, most_s=10.0) is None


def test_an_excursion_shorter_than_its_time_does_not_trip_and_counts_from_zero_again() -> None:
    protection = connected()
    for _ in range(5):
        after(protection, 0.80, 50.0, time_s=1.4)
        after(protection, *GOOD, time_s=0.1)
    assert protection.is_connected


def test_the_ten_minute_mean_trips_when_it_and_three_seconds_have_passed() -> None:
    # 1.00 for the whole window, then 1.14: the mean passes 1.10 after 600 s * 0.10 / 0.14 = 428.57 s
    protection = connected(overvoltage={"limit": 1.2, "delay_s": 0.2})
    assert time_until_trip(protection, 1.14, 50.0, most_s=600.0) == pytest.approx(428.57 + 3.0, abs=0.1)
    assert protection.tripped_by == "59.S1"


def test_ten_minutes_at_253_volts_do_not_trip() -> None:
    assert time_until_trip(connected(), 253.0 / 230.0, 50.0, most_s=900.0) is None


def test_the_narrow_frequencies_act_only_when_they_are_switched_on() -> None:
    assert time_until_trip(connected(), 1.0, 50.25, most_s=5.0) is None
    narrow = connected(narrow_frequency=True)
    assert time_until_trip(narrow, 1.0, 50.25, most_s=5.0) == pytest.approx(0.1)
    assert narrow.tripped_by == "81>.S1"
    low = connected(narrow_frequency=True)
    time_until_trip(low, 1.0, 49.75, most_s=5.0)
    assert low.tripped_by == "81<.S1"


def test_the_first_connection_waits_thirty_seconds_and_then_ramps_by_a_fifth_a_minute() -> None:
    protection = InterfaceProtection(ProtectionSettings())
    after(protection, *GOOD, time_s=29.9)
    assert protection.state is ProtectionState.STARTING
    after(protection, *GOOD, time_s=0.1)
    assert protection.is_connected
    assert protection.feed_in_share == pytest.approx(0.0, abs=1e-9)
    after(protection, *GOOD, time_s=60.0)
    assert protection.feed_in_share == pytest.approx(0.20)
    after(protection, *GOOD, time_s=240.0)
    assert protection.feed_in_share == pytest.approx(1.0)
    after(protection, *GOOD, time_s=60.0)
    assert protection.feed_in_share == 1.0


def test_after_a_trip_it_waits_three_hundred_seconds_in_the_window_without_a_break() -> None:
    protection = connected()
    time_until_trip(protection, 1.16, 50.0, most_s=1.0)
    after(protection, *GOOD, time_s=299.0, dt_s=1.0)
    after(protection, 1.0, 50.2, time_s=1.0, dt_s=1.0)
    after(protection, *GOOD, time_s=299.0, dt_s=1.0)
    assert protection.state is ProtectionState.TRIPPED
    after(protection, *GOOD, time_s=1.0, dt_s=1.0)
    assert protection.is_connected


@pytest.mark.parametrize(("vm_pu", "frequency_hz"), [(1.11, 50.0), (0.84, 50.0), (1.0, 49.89), (1.0, 50.11)])
def test_outside_the_window_it_never_connects(vm_pu: float, frequency_hz: float) -> None:
    protection = InterfaceProtection(ProtectionSettings())
    after(protection, vm_pu, frequency_hz, time_s=1000.0, dt_s=1.0)
    assert protection.state is ProtectionState.STARTING


def test_coarse_steps_connect_with_the_ramp_that_fine_steps_reach() -> None:
    coarse, fine = (InterfaceProtection(ProtectionSettings()) for _ in range(2))
    after(coarse, *GOOD, time_s=98.0, dt_s=7.0)
    after(fine, *GOOD, time_s=98.0, dt_s=0.1)
    assert coarse.feed_in_share == pytest.approx(fine.feed_in_share)


def test_thresholds_are_parameters() -> None:
    protection = connected(overvoltage=Threshold(limit=1.05, delay_s=2.0))
    assert time_until_trip(protection, 1.06, 50.0, most_s=5.0) == pytest.approx(2.0)


@settings(deadline=None, max_examples=60)
@given(values=st.lists(st.tuples(st.floats(0.0, 2.0), st.floats(0.05, 700.0)), min_size=1, max_size=40))
def test_the_mean_is_the_integral_over_the_window(values: list[tuple[float, float]]) -> None:
    protection = InterfaceProtection(ProtectionSettings())
    history = [(values[0][0], 600.0), *values]
    for vm_pu, dt_s in values:
        protection.step(vm_pu, 50.0, dt_s=dt_s)
    left_s, area = 600.0, 0.0
    for vm_pu, dt_s in reversed(history):
        part_s = min(dt_s, left_s)
        area, left_s = area + vm_pu * part_s, left_s - part_s
    # parts shorter than a second are merged, so the oldest value is known within one of them
    assert protection.mean_pu == pytest.approx(area / 600.0, abs=2.0 * 1.0 / 600.0)
