"""Price bands, holidays, and the same hour of another year."""

from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.clock import local_time, utc_s
from twin.community.calendar import (
    band_of_hour,
    easter_sunday,
    holidays,
    hour_of_step,
    hour_starts_utc_s,
    hourly_mean,
    local_offset_s,
    same_hour_of_year_utc_s,
)

HOUR = 3600
WORKING_DAY = "3" * 7 + "2" + "1" * 11 + "2" * 4 + "3"
SATURDAY = "3" * 7 + "2" * 16 + "3"
FREE_DAY = "3" * 24

hours_of_this_century = st.integers(utc_s(date(1971, 1, 1)) // HOUR, utc_s(date(2099, 12, 31)) // HOUR).map(
    lambda hour: hour * HOUR
)


def at(local):
    return utc_s(datetime.fromisoformat(local))


def hours_of(first, end):
    return np.arange(utc_s(first), utc_s(end), HOUR, dtype=np.int64)


def bands_of(day, end):
    return "".join(str(band) for band in band_of_hour(hours_of(day, end)))


def test_a_week_without_holidays_has_its_bands():
    week = bands_of(date(2016, 7, 4), date(2016, 7, 11))
    assert week == 5 * WORKING_DAY + SATURDAY + FREE_DAY


def test_the_week_after_easter_starts_with_a_free_monday():
    week = bands_of(date(2018, 4, 1), date(2018, 4, 8))
    assert week == 2 * FREE_DAY + 4 * WORKING_DAY + SATURDAY


def test_a_week_with_epiphany_and_new_year_is_free_on_both():
    # 2020: Wednesday 1 January, Monday 6 January
    week = bands_of(date(2019, 12, 30), date(2020, 1, 7))
    assert week == 2 * WORKING_DAY + FREE_DAY + 2 * WORKING_DAY + SATURDAY + 2 * FREE_DAY


@pytest.mark.parametrize(
    ("sunday", "hours"), [(date(2016, 3, 27), 23), (date(2016, 10, 30), 25)], ids=["spring", "autumn"]
)
def test_bands_follow_local_time_over_a_clock_change(sunday, hours):
    before = date.fromordinal(sunday.toordinal() - 1)
    after = date.fromordinal(sunday.toordinal() + 1)
    # 28 March 2016 is Easter Monday
    monday = FREE_DAY if sunday.month == 3 else WORKING_DAY
    end = date.fromordinal(sunday.toordinal() + 2)
    assert bands_of(before, end) == SATURDAY + "3" * hours + monday
    assert len(bands_of(sunday, after)) == hours


def test_hours_of_2018_by_band_are_those_counted_by_hand():
    bands = band_of_hour(hours_of(date(2018, 1, 1), date(2019, 1, 1)))
    # 261 days from Monday to Friday less 8 holidays; 52 Saturdays less 6 January, 2 June and 8 December
    assert np.bincount(bands).tolist() == [0, 253 * 11, 253 * 5 + 49 * 16, 8760 - 253 * 16 - 49 * 16]


def test_bands_keep_the_shape_and_hold_within_the_hour():
    noon = utc_s(datetime(2016, 7, 4, 12, tzinfo=UTC))
    assert band_of_hour(np.array([[noon, noon + 899], [noon + 3599, noon + 6 * HOUR]])).tolist() == [
        [1, 1],
        [1, 2],
    ]


@pytest.mark.parametrize(
    ("year", "sunday"),
    [
        (1818, (3, 22)),
        (1943, (4, 25)),
        (1954, (4, 18)),
        (1981, (4, 19)),
        (2000, (4, 23)),
        (2008, (3, 23)),
        (2011, (4, 24)),
        (2016, (3, 27)),
        (2018, (4, 1)),
        (2019, (4, 21)),
        (2024, (3, 31)),
        (2025, (4, 20)),
        (2026, (4, 5)),
        (2038, (4, 25)),
        (2049, (4, 18)),
        (2076, (4, 19)),
    ],
)
def test_easter_is_on_its_sunday_also_in_the_exceptional_years(year, sunday):
    assert easter_sunday(year) == date(year, *sunday)


@settings(deadline=None)
@given(st.integers(1583, 4000))
def test_easter_is_a_sunday_from_22_march_to_25_april(year):
    easter = easter_sunday(year)
    assert easter.isoweekday() == 7
    assert date(year, 3, 22) <= easter <= date(year, 4, 25)


def test_holidays_are_the_national_ones():
    assert [(day.month, day.day) for day in holidays(2018)] == [
        (1, 1), (1, 6), (4, 2), (4, 25), (5, 1), (6, 2), (8, 15), (11, 1), (12, 8), (12, 25), (12, 26),
    ]  # fmt: skip
    assert date(2011, 4, 25) in holidays(2011), "Easter Monday and 25 April are one day"
    assert len(holidays(2011)) == 10
    assert date(2025, 10, 4) not in holidays(2025)
    assert date(2027, 10, 4) in holidays(2027)


def test_the_local_offset_is_that_of_every_hour_around_both_clock_changes():
    hours = np.concatenate(
        [
            hours_of(date(2018, 3, 23), date(2018, 3, 27)),
            hours_of(date(2018, 10, 26), date(2018, 10, 30)),
            hours_of(date(1977, 5, 21), date(1977, 5, 24)),
        ]
    )
    expected = [local_time(hour).utcoffset().total_seconds() for hour in hours]
    assert local_offset_s(hours).tolist() == expected


def same_hour(when):
    found = same_hour_of_year_utc_s(np.array([at(when)]), year=2018)
    return local_time(int(found[0])).strftime("%a %Y-%m-%d %H%z")


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2016-07-04T12:00", "Mon 2018-07-02 12+0200"),
        ("2016-07-08T00:00", "Fri 2018-07-06 00+0200"),
        ("2019-07-04T12:00", "Thu 2018-07-05 12+0200"),
        ("2016-02-29T05:00", "Mon 2018-02-26 05+0100"),
        ("2016-12-31T23:00", "Sat 2018-12-29 23+0100"),
        ("2019-12-31T23:00", "Tue 2018-12-25 23+0100"),
        ("2017-01-01T00:00", "Sun 2018-01-07 00+0100"),
        ("2016-01-01T00:00", "Fri 2018-01-05 00+0100"),
        ("2019-03-24T02:00", "Sun 2018-03-25 03+0200"),
        ("2019-03-31T03:00", "Sun 2018-04-01 03+0200"),
        ("2018-07-04T12:00", "Wed 2018-07-04 12+0200"),
    ],
    ids=[
        "a Monday two days earlier",
        "midnight",
        "a day later",
        "leap day",
        "within the year's last days",
        "the next Tuesday would lie in 2019",
        "the Sunday before would lie in 2017",
        "four days later at the start",
        "an hour that is missing in 2018 has the next one",
        "a 23-hour day on one with 24",
        "2018 itself",
    ],
)
def test_an_hour_has_the_nearest_day_with_its_weekday(when, expected):
    assert same_hour(when) == expected


@pytest.mark.parametrize(
    ("given", "found"),
    [("2016-10-30", "2018-10-28"), ("2020-10-25", "2019-10-27"), ("2020-10-25", "2026-10-25")],
)
def test_the_repeated_hour_of_autumn_is_mapped_in_order(given, found):
    hours = same_hour_of_year_utc_s(at(f"{given}T02:00") + np.array([0, HOUR]), year=int(found[:4]))
    assert hours.tolist() == [at(f"{found}T02:00"), at(f"{found}T02:00") + HOUR]


def test_a_repeated_hour_has_one_price_where_the_other_year_has_the_hour_once():
    twice = at("2015-10-25T02:00")
    both = np.array([twice, twice + HOUR])
    # Sunday 25 October 2015 lies nearest to Sunday 24 October 2021, a week before clocks went back
    assert same_hour_of_year_utc_s(both, year=2021).tolist() == 2 * [at("2021-10-24T02:00")]


@pytest.mark.parametrize("year", [2016, 2018, 2021])
def test_a_year_is_mapped_onto_itself(year):
    hours = hours_of(date(year, 1, 1), date(year + 1, 1, 1))
    assert np.array_equal(same_hour_of_year_utc_s(hours, year=year), hours)


@settings(deadline=None)
@given(hours_of_this_century, st.sampled_from([2016, 2018, 2021]))
def test_weekday_and_hour_are_kept_and_the_day_is_near(hour_utc_s, year):
    (found,) = same_hour_of_year_utc_s(np.array([hour_utc_s]), year=year)
    given_at, found_at = local_time(hour_utc_s), local_time(int(found))
    assert found_at.year == year
    assert found_at.weekday() == given_at.weekday()
    assert found_at.hour == given_at.hour or (given_at.hour, found_at.hour, found_at.month) == (2, 3, 3)
    day = given_at.day - 1 if (given_at.month, given_at.day) == (2, 29) else given_at.day
    apart = abs((found_at.date() - date(year, given_at.month, day)).days)
    at_an_end = (given_at.month, given_at.day) in {(1, 1), (1, 2), (1, 3), (12, 29), (12, 30), (12, 31)}
    assert apart <= (6 if at_an_end else 3)


def test_hours_of_a_run_that_starts_within_an_hour_begin_before_it():
    start = at("2016-07-04T10:30")
    assert hour_starts_utc_s(start, 900, 7).tolist() == [start - 1800, start + 1800, start + 5400]
    assert hour_of_step(start, 900, 7).tolist() == [0, 0, 1, 1, 1, 1, 2]
    values = np.array([1.0, 3.0, 4.0, 4.0, 4.0, 8.0, 7.0])
    assert hourly_mean(values, start, 900).tolist() == [2.0, 5.0, 7.0]
