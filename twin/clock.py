"""Local time of the scenario (Europe/Rome) and seconds since 1970-01-01 UTC."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

__all__ = ["ZONE", "local_iso", "local_time", "utc_s"]

ZONE = ZoneInfo("Europe/Rome")


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


def local_time(seconds: int) -> datetime:
    """Return seconds since 1970-01-01 UTC as an aware local time."""
    return datetime.fromtimestamp(int(seconds), tz=UTC).astimezone(ZONE)


def local_iso(seconds: int) -> str:
    """Return seconds since 1970-01-01 UTC as local ISO 8601 with offset, e.g. ``2016-07-01T12:15+02:00``."""
    at = local_time(seconds)
    return at.isoformat(timespec="seconds" if at.second else "minutes")
