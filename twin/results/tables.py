"""Small tables of a run as Parquet: key figures and elements."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from twin.errors import RunFolderError
from twin.results.disk import write_atomic

__all__ = ["read_columns", "read_rows", "read_table", "write_columns", "write_hours", "write_rows"]


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write dictionaries as a table; None is allowed, every row has the same keys.

    Raises:
        StoreError: the file cannot be written.
        ValueError: rows with different keys, or a column that mixes types.
    """
    names = list(rows[0]) if rows else []
    for number, row in enumerate(rows):
        if row.keys() != rows[0].keys():
            raise ValueError(f"row {number} has {sorted(row)}, row 0 has {sorted(rows[0])}")
    write_columns(path, {name: [row[name] for row in rows] for name in names})


def write_columns(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns of one length as a table.

    Raises:
        StoreError: the file cannot be written.
        ValueError: columns of different length, or a column that mixes types.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns differ in length: {lengths}")
    arrays: dict[str, Any] = {}
    for name, column in columns.items():
        try:
            arrays[name] = pa.array(column)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as exc:
            raise ValueError(f"column {name!r} cannot be stored: {exc}") from exc
    _write(path, arrays)


def write_hours(
    path: Path,
    hour_start_utc_s: NDArray[np.int64],
    *,
    column: str,
    names: Sequence[str],
    values: Mapping[str, NDArray[np.float64]],
) -> None:
    """Write hourly values as a table with one row for each name and hour, sorted by name, then hour.

    Args:
        path: the file.
        hour_start_utc_s: start of each hour, shape (N,).
        column: what ``names`` are, e.g. ``community``.
        names: shape (K,).
        values: by column, shape (N, K) each.

    Raises:
        StoreError: the file cannot be written.
        ValueError: a shape does not fit.
    """
    n_hours, n_names = len(hour_start_utc_s), len(names)
    for name, array in values.items():
        if array.shape != (n_hours, n_names):
            raise ValueError(f"column {name!r} has shape {array.shape}, expected {(n_hours, n_names)}")
    codes = np.repeat(np.arange(n_names, dtype=np.int32), n_hours)
    _write(
        path,
        {
            "hour_start_utc_s": pa.array(np.tile(hour_start_utc_s, n_names)),
            column: pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(list(names), pa.string())),
            **{name: pa.array(array.T.ravel()) for name, array in values.items()},
        },
    )


def _write(path: Path, arrays: Mapping[str, Any]) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(arrays)), sink, compression="zstd", compression_level=3)
    write_atomic(path, memoryview(sink.getvalue()))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return a table as dictionaries, one per row.

    Raises:
        RunFolderError: the file is missing or damaged.
    """
    rows: list[dict[str, Any]] = read_table(path).to_pylist()
    return rows


def read_columns(path: Path) -> dict[str, list[Any]]:
    """Return a table by column.

    Raises:
        RunFolderError: the file is missing or damaged.
    """
    columns: dict[str, list[Any]] = read_table(path).to_pydict()
    return columns


def read_table(path: Path, columns: Sequence[str] | None = None) -> Any:
    """Return the Arrow table of a Parquet file, all columns or those named.

    Raises:
        RunFolderError: the file is missing, damaged or lacks a column.
    """
    try:
        table = pq.ParquetFile(path, memory_map=True).read(columns=None if columns is None else list(columns))
    except FileNotFoundError as exc:
        raise RunFolderError(
            f"{path}: not there; the strategy did not run to its end, or the file was deleted: run again"
        ) from exc
    except (pa.ArrowInvalid, OSError) as exc:
        raise RunFolderError(
            f"{path}: not readable as Parquet: {exc}; restore the file or run again"
        ) from exc
    missing = [] if columns is None else [name for name in columns if name not in table.column_names]
    if missing:
        raise RunFolderError(
            f"{path}: no column {', '.join(missing)}; written by a different version: run again"
        )
    return table
