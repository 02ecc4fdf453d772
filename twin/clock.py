"""Local time of the scenario (Europe/Rome), seconds since 1970-01-01 UTC, and the times of steps.

A step lasts whole seconds or one of :data:`SUBSECOND_STEPS_S`, of which a whole number makes a second. Its number is the
truth; what is asked of its time is computed here, in whole numbers, because ``//`` and ``%`` go wrong on 0.1 s.
"""

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, TypeVar
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "SUBSECOND_STEPS_S",
    "ZONE",
    "clock_text",
    "end_of_steps_s",
    "first_step_from",
    "is_whole_steps",
    "local_iso",
    "local_time",
    "step_at",
    "step_iso",
    "step_length",
    "step_text",
    "step_time",
    "steps_in",
    "time_units",
    "utc_s",
    "whole_seconds",
]

ZONE = ZoneInfo("Europe/Rome")

SUBSECOND_STEPS_S = (0.1, 0.2, 0.25, 0.5)
"""The steps shorter than a second that a run may have [s]."""

_SECONDS_PER_MINUTE = 60

# numpy is named for mypy only: `twin check` does not wait for it
Steps = TypeVar("Steps", int, "NDArray[np.int64]")


def step_length(dt_s: float) -> float:
    """Return the length of a step [s] as it is kept: an ``int`` where it is whole.

    Raises:
        ValueError: neither whole and above 0 nor one of :data:`SUBSECOND_STEPS_S`.
    """
    if dt_s in SUBSECOND_STEPS_S:
        return float(dt_s)
    if dt_s < 1 or dt_s != int(dt_s):
        shorter = ", ".join(f"{step:g}" for step in SUBSECOND_STEPS_S)
        raise ValueError(f"a step lasts whole seconds, or {shorter} s (got {dt_s:g} s)")
    return int(dt_s)


def time_units(dt_s: float) -> tuple[int, int]:
    """Return how many units of time a step and a second have: the unit is a second, or the step where it is shorter.

    Raises:
        ValueError: no step of a run.
    """
    if isinstance(dt_s, int) and dt_s > 0:
        return dt_s, 1
    length = step_length(dt_s)
    return (1, round(1 / length)) if length < 1 else (int(length), 1)


def is_whole_steps(window_s: int, dt_s: float) -> bool:
    """Return whether ``window_s`` is a whole number of steps."""
    step, second = time_units(dt_s)
    return window_s * second % step == 0


def steps_in(window_s: int, dt_s: float) -> int:
    """Return how many steps of ``dt_s`` [s] a time of ``window_s`` [s] has, such as a quarter of an hour or a day.

    Raises:
        ValueError: not a whole number, or no step of a run.
    """
    if not is_whole_steps(window_s, dt_s):
        raise ValueError(f"{window_s} s are no whole number of steps of {dt_s:g} s")
    return step_at(window_s, dt_s)


def step_at(time_s: Steps, dt_s: float) -> Steps:
    """Return the step that begins at or last before ``time_s`` [s] after the start, shape as given."""
    step, second = time_units(dt_s)
    return time_s * second // step


def first_step_from(time_s: Steps, dt_s: float) -> Steps:
    """Return the first step that begins at or after ``time_s`` [s] after the start, shape as given."""
    return -step_at(-time_s, dt_s)


def whole_seconds(steps: Steps, dt_s: float) -> Steps:
    """Return the full seconds [s] that have passed when ``steps`` steps have, shape as given."""
    step, second = time_units(dt_s)
    return steps * step // second if second > 1 else steps * step


def end_of_steps_s(n_steps: int, dt_s: float) -> int:
    """Return the full second [s] after the start at or before which ``n_steps`` steps have ended."""
    return -whole_seconds(-n_steps, dt_s)


def step_time(start_utc_s: int, step: int, dt_s: float) -> datetime:
    """Return the local time at which a step begins, to the microsecond."""
    units, second = time_units(dt_s)
    rest = step * units % second
    at = local_time(start_utc_s + whole_seconds(step, dt_s))
    # adding a time would forget which of the two hours it is when clocks go back
    return at.replace(microsecond=1_000_000 * rest // second)


def step_iso(start_utc_s: int, step: int, dt_s: float) -> str:
    """Return the start of a step as :func:`local_iso` does, with milliseconds where it is not a full second."""
    at = step_time(start_utc_s, step, dt_s)
    return at.isoformat(timespec="milliseconds") if at.microsecond else local_iso(int(at.timestamp()))


def step_text(dt_s: float) -> str:
    """Return the length of a step in words: ``15 min``, ``30 s``, ``0.25 s``."""
    minutes, rest_s = divmod(time_units(dt_s)[0], _SECONDS_PER_MINUTE)
    return f"{dt_s:g} s" if rest_s else f"{minutes} min"


def clock_text(at: datetime, dt_s: float) -> str:
    """Return the time of day of a time on a grid of ``dt_s`` [s]: ``12:30``, ``12:30:15`` or ``12:30:15.250``."""
    if dt_s < 1:
        return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}"
    return f"{at:%H:%M:%S}" if time_units(dt_s)[0] % _SECONDS_PER_MINUTE else f"{at:%H:%M}"


def utc_s(moment: date | datetime) -> int:
    """Return seconds since 1970-01-01 UTC of a local or aware time; a date means its local midnight.

    A local time that occurs twice (clocks go back) means the first occurrence unless ``fold`` is 1.

    Raises:
        ValueError: a local time that does not exist (clocks go forward), or fractions of a second.
    """
    at = moment if isinstance(moment, datetime) else datetime.combine(moment, time())
    if at.microsecond:
        raise ValueError(f"{at.isoformat()} has fractions of a second; write full seconds")
    if at.tzinfo is not None:
        return int(at.timestamp())
    seconds = int(at.replace(tzinfo=ZONE).timestamp())
    if local_time(seconds).replace(tzinfo=None, fold=0) != at.replace(fold=0):
        raise ValueError(
            f"{at.isoformat()} does not exist in {ZONE} (clocks go forward); write a time with an offset"
        )
    return seconds


def local_time(seconds: float) -> datetime:
    """Return seconds since 1970-01-01 UTC as an aware local time; parts of a second are left out."""
    return datetime.fromtimestamp(int(seconds), tz=UTC).astimezone(ZONE)


def local_iso(seconds: int) -> str:
    """Return seconds since 1970-01-01 UTC as local ISO 8601 with offset, e.g. ``2016-07-01T12:15+02:00``."""
    at = local_time(seconds)
    return at.isoformat(timespec="seconds" if at.second else "minutes")
