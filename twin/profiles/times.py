"""Timestamps of a user's file as seconds since 1970-01-01 UTC, checked for order, step and clock changes."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from twin.errors import ProfileError
from twin.units import SECONDS_PER_HOUR

__all__ = ["instants_utc_s", "regular_step_s", "row_of", "zone_named"]

IntArray = NDArray[np.int64]


def zone_named(file: str, name: str | None) -> ZoneInfo | None:
    """Return a time zone by its IANA name; None stays None.

    Raises:
        ProfileError: there is no such zone.
    """
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ProfileError(
            f"{file}: no time zone {name!r}; use an IANA name such as Europe/Rome or UTC"
        ) from error


def row_of(index: int, stamps: Sequence[object]) -> str:
    """Return how messages name a data row: its number from 1, below the header, and its time."""
    return f"data row {index + 1} ({stamps[index]})"


def instants_utc_s(file: str, stamps: Sequence[datetime], zone: ZoneInfo | None) -> IntArray:
    """Return each stamp in seconds since 1970-01-01 UTC, shape (T,).

    Stamps with an offset mean what they say. Others are local time in ``zone``; in the hour that occurs twice when
    clocks go back the first stamp of a time is the first occurrence and the second the second.

    Raises:
        ProfileError: stamps without offset and no zone, with and without offset mixed, a local time that does not
            exist, or fractions of a second.
    """
    if any(stamp.microsecond for stamp in stamps):
        index = next(i for i, stamp in enumerate(stamps) if stamp.microsecond)
        raise ProfileError(f"{file}: {row_of(index, stamps)}: fractions of a second; round to full seconds")
    aware = [stamp.tzinfo is not None for stamp in stamps]
    if all(aware):
        return np.array([int(stamp.timestamp()) for stamp in stamps], dtype=np.int64)
    if any(aware):
        index = aware.index(not aware[0])
        raise ProfileError(
            f"{file}: {row_of(index, stamps)}: times with and without offset are mixed; write all alike"
        )
    if zone is None:
        raise ProfileError(
            f"{file}: {row_of(0, stamps)}: times without offset; state time_zone, e.g. Europe/Rome, or UTC"
        )
    return _local_utc_s(file, stamps, zone)


def _local_utc_s(file: str, stamps: Sequence[datetime], zone: ZoneInfo) -> IntArray:
    instants = np.empty(len(stamps), dtype=np.int64)
    for index, stamp in enumerate(stamps):
        first, second = (int(stamp.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1))
        if second < first:
            raise ProfileError(
                f"{file}: {row_of(index, stamps)}: this time does not exist in {zone} (clocks go forward); leave the "
                f"hour out, write times with an offset, or state the zone of the file's clock, e.g. {_winter(zone)}"
            )
        instants[index] = second if index and first <= instants[index - 1] else first
    return instants


def _winter(zone: ZoneInfo) -> str:
    """Return the fixed zone that a file on winter time all year is in."""
    offset = datetime(2025, 1, 1, tzinfo=zone).utcoffset()
    hours = 0 if offset is None else round(offset.total_seconds() / SECONDS_PER_HOUR)
    return f"Etc/GMT{-hours:+d}" if hours else "UTC"


def regular_step_s(file: str, instants: IntArray, stamps: Sequence[object], zone: ZoneInfo | None) -> int:
    """Return the step [s] of instants that follow each other regularly.

    Raises:
        ProfileError: fewer than two, not in order, twice the same, a gap, or an irregular step.
    """
    if len(instants) < 2:  # noqa: PLR2004  # a step lies between two
        raise ProfileError(f"{file}: {len(instants)} data rows; a series needs at least two to have a step")
    steps_s = np.diff(instants)
    found, counts = np.unique(steps_s[steps_s > 0], return_counts=True)
    step_s = int(found[np.argmax(counts)]) if len(found) else 0
    bad = np.flatnonzero(steps_s != step_s)
    if not len(found) or len(bad):
        index = int(bad[0]) + 1 if len(bad) else 1
        raise ProfileError(
            f"{file}: {row_of(index, stamps)}: {_fault(int(steps_s[index - 1]), step_s, zone)}"
        )
    return step_s


def _fault(found_s: int, step_s: int, zone: ZoneInfo | None) -> str:
    if found_s == 0:
        return "the same time as the row before; keep one of them"
    if found_s < 0:
        return "earlier than the row before; sort the rows by time"
    winter = ""
    if zone is not None and found_s == step_s + SECONDS_PER_HOUR:
        winter = f"; if the file keeps winter time all year, state time_zone {_winter(zone)}"
    if found_s % step_s == 0:
        missing = found_s // step_s - 1
        return f"{missing} row{'s' if missing > 1 else ''} missing before this one; fill the gap{winter}"
    return f"{found_s} s after the row before, the others are {step_s} s apart; make the step regular{winter}"
