"""What readings say about a device: step responses, meters, slopes, and what cannot be true."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil_adapters.acceptance.judging import (
    agreement,
    implausible,
    slope_over_voltage,
    step_response,
)
from hil_adapters.acceptance.levels import levels_of
from hil_adapters.guard.messages import Limits


def ramp(
    begin: float, end: float, *, per_s: float, until_s: float = 20.0, every_s: float = 0.1
) -> list[tuple[float, float]]:
    """Return a value that goes from one to another at a speed, from second 100 on."""
    length_s = abs(end - begin) / per_s
    sign = math.copysign(1.0, end - begin)
    return [
        (100.0 + at * every_s, begin + sign * per_s * at * every_s if at * every_s < length_s else end)
        for at in range(round(until_s / every_s))
    ]


def test_a_ramp_settles_when_it_enters_the_band_and_its_speed_is_measured() -> None:
    # 5 -> 2 at 0.5 a second: within 0.1 of the target after (3 - 0.1) / 0.5 = 5.8 s
    found = step_response(ramp(5.0, 2.0, per_s=0.5), start_s=100.0, begin=5.0, low=1.9, high=2.1, target=2.0)
    assert found.reached_after_s == pytest.approx(5.8, abs=0.11)
    assert found.settled_after_s == found.reached_after_s
    assert found.ramp_per_s == pytest.approx(0.5, rel=0.05)
    assert found.final == pytest.approx(2.0, abs=0.05)


def test_a_value_that_leaves_the_band_again_settles_only_afterwards() -> None:
    series = [(100.0, 5.0), (101.0, 2.0), (102.0, 3.0), (103.0, 2.0), (104.0, 2.0), (105.0, 2.0)]
    found = step_response(series, start_s=100.0, begin=5.0, low=1.9, high=2.1, target=2.0)
    assert (found.reached_after_s, found.settled_after_s) == (1.0, 3.0)


@pytest.mark.parametrize(
    "series",
    [
        [],
        [(100.0, 5.0), (101.0, 4.9)],
        [(100.0, 5.0), (101.0, 2.0)],
        [(100.0, 2.0), (109.0, 2.0), (110.0, 9.0)],
    ],
    ids=["no readings", "never in the band", "not for long enough", "left at the end"],
)
def test_nothing_has_settled_that_did_not_stay_in_the_band_to_the_end(
    series: list[tuple[float, float]],
) -> None:
    found = step_response(series, start_s=100.0, begin=5.0, low=1.9, high=2.1, target=2.0)
    assert found.settled_after_s is None


def test_readings_before_the_step_do_not_count() -> None:
    series = [(90.0, 2.0), (99.0, 2.0), (101.0, 5.0), (103.0, 5.0)]
    assert (
        step_response(series, start_s=100.0, begin=2.0, low=1.9, high=2.1, target=2.0).reached_after_s is None
    )


def test_a_step_between_two_readings_has_no_speed() -> None:
    series = [(100.0, 5.0), (100.5, 2.0), (102.0, 2.0)]
    found = step_response(series, start_s=100.0, begin=5.0, low=-math.inf, high=2.1, target=2.0)
    assert found.ramp_per_s is None
    assert found.settled_after_s == 0.5


@settings(deadline=None)
@given(
    begin=st.floats(-10, 10),
    size=st.floats(0.5, 10),
    down=st.booleans(),
    per_s=st.floats(0.2, 5.0),
)
def test_the_speed_of_any_ramp_is_found(*, begin: float, size: float, down: bool, per_s: float) -> None:
    end = begin - size if down else begin + size
    series = ramp(begin, end, per_s=per_s, until_s=size / per_s + 2.0, every_s=size / per_s / 100.0)
    found = step_response(series, start_s=100.0, begin=begin, low=end - 0.02, high=end + 0.02, target=end)
    assert found.ramp_per_s == pytest.approx(per_s, rel=0.05)
    assert found.settled_after_s is not None
    assert found.settled_after_s <= size / per_s * 1.02


def series_of(value: float) -> list[tuple[float, float]]:
    return [(float(at), value + 0.001 * at) for at in range(9)]


@pytest.mark.parametrize(
    ("device", "says"),
    [
        (-4.0, "the sign is reversed"),
        (0.4, "the scale is wrong by a factor of 10^1"),
        (4000.0, "the scale is wrong by a factor of 10^-3"),
        (-40.0, "the sign is reversed and the scale is wrong by a factor of 10^-1"),
        (2.0, ""),
    ],
)
def test_a_device_that_differs_from_the_meter_is_told_what_it_looks_like(device: float, says: str) -> None:
    found = agreement(series_of(device), series_of(4.0), tolerance=0.2, apart_s=0.5)
    assert not found.agrees
    assert found.suspicion == says


def test_a_device_that_agrees_with_the_meter_agrees() -> None:
    found = agreement(series_of(4.1), series_of(4.0), tolerance=0.2, apart_s=0.5)
    assert (found.agrees, found.pairs, found.suspicion) == (True, 9, "")


def test_readings_of_different_times_are_no_pairs() -> None:
    far = [(at_s + 100.0, value) for at_s, value in series_of(4.0)]
    found = agreement(series_of(4.0), far, tolerance=0.2, apart_s=0.5)
    assert (found.agrees, found.pairs) == (False, 0)


def test_a_volt_watt_device_has_the_slope_it_was_given() -> None:
    # feeds in 5 kW below 240 V and 0.4 kW less for each volt above: consumption positive, the slope is +0.4 kW/V
    pairs = [(240.0 + 0.25 * at, -5.0 + 0.4 * 0.25 * at) for at in range(21)]
    assert slope_over_voltage(pairs).slope_kw_v == pytest.approx(0.4, rel=1e-9)


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ([(230.0, -5.0)] * 5, "only 5 readings"),
        ([(230.0 + 0.01 * at, -5.0) for at in range(30)], "moved by 0.3 V only"),
        ([(230.0 + at, -5.0 * (at % 2)) for at in range(30)], "explains"),
    ],
    ids=["few", "steady", "clouds"],
)
def test_no_slope_is_told_that_was_not_seen(pairs: list[tuple[float, float]], says: str) -> None:
    found = slope_over_voltage(pairs)
    assert found.slope_kw_v is None
    assert says in found.text


def test_a_steady_power_has_the_slope_zero_and_not_minus_zero() -> None:
    slope = slope_over_voltage([(230.0 + at, -5.0) for at in range(30)]).slope_kw_v
    assert slope is not None
    assert math.copysign(1.0, slope) == 1.0


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("vm_v", 2300.0, "vm_v is 2300"),
        ("frequency_hz", 5.0, "45 to 66"),
        ("soc", 50.0, "0 to 1"),
        ("p_kw", -5000.0, "watts for kilowatts?"),
        ("p_kw", 6.5, "rated 5 kW"),
    ],
)
def test_what_cannot_be_true_is_told(name: str, value: float, says: str) -> None:
    why = implausible(name, value, rated_kw=5.0)
    assert why is not None
    assert says in why


@pytest.mark.parametrize(
    ("name", "value", "rated_kw"),
    [("vm_v", 0.0, 5.0), ("p_kw", -5.4, 5.0), ("p_kw", -5000.0, None), ("e_export_kwh", 1e6, 5.0)],
    ids=["switched off", "a little above its rating", "no rating", "a counter"],
)
def test_what_may_be_true_is_not_told(name: str, value: float, rated_kw: float | None) -> None:
    assert implausible(name, value, rated_kw=rated_kw) is None


LAB = Limits(low=0.5, high=3.0)


def test_a_limit_goes_half_way_down_from_what_the_device_gives() -> None:
    levels = levels_of("p_limit_kw", LAB, present_kw=2.5, rated_kw=5.0, band_kw=0.1)
    assert (levels.first, levels.second, levels.biting) == (3.0, 1.5, True)
    assert levels.beyond > LAB.high


def test_a_limit_above_what_the_device_gives_does_not_bite() -> None:
    levels = levels_of("p_limit_kw", LAB, present_kw=0.6, rated_kw=5.0, band_kw=0.1)
    assert not levels.biting
    assert LAB.low <= levels.second <= LAB.high


def test_a_set_point_goes_to_both_sides_of_zero() -> None:
    levels = levels_of("p_set_kw", Limits(low=-2.0, high=3.0), present_kw=0.0, rated_kw=5.0, band_kw=0.1)
    assert (levels.first, levels.second, levels.biting) == (3.0, -1.0, True)


@settings(deadline=None)
@given(
    command=st.sampled_from(["p_limit_kw", "p_set_kw"]),
    low=st.floats(-20, 20),
    width=st.floats(0.01, 20),
    present_kw=st.floats(-20, 20),
    rated_kw=st.none() | st.floats(0.5, 30),
)
def test_nothing_is_tried_outside_the_limits_of_the_lab_but_what_the_guard_must_clamp(
    command: str, low: float, width: float, present_kw: float, rated_kw: float | None
) -> None:
    low = abs(low) if command == "p_limit_kw" else low
    limits = Limits(low=low, high=low + width)
    levels = levels_of(command, limits, present_kw=present_kw, rated_kw=rated_kw, band_kw=0.1)
    assert levels.beyond > limits.high
    if rated_kw is None or abs(low) <= rated_kw:
        assert limits.low - 1e-9 <= levels.second <= limits.high + 1e-9
        assert levels.first <= limits.high
