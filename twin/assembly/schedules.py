"""Water drawn and trips driven by households, drawn at random: plausible days, not measured ones.

Each device has a generator of its own, seeded by the scenario seed and its name, so that a home keeps its habits
whatever else is in the scenario. The shapes are assumptions; :data:`DRAWS` and the functions say which.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from twin.assembly.series import Period
from twin.clock import local_time, utc_s
from twin.units import HOURS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

__all__ = ["DRAWS", "Draw", "Habits", "Trips", "draw_l_min", "generators", "trips"]

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

_NOON_H = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One kind of draw-off at the tap."""

    flow_l_min: float
    duration_s: float
    share: float
    """Share of the water of a day."""


DRAWS = (
    Draw(flow_l_min=1.0, duration_s=60.0, share=0.14),
    Draw(flow_l_min=6.0, duration_s=60.0, share=0.36),
    Draw(flow_l_min=14.0, duration_s=600.0, share=0.10),
    Draw(flow_l_min=8.0, duration_s=300.0, share=0.40),
)
"""Short and medium draw-offs, baths and showers.

After U. Jordan, K. Vajen: Realistic Domestic Hot-Water Profiles in Different Time Scales, IEA SHC Task 26, 2001
(K: not verified). Duration and flow are held at their means.
"""

_BY_HOUR = np.array(
    [1, 0.5, 0.5, 0.5, 1, 3, 8, 10, 8, 5, 4, 4, 5, 4, 3, 3, 4, 6, 8, 9, 8, 6, 4, 2], dtype=np.float64
)
"""Weight of each local hour for draw-offs: peaks at 7 and at 19 (assumption)."""
_DISTANCE_SIGMA = 0.5
"""Spread of the logarithm of a day's distance (assumption)."""


def generators(seed: int, kind: str, names: Sequence[str]) -> list[np.random.Generator]:
    """Return the random generator of each device."""
    return [np.random.default_rng([seed, zlib.crc32(f"{kind}:{name}".encode())]) for name in names]


def draw_l_min(period: Period, randoms: Sequence[np.random.Generator], *, litres_day: Array) -> Array:
    """Return the water drawn at the tap in each step [l/min], shape (T, N).

    Draw-offs come independently of each other, so the water of a day varies around its mean.

    Args:
        period: the steps.
        randoms: generator of each device.
        litres_day: mean water of a day, shape (N,).
    """
    noons_utc_s = _noons_utc_s(period)
    litres = np.zeros((period.n_steps, len(randoms)))
    chance = np.cumsum(_BY_HOUR) / _BY_HOUR.sum()
    for device, random in enumerate(randoms):
        for draw in DRAWS:
            volume_l = draw.flow_l_min * draw.duration_s / SECONDS_PER_MINUTE
            counts = random.poisson(draw.share * litres_day[device] / volume_l, size=len(noons_utc_s))
            hours = np.searchsorted(chance, random.random(counts.sum()), side="right")
            at_h = hours + random.random(counts.sum()) - _NOON_H
            starts_s = np.repeat(noons_utc_s, counts) + at_h * SECONDS_PER_HOUR - period.start_utc_s
            _pour(litres[:, device], starts_s, draw, period.dt_s)
    return litres * (SECONDS_PER_MINUTE / period.dt_s)


def _pour(litres: Array, starts_s: Array, draw: Draw, dt_s: float) -> None:
    """Add draw-offs that start at ``starts_s`` after the first step to the litres of each step."""
    first = np.floor(starts_s / dt_s).astype(np.int64)
    ends_s = starts_s + draw.duration_s
    for further in range(int(np.ceil(draw.duration_s / dt_s)) + 1):
        step = first + further
        inside = np.minimum(ends_s, (step + 1) * dt_s) - np.maximum(starts_s, step * dt_s)
        kept = (inside > 0.0) & (step >= 0) & (step < len(litres))
        np.add.at(litres, step[kept], inside[kept] * draw.flow_l_min / SECONDS_PER_MINUTE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How N cars are used; shape (N,) each."""

    departure_h: Array
    """Mean local hour of departure."""
    arrival_h: Array
    """Mean local hour of arrival; not after the departure means the next day."""
    spread_h: Array
    """Standard deviation of both: half of the variance is between homes, half between days."""
    drive_days_share: Array
    driven_kwh_day: Array
    """Mean energy of a day with a trip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trips:
    """When cars are there and what they drive; shape (T, N) each."""

    plugged: Array
    """1 while plugged in, else 0."""
    used_kwh: Array
    """Energy driven in the step."""


def trips(period: Period, randoms: Sequence[np.random.Generator], *, habits: Habits) -> Trips:
    """Return one trip a day at most for each car: away from departure to arrival, driving evenly meanwhile.

    Times are rounded to steps; a trip is one step at least.
    """
    noons_utc_s = _noons_utc_s(period)
    plugged = np.ones((period.n_steps, len(randoms)))
    used_kwh = np.zeros((period.n_steps, len(randoms)))
    for device, random in enumerate(randoms):
        away = _away(period, noons_utc_s, random, habits=habits, device=device)
        mean_kwh = habits.driven_kwh_day[device]
        variation = np.exp(_DISTANCE_SIGMA * random.standard_normal(len(away)) - _DISTANCE_SIGMA**2 / 2)
        for (begin, end), e_kwh in zip(away.tolist(), mean_kwh * variation, strict=True):
            inside = slice(max(begin, 0), max(end, 0))
            plugged[inside, device] = 0.0
            used_kwh[inside, device] = e_kwh / (end - begin)
    return Trips(plugged=plugged, used_kwh=used_kwh)


def _away(
    period: Period, noons_utc_s: IntArray, random: np.random.Generator, *, habits: Habits, device: int
) -> IntArray:
    """Return first step and step after the last of each trip, shape (trips, 2); trips do not overlap."""
    days = len(noons_utc_s)
    departure_h, arrival_h = habits.departure_h[device], habits.arrival_h[device]
    if arrival_h <= departure_h:
        arrival_h += HOURS_PER_DAY
    spread_h = habits.spread_h[device] * np.sqrt(0.5)
    habit_h = random.standard_normal(2)
    daily_h = random.standard_normal((days, 2))
    drives = random.random(days) < habits.drive_days_share[device]
    at_h = np.array([departure_h, arrival_h]) + spread_h * (habit_h + daily_h)
    since_start_s = noons_utc_s[:, None] - period.start_utc_s + (at_h - _NOON_H) * SECONDS_PER_HOUR
    steps = np.rint(since_start_s / period.dt_s).astype(np.int64)
    kept: list[tuple[int, int]] = []
    free = int(steps.min(initial=0))
    for (begin, end), drive in zip(steps.tolist(), drives.tolist(), strict=True):
        begin_free = max(begin, free)
        end_after = max(end, begin_free + 1)
        if drive:
            kept.append((begin_free, end_after))
            free = end_after
    return np.array(kept, dtype=np.int64).reshape(-1, 2)


def _noons_utc_s(period: Period) -> IntArray:
    """Return local noon of the day before the run and of each of its days: clocks change at night."""
    first = local_time(period.start_utc_s).date() - timedelta(days=1)
    last = local_time(period.end_utc_s - 1).date()
    days = (last - first).days + 1
    midnights = [first + timedelta(days=day) for day in range(days)]
    noons = [local_time(utc_s(day)).replace(hour=_NOON_H, tzinfo=None) for day in midnights]
    return np.array([utc_s(noon) for noon in noons], dtype=np.int64)
