"""Hours of a run on the Italian calendar: price bands, holidays, and the same hour of another year.

An hour of settlement is a UTC hour. Italy's offset from UTC is a whole number of hours, so it is a local hour too, and
days with 23 or 25 hours need no case of their own. All functions are vectorised over hours, shape (N,).
"""

from datetime import UTC, date, timedelta

import numpy as np
from numpy.typing import NDArray

from twin.clock import end_of_steps_s, local_time, utc_s, whole_seconds
from twin.units import HOURS_PER_DAY, SECONDS_PER_DAY, SECONDS_PER_HOUR

__all__ = [
    "BANDS",
    "band_of_hour",
    "easter_sunday",
    "holidays",
    "hour_of_step",
    "hour_starts_utc_s",
    "hourly_mean",
    "local_offset_s",
    "same_hour_of_year_utc_s",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BANDS = ("F1", "F2", "F3")
"""Names of the bands 1, 2 and 3."""

_FIXED_HOLIDAYS = (
    (1, 1),
    (1, 6),
    (4, 25),
    (5, 1),
    (6, 2),
    (8, 15),
    (11, 1),
    (12, 8),
    (12, 25),
    (12, 26),
)
_SAINT_FRANCIS = (10, 4)
_SAINT_FRANCIS_FROM = 2026
_DAYS_PER_WEEK = 7
_THURSDAY = 3
"""Weekday of 1970-01-01, Monday is 0."""
_SATURDAY, _SUNDAY = 5, 6
_MONTHS_PER_YEAR = 12
_NO_HOUR = np.iinfo(np.int64).min


def hour_starts_utc_s(start_utc_s: int, dt_s: float, n_steps: int) -> IntArray:
    """Return the start of every hour that ``n_steps`` steps of ``dt_s`` [s] touch, shape (N,).

    A run that starts within an hour has a partial first hour; its start lies before the run.
    """
    first = start_utc_s // SECONDS_PER_HOUR
    end = -(-(start_utc_s + end_of_steps_s(n_steps, dt_s)) // SECONDS_PER_HOUR)
    return np.arange(first, end, dtype=np.int64) * SECONDS_PER_HOUR


def hour_of_step(start_utc_s: int, dt_s: float, n_steps: int) -> IntArray:
    """Return for every step the position of its hour in :func:`hour_starts_utc_s`, shape (T,)."""
    starts = start_utc_s + whole_seconds(np.arange(n_steps, dtype=np.int64), dt_s)
    position: IntArray = starts // SECONDS_PER_HOUR - start_utc_s // SECONDS_PER_HOUR
    return position


def hourly_mean(values: FloatArray, start_utc_s: int, dt_s: float) -> FloatArray:
    """Return the mean over the steps of each hour of :func:`hour_starts_utc_s`, shape (N,), of ``values``, shape (T,)."""
    hour = hour_of_step(start_utc_s, dt_s, len(values))
    mean: FloatArray = np.bincount(hour, weights=values).astype(np.float64) / np.bincount(hour)
    return mean


def local_offset_s(instants_utc_s: IntArray) -> IntArray:
    """Return local time minus UTC [s] (Europe/Rome) at instants in seconds since 1970-01-01 UTC, same shape."""
    day = instants_utc_s // SECONDS_PER_DAY
    days, day_position = np.unique(day, return_inverse=True)
    edges = np.union1d(days, days + 1)
    at_edge = np.array([_offset_s(int(edge) * SECONDS_PER_DAY) for edge in edges], dtype=np.int64)
    first, last = at_edge[np.searchsorted(edges, days)], at_edge[np.searchsorted(edges, days + 1)]
    offset: IntArray = first[day_position].reshape(instants_utc_s.shape)
    # clocks change at most once within a UTC day, so only such a day is asked instant by instant
    changing = (first != last)[day_position].reshape(instants_utc_s.shape)
    offset[changing] = [_offset_s(int(instant)) for instant in instants_utc_s[changing]]
    return offset


def _offset_s(instant_utc_s: int) -> int:
    return int(local_time(instant_utc_s).replace(tzinfo=UTC).timestamp()) - instant_utc_s


def easter_sunday(year: int) -> date:
    """Return Easter Sunday of the Gregorian calendar.

    Source: anonymous Gregorian computus in the form of Meeus, Astronomical Algorithms, 1991, chapter 8.
    """
    golden = year % 19
    century, in_century = divmod(year, 100)
    leap_centuries, century_rest = divmod(century, 4)
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leap_centuries - correction + 15) % 30
    leaps, leap_rest = divmod(in_century, 4)
    weekday = (32 + 2 * century_rest + 2 * leaps - epact - leap_rest) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)


def holidays(year: int) -> tuple[date, ...]:
    """Return the Italian national holidays of ``year`` in order, without Easter Sunday; patron saints do not count.

    The days that decision 181/06 of the energy authority counts as holidays, and from 2026 on 4 October (law 151/2025;
    K: that the price bands follow that law is not verified). Years before 2007 have the same days; the bands began then.
    """
    days = [date(year, month, day) for month, day in _FIXED_HOLIDAYS]
    days.append(easter_sunday(year) + timedelta(days=1))
    if year >= _SAINT_FRANCIS_FROM:
        days.append(date(year, *_SAINT_FRANCIS))
    return tuple(sorted(set(days)))


def band_of_hour(hour_start_utc_s: IntArray) -> IntArray:
    """Return the price band of each hour: 1 (F1), 2 (F2) or 3 (F3), shape (N,).

    F1: Monday to Friday 8 to 19. F2: Monday to Friday 7 to 8 and 19 to 23, Saturday 7 to 23. F3: the rest, Sundays and
    national holidays. Local time; instants within an hour have the band of that hour.

    Source: decision 181/06 of the Italian energy authority (AEEG, later ARERA) as published by Gruppo Hera and acea.it.
    """
    local_s = hour_start_utc_s + local_offset_s(hour_start_utc_s)
    day, hour = local_s // SECONDS_PER_DAY, local_s % SECONDS_PER_DAY // SECONDS_PER_HOUR
    weekday = _weekday(day)
    band = np.full(hour_start_utc_s.shape, 3, dtype=np.int64)
    band[(weekday <= _SATURDAY) & (hour >= 7) & (hour < 23)] = 2  # noqa: PLR2004 - hours of the decision
    band[(weekday < _SATURDAY) & (hour >= 8) & (hour < 19)] = 1  # noqa: PLR2004
    years = np.unique(day.astype("datetime64[D]").astype("datetime64[Y]")).astype(np.int64) + 1970
    free = [holiday for year in years for holiday in holidays(int(year))]
    band[np.isin(day, np.array(free, dtype="datetime64[D]").astype(np.int64))] = 3
    return band


def same_hour_of_year_utc_s(instants_utc_s: IntArray, *, year: int) -> IntArray:
    """Return for each instant the start of the hour of ``year`` that resembles it most, same shape.

    It is the same local hour on the day of ``year`` with the same weekday that is nearest to the same day and month:
    within 3 days, or 6 at the ends of the year, which is not left; 29 February counts as 28 February. Holidays are not
    treated specially. Hours of ``year`` itself are returned as they are.

    Clock changes: an hour that is twice on a day of the run and once on the day of ``year`` gets that hour both times; where
    it is twice on both, first goes to first and second to second; where it is missing on the day of ``year`` it gets the
    hour after it.
    """
    local_s = instants_utc_s + local_offset_s(instants_utc_s)
    day, hour = local_s // SECONDS_PER_DAY, local_s % SECONDS_PER_DAY // SECONDS_PER_HOUR
    target = _same_weekday(day, year)
    table = _hours_of_year_utc_s(year)
    found: IntArray = table[target - _first_day(year), hour, _is_second(instants_utc_s)]
    return found


def _weekday(day: IntArray) -> IntArray:
    """Return weekdays, Monday is 0, of days since 1970-01-01."""
    return (day + _THURSDAY) % _DAYS_PER_WEEK


def _first_day(year: int) -> int:
    """Return 1 January in days since 1970-01-01."""
    return (date(year, 1, 1) - date(1970, 1, 1)).days


def _same_weekday(day: IntArray, year: int) -> IntArray:
    """Return for each day since 1970-01-01 the one of ``year`` with its weekday that is nearest in the year."""
    months = day.astype("datetime64[D]").astype("datetime64[M]")
    in_month = day - months.astype("datetime64[D]").astype(np.int64)
    month = months.astype(np.int64) % _MONTHS_PER_YEAR + (year - 1970) * _MONTHS_PER_YEAR
    first, following = (
        (month + more).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) for more in (0, 1)
    )
    same = np.minimum(first + in_month, following - 1)
    shift = (_weekday(day) - _weekday(same) + 3) % _DAYS_PER_WEEK - 3
    target = same + shift
    target = target + _DAYS_PER_WEEK * (target < _first_day(year))
    nearest: IntArray = target - _DAYS_PER_WEEK * (target >= _first_day(year + 1))
    return nearest


def _is_second(instants_utc_s: IntArray) -> IntArray:
    """Return 1 where the local hour of an instant has been before (clocks went back), else 0."""
    back = local_offset_s(instants_utc_s) < local_offset_s(instants_utc_s - SECONDS_PER_HOUR)
    return back.astype(np.int64)


def _hours_of_year_utc_s(year: int) -> IntArray:
    """Return the start of each local hour of ``year``, shape (days, 24, 2): first and second time it occurs."""
    starts = np.arange(utc_s(date(year, 1, 1)), utc_s(date(year + 1, 1, 1)), SECONDS_PER_HOUR, dtype=np.int64)
    local_s = starts + local_offset_s(starts)
    day = local_s // SECONDS_PER_DAY - _first_day(year)
    hour = local_s % SECONDS_PER_DAY // SECONDS_PER_HOUR
    first, second = np.full((2, int(day[-1]) + 1, HOURS_PER_DAY), _NO_HOUR, dtype=np.int64)
    again = _is_second(starts) == 1
    first[day[~again], hour[~again]] = starts[~again]
    second[day[again], hour[again]] = starts[again]
    missing = np.nonzero(first == _NO_HOUR)
    first[missing] = first[missing[0], missing[1] + 1]
    return np.stack([first, np.where(second == _NO_HOUR, first, second)], axis=-1)
