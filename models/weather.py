"""Weather files for PV: one year of irradiance and air temperature, looked up by month, day and hour."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.errors import DeviceError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WeatherYear", "read_weather"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_DAY_S = 86400
_YEAR_S = 366 * _DAY_S
_FEB_29_S = 59 * _DAY_S
_COMMON_YEAR = 2001
"""Year without a leap day, given to typical years so that shifting their stamps does not meet one."""
_NEEDED = ("ghi", "dni", "dhi", "temp_air")
_BOUNDS = {"ghi": (0.0, 2000.0), "dni": (0.0, 2000.0), "dhi": (0.0, 2000.0), "temp_air": (-60.0, 65.0)}
"""What can be on Earth [W/m2, degree C]; the missing-value codes of EPW and TMY3 (9999, 99.9, -9900) lie outside."""
_WIND_M_S = 1.0
_WIND_MAX_M_S = 60.0


@dataclass(frozen=True, kw_only=True, eq=False)
class WeatherYear:
    """Weather in equal intervals of a leap year in the file's own standard time; NaN where the file has none."""

    path: Path
    step_s: int
    offset_s: int
    """Where in an interval of ``step_s`` the file's intervals begin [s]."""
    ahead_of_utc_s: int
    """The file's standard time less UTC [s]. A typical year joins months of several years, so its hours have no UTC
    date of their own; they are looked up in standard time."""
    values: FloatArray
    """Shape (5, intervals): ghi, dni, dhi [W/m2], temp_air [degree C], wind speed [m/s]."""

    def at(self, at_utc_s: FloatArray) -> FloatArray:
        """Return the weather at instants ``at_utc_s`` (S,), shape (5, S).

        Raises:
            DeviceError: the file has no row for an instant.
        """
        found = self.values[:, _slot(at_utc_s + self.ahead_of_utc_s, self.step_s, self.offset_s)]
        lost = np.isnan(found[0])
        if np.any(lost):
            first = np.datetime64(int(at_utc_s[np.argmax(lost)]), "s")
            raise DeviceError(
                f"{self.path}: no weather for {str(first)[5:16]} UTC; give a file of the whole year"
            )
        return found


def _slot(at_utc_s: NDArray[Any], step_s: int, offset_s: int) -> IntArray:
    """Return the interval of a leap year that holds each instant, whatever its year."""
    at = np.floor(at_utc_s - offset_s).astype(np.int64).astype("datetime64[s]")
    days = at.astype("datetime64[D]")
    year = days.astype("datetime64[Y]")
    of_year = (days - year.astype("datetime64[D]")).astype(np.int64)
    number = year.astype(np.int64) + 1970
    leap = (number % 4 == 0) & ((number % 100 != 0) | (number % 400 == 0))
    of_leap_year = of_year + (~leap & (of_year >= _FEB_29_S // _DAY_S))
    second = (at - days).astype(np.int64)
    return np.asarray((of_leap_year * _DAY_S + second) // step_s, dtype=np.int64)


def read_weather(path: Path) -> WeatherYear:
    """Read a weather file of at most one year.

    Formats: EPW; TMY3; a typical year of PVGIS as CSV or JSON; CSV with the header ``time,ghi,dni,dhi,temp_air`` and
    optionally ``wind_speed`` (times ISO 8601 with an offset, each the start of its interval; W/m2, degree C, m/s).
    EPW, TMY3 and CSV hold means over an interval. PVGIS holds instants, each taken for half an interval on both sides.

    Raises:
        DeviceError: file missing, unreadable or of another kind, a value missing or impossible (with its row), a gap,
            or more than one year.
    """
    try:
        reader, shift_steps = _reader(path)
        frame = reader(path)
    except (OSError, UnicodeDecodeError) as error:
        raise DeviceError(f"{path}: cannot be read ({error}); check the path of the weather file") from error
    except (ValueError, KeyError, IndexError) as error:
        raise DeviceError(f"{path}: not a readable weather file ({error}); {_REMEDY}") from error
    missing = [name for name in _NEEDED if name not in frame.columns]
    if missing:
        raise DeviceError(f"{path}: no column {', '.join(missing)}; {_REMEDY}")
    values = _checked(path, frame)
    stamps_s, ahead_of_utc_s = _stamps_s(frame)
    return _year(path, stamps_s, values, shift_steps, ahead_of_utc_s=ahead_of_utc_s)


_REMEDY = "give EPW, TMY3, a typical year of PVGIS, or CSV with time, ghi, dni, dhi, temp_air"


def _reader(path: Path) -> tuple[Callable[[Path], "pd.DataFrame"], float]:
    """Return what reads the file and how far its stamps lie after the start of their interval, in intervals."""
    if path.suffix.lower() == ".epw":
        return _read_epw, 0.0
    with path.open(
        encoding="utf-8-sig", errors="strict" if path.suffix.lower() != ".csv" else "replace"
    ) as file:
        if path.suffix.lower() == ".json":
            outputs = json.load(file).get("outputs", {})
            return _read_pvgis(outputs), 0.5
        head = [file.readline() for _ in range(2)]
    if head[0].lower().startswith("latitude (decimal degrees)"):
        return _read_pvgis({"tmy_hourly": None} if "longitude" in head[1].lower() else {}), 0.5
    if head[1].startswith("Date (MM/DD/YYYY)"):
        return _read_tmy3, 1.0
    return _read_csv, 0.0


def _read_epw(path: Path) -> "pd.DataFrame":
    import pvlib  # noqa: PLC0415  # slow to import; only weather files need it

    frame: pd.DataFrame = pvlib.iotools.read_epw(path)[0]
    return frame


def _read_tmy3(path: Path) -> "pd.DataFrame":
    import pvlib  # noqa: PLC0415  # slow to import; only weather files need it

    frame: pd.DataFrame = pvlib.iotools.read_tmy3(path, coerce_year=_COMMON_YEAR, map_variables=True)[0]
    return frame


def _read_pvgis(outputs: dict[str, Any]) -> Callable[[Path], "pd.DataFrame"]:
    if "tmy_hourly" not in outputs:
        raise ValueError("not a typical year of PVGIS; its hourly series lie in the plane of one array")

    def read(path: Path) -> "pd.DataFrame":
        import pvlib  # noqa: PLC0415  # slow to import; only weather files need it

        frame: pd.DataFrame = pvlib.iotools.read_pvgis_tmy(path, map_variables=True)[0]
        frame.index = frame.index.map(lambda stamp: stamp.replace(year=_COMMON_YEAR))
        return frame

    return read


def _read_csv(path: Path) -> "pd.DataFrame":
    import pandas as pd  # noqa: PLC0415  # slow to import; only weather files need it

    frame = pd.read_csv(path)
    if "time" not in frame.columns:
        raise ValueError("no column time")
    stamps = pd.to_datetime(frame["time"], format="ISO8601", utc=True)
    naive = ~frame["time"].astype(str).str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True)
    if naive.any():
        row = int(np.argmax(naive)) + 1
        raise ValueError(f"data row {row}: time without an offset; write e.g. 2025-01-01T00:00+01:00")
    return frame.set_index(pd.DatetimeIndex(stamps))


def _stamps_s(frame: "pd.DataFrame") -> tuple[IntArray, int]:
    """Return the stamps in the file's standard time, seconds since 1970-01-01, and its lead over UTC [s]."""
    index: Any = frame.index
    ahead_of_utc_s = int(index[0].utcoffset().total_seconds())
    return index.tz_localize(None).to_numpy().astype("datetime64[s]").astype(np.int64), ahead_of_utc_s


def _checked(path: Path, frame: "pd.DataFrame") -> FloatArray:
    import pandas as pd  # noqa: PLC0415  # slow to import; only weather files need it

    rows = []
    for name in _NEEDED:
        values = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
        lowest, highest = _BOUNDS[name]
        bad = ~((values >= lowest) & (values <= highest))
        if np.any(bad):
            row = int(np.argmax(bad))
            raise DeviceError(
                f"{path}: data row {row + 1} ({frame.index[row]}): {name} is {frame[name].iloc[row]}, expected "
                f"{lowest:g} to {highest:g}; fill the gap with measured or typical values"
            )
        rows.append(values)
    wind_m_s = np.full(len(frame), _WIND_M_S)
    if "wind_speed" in frame.columns:
        given = pd.to_numeric(frame["wind_speed"], errors="coerce").to_numpy(dtype=np.float64)
        # Wind only cools the cells a little: a missing value (or its code 99.9) takes the calm default.
        wind_m_s = np.where((given >= 0) & (given < _WIND_MAX_M_S), given, wind_m_s)
    return np.stack([*rows, wind_m_s])


def _year(
    path: Path, stamps_s: IntArray, values: FloatArray, shift_steps: float, *, ahead_of_utc_s: int
) -> WeatherYear:
    if len(stamps_s) < 2:  # noqa: PLR2004  # a step needs two stamps
        raise DeviceError(f"{path}: {len(stamps_s)} data rows; a weather file needs at least two")
    step_s = int(np.median(np.diff(stamps_s)))
    if step_s <= 0 or _DAY_S % step_s:
        raise DeviceError(
            f"{path}: a step of {step_s} s does not divide a day; give hourly or finer rows in order"
        )
    starts_s = stamps_s - round(shift_steps * step_s)
    offset_s = int(starts_s[0] % step_s)
    slots = _slot(starts_s, step_s, offset_s)
    ahead = np.diff(slots) % (_YEAR_S // step_s)
    skips_leap_day = (slots[:-1] < _FEB_29_S // step_s) & (slots[1:] >= (_FEB_29_S + _DAY_S) // step_s)
    ahead = np.where(skips_leap_day, ahead - _DAY_S // step_s, ahead)
    bad = (ahead != 1) | (starts_s[1:] % step_s != offset_s)
    if np.any(bad):
        row = int(np.argmax(bad)) + 2
        raise DeviceError(
            f"{path}: data row {row} ({_stamp(stamps_s[row - 1])}) does not follow {_stamp(stamps_s[row - 2])} "
            f"by {step_s} s; fill the gap or sort the rows"
        )
    if len(np.unique(slots)) < len(slots):
        raise DeviceError(f"{path}: {len(slots)} rows are more than one year; give one year")
    table = np.full((len(values), _YEAR_S // step_s), np.nan)
    table[:, slots] = values
    leap_day = slice(_FEB_29_S // step_s, (_FEB_29_S + _DAY_S) // step_s)
    if np.all(np.isnan(table[0, leap_day])):
        day = _DAY_S // step_s
        table[:, leap_day] = table[:, leap_day.start - day : leap_day.start]
    return WeatherYear(
        path=path, step_s=step_s, offset_s=offset_s, ahead_of_utc_s=ahead_of_utc_s, values=table
    )


def _stamp(utc_s: int) -> str:
    return f"{np.datetime64(int(utc_s), 's')}"
