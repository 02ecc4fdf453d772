"""The simulated days."""

import datetime as dt
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from twin.clock import SUBSECOND_STEPS_S, ZONE, is_whole_steps, step_length
from twin.scenario.base import Spec, wrong
from twin.scenario.marks import got
from twin.scenario.quantities import Quantity

__all__ = ["Period"]

_QUARTER_HOUR_S = 900
_QUARTER_HOUR_MIN = 15
_DAY_S = 86_400
_FIRST_YEAR, _LAST_YEAR = 1970, 2100


def _read_start(value: object) -> dt.datetime:
    if isinstance(value, (str, dt.date)):
        text = value.strip() if isinstance(value, str) else value.isoformat()
        try:
            return dt.datetime.fromisoformat(text)
        except ValueError:
            pass
    raise wrong(f"must be a date such as 2016-07-04 or 2016-07-04T06:00 (got {got(value)})")


def _check_start(start: dt.datetime) -> dt.datetime:
    if not _FIRST_YEAR <= start.year <= _LAST_YEAR:
        raise wrong(f"the year must lie between {_FIRST_YEAR} and {_LAST_YEAR} (got {start.year})")
    if start.minute % _QUARTER_HOUR_MIN or start.second or start.microsecond:
        raise wrong(
            f"must be a full quarter of an hour (got {start.time()}); settlement and KPIs count in quarters"
        )
    if start.tzinfo is None:
        zone = ZONE
        first, second = (start.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
        if first != second:
            raise wrong(f"{start} is twice or not at all in {ZONE} (clock change); write it with an offset")
    return start


def _check_step(step_s: float) -> float:
    """Return the step as it is kept: an ``int`` where it is whole, so that nothing says 900.0."""
    try:
        length_s = step_length(step_s)
    except ValueError as error:
        raise wrong(str(error)) from error
    if not is_whole_steps(_QUARTER_HOUR_S, length_s):
        text = "a step must divide 15 min (900 s), so that quarter-hours are whole steps"
        raise wrong(f"{text}; use e.g. 900, 300 or 60 s (got {step_s:g} s)")
    return length_s


class Period(Spec):
    """The days, or the shorter time, that are simulated."""

    start: Annotated[
        dt.datetime,
        BeforeValidator(_read_start),
        AfterValidator(_check_start),
        WithJsonSchema({"type": "string", "examples": ["2016-07-04", "2016-07-04T06:00"]}),
    ] = Field(description=f"First instant; a date means midnight, without an offset in {ZONE}.")
    days: Annotated[int, Quantity("d", ge=1, le=3660)] | None = Field(
        default=None, description="Number of local days [d]; one with a clock change has 23 or 25 hours."
    )
    duration_s: Annotated[int, Quantity("s", ge=1, le=_DAY_S)] | None = Field(
        default=None,
        description="Instead of days: up to a day, e.g. '5 min' [s]. Peaks need full quarters of an hour.",
    )
    step_s: Annotated[
        float,
        Quantity("s", ge=SUBSECOND_STEPS_S[0], le=_QUARTER_HOUR_S),
        AfterValidator(_check_step),
        PlainSerializer(step_length, return_type=Any),
    ] = Field(
        default=_QUARTER_HOUR_S,
        description="Length of a step [s]; must divide 15 minutes. Below a second: 0.1, 0.2, 0.25 or 0.5 s.",
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: the length given twice, not at all, or with a part of a step."""
        if self.days is None and self.duration_s is None:
            yield "", "days is missing; add it (or duration_s for less than a day)"
        elif self.days is not None and self.duration_s is not None:
            yield "duration_s", "days and duration_s say the same twice; keep one"
        elif self.duration_s is not None and not is_whole_steps(self.duration_s, self.step_s):
            yield (
                "duration_s",
                f"duration_s {self.duration_s} must be a whole number of steps of {self.step_s} s",
            )

    @property
    def end(self) -> dt.datetime:
        """The instant after the last step, with or without a time zone like ``start``."""
        if self.days is not None:
            return self.start + dt.timedelta(days=self.days)
        elapsed = dt.timedelta(seconds=0 if self.duration_s is None else self.duration_s)
        begin = self.start if self.start.tzinfo is not None else self.start.replace(tzinfo=ZONE)
        return (begin.astimezone(dt.UTC) + elapsed).astimezone(begin.tzinfo)
