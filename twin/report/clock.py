"""Local time of steps: labels and axis ticks in the feeder's own time zone."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from twin.clock import (
    ZONE,
    clock_text,
    first_step_from,
    step_text,
    step_time,
    steps_in,
    time_units,
)
from twin.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

__all__ = ["Clock", "Tick"]

_MAX_TICKS = 11
_SECOND_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)
"""Spacings of marks in a run of a few hours at most [s]; each divides an hour."""
_FEW_HOURS_S = 3 * SECONDS_PER_HOUR
_HOUR_STEPS = (1, 2, 3, 4, 6, 12)
_DAY_STEPS = (1, 2, 7, 14)
_FEW_DAYS = 3
_MAX_DAYS_OF_TICKS = _MAX_TICKS * _DAY_STEPS[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One mark of a time axis."""

    at_s: float
    """Seconds after the start of the axis."""
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The run's time base."""

    start_utc_s: int
    dt_s: float
    n_steps: int
    """Steps planned."""

    @property
    def zone(self) -> str:
        """Name of the time zone."""
        return str(ZONE)

    def at(self, step: int) -> datetime:
        """Return the local start of a step."""
        return step_time(self.start_utc_s, step, self.dt_s)

    def label(self, step: int) -> str:
        """Return e.g. ``Wed 15 Jun 2016, 12:30``, with seconds where steps are not whole minutes, or milliseconds."""
        at = self.at(step)
        return f"{at:%a %-d %b %Y}, {clock_text(at, self.dt_s)}"

    def short_label(self, step: int) -> str:
        """Return e.g. ``15 Jun 12:30``, with seconds where steps are not whole minutes, or milliseconds."""
        at = self.at(step)
        return f"{at:%-d %b} {clock_text(at, self.dt_s)}"

    @property
    def step_text(self) -> str:
        """The step in words, e.g. ``15 min``."""
        return step_text(self.dt_s)

    @property
    def steps_per_day(self) -> int:
        """Steps in 24 hours."""
        return steps_in(SECONDS_PER_DAY, self.dt_s)

    def day_of(self, step: int) -> tuple[int, int]:
        """Return first and last-plus-one step of the local calendar day that holds ``step``, cut to the run."""
        day = self.at(step).date()
        steps = [self._step_of(day + timedelta(days=shift)) for shift in (0, 1)]
        return max(steps[0], 0), min(steps[1], self.n_steps)

    def _step_of(self, day: object) -> int:
        midnight = datetime.fromisoformat(str(day)).replace(tzinfo=ZONE)
        return first_step_from(int(midnight.timestamp()) - self.start_utc_s, self.dt_s)

    def ticks(self, first: int, stop: int) -> tuple[Tick, ...]:
        """Return the marks of an axis over steps ``first`` to ``stop``, at round local times."""
        span_s = (stop - first) * self.dt_s
        if span_s < _FEW_HOURS_S:
            return self._second_ticks(first, stop)
        if span_s <= _FEW_DAYS * SECONDS_PER_DAY:
            hours = next(h for h in _HOUR_STEPS if span_s / (h * SECONDS_PER_HOUR) <= _MAX_TICKS + 2)
            return self._hour_ticks(first, stop, hours)
        n_days = span_s / SECONDS_PER_DAY
        if n_days > _MAX_DAYS_OF_TICKS:
            return self._month_ticks(first, stop)
        return self._day_ticks(first, stop, next(d for d in _DAY_STEPS if n_days / d <= _MAX_TICKS))

    def _offset_s(self, moment: datetime, first: int) -> float:
        return moment.timestamp() - (self.start_utc_s + first * self.dt_s)

    def _second_ticks(self, first: int, stop: int) -> tuple[Tick, ...]:
        length, second = time_units(self.dt_s)
        unit_s = 1 if second == 1 else self.dt_s
        start, span = self.start_utc_s * second + first * length, (stop - first) * length
        spacings = [(unit_s, 1), *((every_s, every_s * second) for every_s in _SECOND_STEPS)]
        every_s, every = next((every_s, every) for every_s, every in spacings if span / every <= _MAX_TICKS)
        # time zones differ from UTC by whole quarters of an hour, so round local times are round in UTC too
        moments = range(-(-start // every) * every, start + span + 1, every)
        return tuple(
            Tick(at_s=(moment - start) / second, label=clock_text(step_time(0, moment, unit_s), every_s))
            for moment in moments
        )

    def _hour_ticks(self, first: int, stop: int, hours: int) -> tuple[Tick, ...]:
        span_s = (stop - first) * self.dt_s
        moment = self.at(first).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        ticks: list[Tick] = []
        while (at_s := self._offset_s(moment, first)) <= span_s:
            local = moment.astimezone(ZONE)
            if at_s >= 0 and local.hour % hours == 0 and local.minute == 0:
                ticks.append(
                    Tick(at_s=at_s, label=f"{local:%-d %b}" if local.hour == 0 else f"{local:%H:%M}")
                )
            moment += timedelta(hours=1)
        return tuple(ticks)

    def _day_ticks(self, first: int, stop: int, days: int) -> tuple[Tick, ...]:
        span_s = (stop - first) * self.dt_s
        start = self.at(first).date()
        moments = [
            datetime(start.year, start.month, start.day, tzinfo=ZONE) + timedelta(days=shift)
            for shift in range(0, int(span_s // SECONDS_PER_DAY) + 2, days)
        ]
        pairs = [(self._offset_s(moment, first), moment) for moment in moments]
        return tuple(
            Tick(at_s=at_s, label=f"{moment:%a %-d %b}") for at_s, moment in pairs if 0 <= at_s <= span_s
        )

    def _month_ticks(self, first: int, stop: int) -> tuple[Tick, ...]:
        span_s = (stop - first) * self.dt_s
        start = self.at(first)
        months = (
            start.year * 12 + start.month - 1 + shift
            for shift in range(int(span_s // (28 * SECONDS_PER_DAY)) + 2)
        )
        moments = [datetime(m // 12, m % 12 + 1, 1, tzinfo=ZONE) for m in months]
        every = -(-len(moments) // (_MAX_TICKS + 2))
        pairs = [(self._offset_s(moment, first), moment) for moment in moments[::every]]
        return tuple(
            Tick(at_s=at_s, label=f"{moment:%b %Y}") for at_s, moment in pairs if 0 <= at_s <= span_s
        )
