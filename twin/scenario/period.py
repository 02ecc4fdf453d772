"""The simulated days."""

import datetime as dt
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from twin.clock import ZONE
from twin.scenario.base import Spec, wrong
from twin.scenario.marks import got
from twin.scenario.quantities import Quantity

__all__ = ["Period"]

_QUARTER_HOUR_S = 900
_QUARTER_HOUR_MIN = 15
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


def _check_step(step_s: int) -> int:
    if _QUARTER_HOUR_S % step_s:
        text = "a step must divide 15 min (900 s), so that quarter-hours are whole steps"
        raise wrong(f"{text}; use e.g. 900, 300 or 60 s (got {step_s} s)")
    return step_s


class Period(Spec):
    """The days that are simulated."""

    start: Annotated[
        dt.datetime,
        BeforeValidator(_read_start),
        AfterValidator(_check_start),
        WithJsonSchema({"type": "string", "examples": ["2016-07-04", "2016-07-04T06:00"]}),
    ] = Field(description=f"First instant; a date means midnight, without an offset in {ZONE}.")
    days: Annotated[int, Quantity("d", ge=1, le=3660)] = Field(
        description="Number of local days [d]; one with a clock change has 23 or 25 hours."
    )
    step_s: Annotated[int, Quantity("s", ge=1, le=_QUARTER_HOUR_S), AfterValidator(_check_step)] = Field(
        default=_QUARTER_HOUR_S, description="Length of a step [s]; must divide 15 minutes."
    )
