"""Time series from a user's CSV or Parquet file."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from twin.clock import end_of_steps_s, local_iso
from twin.errors import ProfileError
from twin.profiles.resample import resample_mean
from twin.profiles.times import instants_utc_s, regular_step_s, row_of, zone_named
from twin.units import in_internal_unit, internal_unit

__all__ = ["SeriesTable", "read_table", "window"]

FloatArray = NDArray[np.float64]

_EMPTY = ["", "NaN", "nan", "NAN", "NA", "N/A", "null", "NULL", "None", "-"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeriesTable:
    """Columns of means over equal, consecutive intervals."""

    path: Path
    unit: str
    """Unit of the values here: kW, EUR/kWh or 1."""
    start_utc_s: int
    """Start of the first interval, seconds since 1970-01-01 UTC."""
    dt_s: int
    columns: Mapping[str, FloatArray]
    """By column name, shape (T,) each, finite."""

    @property
    def n_steps(self) -> int:
        """Number of intervals T."""
        return len(next(iter(self.columns.values())))

    @property
    def end_utc_s(self) -> int:
        """End of the last interval, seconds since 1970-01-01 UTC."""
        return self.start_utc_s + self.n_steps * self.dt_s


def read_table(
    path: Path, *, unit: str, time_column: str = "time", time_zone: str | None = None
) -> SeriesTable:
    """Read a CSV or Parquet file of time series.

    The first CSV line names the columns; the separator is a comma, a semicolon or a tab, and the decimal mark may be
    a comma where the separator is not. Times are ISO 8601 and mark the start of each interval. Powers stay means,
    energies (kWh, Wh, MWh) become the mean power of their interval.

    Args:
        path: file ending in .csv or .parquet.
        unit: unit of all columns, one of those of :func:`twin.units.internal_unit`.
        time_column: name of the column with the times.
        time_zone: IANA zone of times without offset; None if all carry one.

    Raises:
        ProfileError: the file is missing, unreadable, empty, has no such time column, a time or value that cannot be
            read, an empty cell, or times that are not regular. The message names file, row and remedy.
    """
    file = str(path)
    zone = zone_named(file, time_zone)
    table = _arrow_table(path, time_column)
    names = [name for name in table.column_names if name != time_column]
    if table.column_names.count(time_column) != 1 or len(set(names)) != len(names):
        twice = next((name for name in names if names.count(name) > 1), time_column)
        if twice in table.column_names:
            raise ProfileError(f"{file}: column {twice!r} occurs more than once; give each its own name")
        raise ProfileError(f"{file}: no time column {twice!r}; {_known(twice, names)}, or state time_column")
    if not names:
        raise ProfileError(f"{file}: no column besides {time_column!r}; add one with values")
    stamps = _stamps(file, table.column(time_column))
    instants = instants_utc_s(file, stamps, zone)
    dt_s = regular_step_s(file, instants, stamps, zone)
    columns = {
        name: in_internal_unit(_numbers(file, name, table.column(name), stamps), unit, dt_s) for name in names
    }
    return SeriesTable(
        path=path, unit=internal_unit(unit), start_utc_s=int(instants[0]), dt_s=dt_s, columns=columns
    )


def window(table: SeriesTable, column: str, *, start_utc_s: int, dt_s: float, n_steps: int) -> FloatArray:
    """Return a column over the steps of a run, shape (n_steps,), resampled with its integral kept.

    Raises:
        ProfileError: no such column, or the file does not cover the run; the message says what it covers.
    """
    if column not in table.columns:
        raise ProfileError(f"{table.path}: no column {column!r}; {_known(column, list(table.columns))}")
    end_utc_s = start_utc_s + end_of_steps_s(n_steps, dt_s)
    if start_utc_s < table.start_utc_s or end_utc_s > table.end_utc_s:
        raise ProfileError(
            f"{table.path}: covers {local_iso(table.start_utc_s)} to {local_iso(table.end_utc_s)}, the run needs "
            f"{local_iso(start_utc_s)} to {local_iso(end_utc_s)}; move the period or give a longer file"
        )
    offset_s = start_utc_s - table.start_utc_s
    return resample_mean(table.columns[column], table.dt_s, dt_s, offset_s=offset_s, n_steps=n_steps)


def _known(wanted: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(wanted, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")  # noqa: PLR2004
    return f"it has {shown}"


def _arrow_table(path: Path, time_column: str) -> Any:
    """Return the file as an Arrow table, times of a CSV as text."""
    kind = path.suffix.lower()
    if kind not in {".csv", ".parquet"}:
        raise ProfileError(f"{path}: neither .csv nor .parquet; convert it to one of them")
    try:
        table = pyarrow.parquet.read_table(path) if kind == ".parquet" else _csv_table(path, time_column)
    except FileNotFoundError as error:
        raise ProfileError(f"{path}: no such file; check the path, relative to the scenario file") from error
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise ProfileError(f"{path}: cannot be read as {kind[1:]} ({reason}); check the file") from error
    if table.num_rows == 0:
        raise ProfileError(f"{path}: no data rows; give a file with values")
    return table


def _csv_table(path: Path, time_column: str) -> Any:
    with path.open(encoding="utf-8-sig") as lines:
        head, first = lines.readline(), lines.readline()
    separator = max(",;\t", key=head.count)
    decimal = "," if separator != "," and "," in first else "."
    return pyarrow.csv.read_csv(
        path,
        parse_options=pyarrow.csv.ParseOptions(delimiter=separator),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={time_column: pa.string()},
            null_values=_EMPTY,
            strings_can_be_null=True,
            decimal_point=decimal,
        ),
    )


def _stamps(file: str, column: Any) -> list[datetime]:
    """Return the times of a column; those of a zoned Parquet column carry their zone."""
    if pa.types.is_timestamp(column.type):
        # Microseconds are what Python's own times resolve; nanoseconds would come as another type.
        stamps = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False).to_pylist()
    elif (
        pa.types.is_string(column.type)
        or pa.types.is_large_string(column.type)
        or pa.types.is_null(column.type)
    ):
        stamps = [_stamp(file, row, text) for row, text in enumerate(column.to_pylist())]
    else:
        raise ProfileError(
            f"{file}: the time column holds {column.type}; write times, e.g. 2025-01-01T00:00+01:00"
        )
    if None in stamps:
        raise ProfileError(f"{file}: data row {stamps.index(None) + 1}: no time; write it or remove the row")
    return list(stamps)


def _stamp(file: str, row: int, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ProfileError(
            f"{file}: data row {row + 1}: {text!r} is no time; write ISO 8601, e.g. 2025-01-31T13:45+01:00"
        ) from error


def _numbers(file: str, name: str, column: Any, stamps: Sequence[datetime]) -> FloatArray:
    kind = column.type
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise ProfileError(f"{file}: {row_of(row, stamps)}: column {name!r} is empty; fill the gap")
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        row, value = _first_text(column)
        raise ProfileError(
            f"{file}: {row_of(row, stamps)}: column {name!r} is {value!r}, not a number; correct it or remove the column"
        )
    values: FloatArray = column.cast(pa.float64()).to_numpy()
    if not np.all(np.isfinite(values)):
        row = int(np.argmin(np.isfinite(values)))
        raise ProfileError(f"{file}: {row_of(row, stamps)}: column {name!r} is {values[row]}; fill the gap")
    return values


def _first_text(column: Any) -> tuple[int, object]:
    """Return row and value of the first cell that is no number."""
    for row, value in enumerate(column.to_pylist()):
        try:
            float(value)
        except (TypeError, ValueError):
            return row, value
    return 0, column[0].as_py()
