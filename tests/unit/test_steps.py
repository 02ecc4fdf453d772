"""Steps of whole seconds and of parts of one: how many fit, when they begin, and what is said of them."""

from datetime import UTC, date, datetime

import numpy as np
import pytest

from twin.clock import (
    SUBSECOND_STEPS_S,
    clock_text,
    end_of_steps_s,
    first_step_from,
    is_whole_steps,
    step_at,
    step_iso,
    step_length,
    step_text,
    step_time,
    steps_in,
    time_units,
    utc_s,
    whole_seconds,
)
from twin.community.calendar import hour_of_step, hour_starts_utc_s
from twin.community.status import member_status
from twin.control.planning.pooling import hour_positions
from twin.kpis.base import KpiContext, KpiLimits
from twin.kpis.flows import peak_values, reduce_peaks
from twin.kpis.stats import window_means
from twin.members import Communities
from twin.profiles.resample import resample_mean
from twin.report.clock import Clock

NOON_UTC_S = utc_s(date(2016, 7, 4)) + 12 * 3600


@pytest.mark.parametrize(
    ("dt_s", "in_quarter", "in_day"),
    [
        (0.1, 9000, 864_000),
        (0.2, 4500, 432_000),
        (0.25, 3600, 345_600),
        (0.5, 1800, 172_800),
        (1, 900, 86_400),
        (900, 1, 96),
    ],
)
def test_a_quarter_and_a_day_are_whole_steps(dt_s: float, in_quarter: int, in_day: int) -> None:
    assert (steps_in(900, dt_s), steps_in(86_400, dt_s)) == (in_quarter, in_day)


@pytest.mark.parametrize("dt_s", [0.3, 1.5, 0.0, -1, 1 / 3, 0.05])
def test_what_is_no_step_of_a_run_is_refused(dt_s: float) -> None:
    with pytest.raises(ValueError, match=r"a step lasts whole seconds, or 0\.1, 0\.2, 0\.25, 0\.5 s"):
        steps_in(900, dt_s)


def test_a_window_that_is_no_whole_number_of_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="900 s are no whole number of steps of 7 s"):
        steps_in(900, 7)
    assert not is_whole_steps(900, 7)


def test_a_step_of_whole_seconds_stays_an_int() -> None:
    assert [repr(step_length(dt_s)) for dt_s in (900, 900.0, 1.0, 0.1)] == ["900", "900", "1", "0.1"]


def test_times_and_steps_meet_where_products_of_floats_do_not() -> None:
    # 3 * 0.1 is more than 0.3, and 0.3 // 0.1 is 2
    assert [whole_seconds(steps, 0.1) for steps in (9, 10, 11, -1)] == [0, 1, 1, -1]
    assert [end_of_steps_s(steps, 0.1) for steps in (9, 10, 11)] == [1, 1, 2]
    assert (step_at(3, 0.2), first_step_from(3, 0.2)) == (15, 15)
    assert (step_at(100, 60), first_step_from(100, 60)) == (1, 2)
    assert whole_seconds(np.arange(8), 0.25).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert time_units(0.25) == (1, 4)
    assert time_units(900) == (900, 1)


def test_stamps_keep_the_parts_of_a_second() -> None:
    assert step_time(NOON_UTC_S, 13, 0.1).astimezone(UTC) == datetime(
        2016, 7, 4, 10, 0, 1, 300_000, tzinfo=UTC
    )
    assert step_iso(NOON_UTC_S, 13, 0.1) == "2016-07-04T12:00:01.300+02:00"
    assert step_iso(NOON_UTC_S, 10, 0.1) == "2016-07-04T12:00:01+02:00"
    assert step_iso(NOON_UTC_S, 1, 900) == "2016-07-04T12:15+02:00"


@pytest.mark.parametrize("dt_s", [0.5, 900])
def test_the_hour_that_comes_twice_keeps_its_offset(dt_s: float) -> None:
    two_hours = steps_in(7200, dt_s)
    second_hour = utc_s(datetime.fromisoformat("2016-10-30T02:15+01:00"))
    assert step_iso(second_hour - 7200, two_hours, dt_s) == "2016-10-30T02:15+01:00"
    assert step_iso(second_hour - 3600, 0, dt_s) == "2016-10-30T02:15+02:00"
    assert step_time(second_hour - 7200, two_hours, dt_s).timestamp() == second_hour
    assert Clock(start_utc_s=second_hour, dt_s=dt_s, n_steps=4).at(0).timestamp() == second_hour


@pytest.mark.parametrize(
    ("dt_s", "length", "time"),
    [
        (0.25, "0.25 s", "12:00:00.250"),
        (1, "1 s", "12:00:01"),
        (90, "90 s", "12:01:30"),
        (900, "15 min", "12:15"),
    ],
)
def test_a_step_and_its_time_are_said_as_exactly_as_needed(dt_s: float, length: str, time: str) -> None:
    clock = Clock(start_utc_s=NOON_UTC_S, dt_s=dt_s, n_steps=4)
    assert step_text(dt_s) == clock.step_text == length
    assert clock_text(step_time(NOON_UTC_S, 1, dt_s), dt_s) == time
    assert clock.label(1) == f"Mon 4 Jul 2016, {time}"
    assert context(dt_s, 4).time_text(1) == f"2016-07-04 {time}"


def test_the_axis_of_a_short_run_has_round_marks() -> None:
    second = Clock(start_utc_s=NOON_UTC_S, dt_s=0.1, n_steps=600)
    marks = [(mark.at_s, mark.label) for mark in second.ticks(5, 25)]
    assert marks == [(0.5, "12:00:01"), (1.5, "12:00:02")]
    marks = [(mark.at_s, mark.label) for mark in second.ticks(8, 12)]
    assert marks == [(step / 10, f"12:00:0{(8 + step) // 10}.{(8 + step) % 10}00") for step in range(5)]
    assert [mark.label for mark in second.ticks(0, 600)][:2] == ["12:00:00", "12:00:10"]


def test_hours_begin_where_the_clock_says() -> None:
    start, hour = NOON_UTC_S + 3598, NOON_UTC_S // 3600
    assert hour_of_step(start, 0.5, 6).tolist() == [0, 0, 0, 0, 1, 1]
    assert hour_starts_utc_s(start, 0.5, 4).tolist() == [3600 * hour]
    assert hour_starts_utc_s(start, 0.5, 5).tolist() == [3600 * hour, 3600 * (hour + 1)]
    first, position = hour_positions(start, 0.5, step=2, n=4)
    assert (first, position.tolist()) == (hour, [0, 0, 1, 1])


def test_a_membership_of_a_short_run_is_said_to_the_millisecond() -> None:
    communities = Communities(
        name=("c",),
        kind=("CER",),
        cp=np.array([0]),
        cp_name=("CP",),
        member_home=np.arange(1),
        member_community=np.zeros(1, dtype=np.int64),
        member_first_step=np.array([3]),
        member_end_step=np.array([20]),
        member_opted_out=np.array([False]),
        member_delay_steps=np.array([10]),
        silent=np.zeros((0, 3), dtype=np.int64),
    )
    said = member_status(communities, start_utc_s=utc_s(date(2016, 7, 4)), dt_s=0.1, n_steps=20)
    assert said == ("joined on 4 Jul 2016, 00:00:00.300; messages arrive 1 s late",)


def context(dt_s: float, n_steps: int) -> KpiContext:
    return KpiContext(
        dt_s=dt_s,
        n_steps=n_steps,
        start_utc_s=NOON_UTC_S,
        bus_name=("b",),
        line_name=(),
        trafo_name=(),
        trafo_level=(),
        head_trafos=(),
        home_name=(),
        load_home=(),
        pv_home=(),
        battery_home=(),
        battery_capacity_kwh=(),
        limits=KpiLimits(),
    )


def test_quarters_of_steps_of_a_quarter_second_have_their_means_and_peaks() -> None:
    p_kw = np.repeat([1.0, 7.0, 4.0], 3600).astype(np.float32)[:, None]
    p_kw[5000] += 3600.0  # a spike of one step lifts its quarter by 1 kW
    run = context(0.25, len(p_kw))
    means = window_means(p_kw, 0, run, window_s=900)
    assert means.mean[:, 0].tolist() == [1.0, 8.0, 4.0]
    assert means.start_s.tolist() == [0, 900, 1800]
    found = {value.name: value for value in peak_values(reduce_peaks(p_kw, 0, run), run)}
    assert (found["peak_import_kw"].value, found["peak_import_kw"].step) == (8.0, 3600)
    assert found["load_factor"].value == pytest.approx(13 / 3 / 8)


def test_windows_of_ten_minutes_skip_what_is_not_whole() -> None:
    values = np.concatenate([np.full(3000, 9.0), np.full(6000, 2.0), np.full(10, 9.0)])[:, None]
    means = window_means(values, 3000, context(0.1, 20_000), window_s=600)
    assert means.mean[:, 0].tolist() == [2.0]
    assert means.start_s.tolist() == [600]


def test_a_context_with_parts_of_a_second_survives_storing() -> None:
    run = context(0.1, 20)
    again = KpiContext.from_dict(run.to_dict())
    assert (again, again.dt_h) == (run, 0.1 / 3600)
    assert repr(KpiContext.from_dict(context(900, 4).to_dict()).dt_s) == "900"
    with pytest.raises(ValueError, match="a step lasts whole seconds"):
        context(0.3, 20)


@pytest.mark.parametrize("dt_s", SUBSECOND_STEPS_S)
def test_a_series_is_held_over_steps_shorter_than_its_own(dt_s: float) -> None:
    per_second = steps_in(1, dt_s)
    seconds = np.array([1.0, 2.0, 4.0])
    assert resample_mean(seconds, 1, dt_s).tolist() == np.repeat(seconds, per_second).tolist()
    held = resample_mean(np.array([5.0, 6.0]), 900, dt_s, offset_s=899, n_steps=2 * per_second)
    assert held.tolist() == np.repeat([5.0, 6.0], per_second).tolist()
    with pytest.raises(ValueError, match="do not lie within 3 s"):
        resample_mean(seconds, 1, dt_s, n_steps=3 * per_second + 1)
