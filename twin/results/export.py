"""Export for other programs."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from twin.clock import time_units
from twin.errors import RunFolderError
from twin.results.disk import write_atomic
from twin.results.reader import StrategyReader
from twin.signals import Axis, recorded_on

__all__ = ["export_csv"]


def export_csv(strategy: StrategyReader, axis: Axis, path: Path, *, start: datetime, dt_s: float) -> None:
    """Write one axis as CSV: a line per step and entity with time (UTC, start of the step), entity and signals.

    Args:
        strategy: the stored strategy.
        axis: what to export.
        path: the file.
        start: start of the run, with its time zone.
        dt_s: length of a step [s].

    Raises:
        RunFolderError: the axis is not stored.
        StoreError: the file cannot be written.
        ValueError: ``start`` has no time zone.
    """
    if start.tzinfo is None:
        raise ValueError("start needs a time zone")
    signals = recorded_on(axis)
    names = strategy.names(axis)
    if not names:
        raise RunFolderError(
            f"{strategy.folder}: no {axis.value} is stored (detail {strategy.detail.value!r}); "
            "run again with output.detail: all"
        )
    arrays = [strategy.series(entry.key) for entry in signals]
    out = io.StringIO()
    out.write(",".join(["time_utc", axis.value, *(entry.name for entry in signals)]) + "\n")
    labels = [_quoted(name) for name in names]
    begin = start.astimezone(UTC)
    units, second = time_units(dt_s)
    for step, rows in enumerate(zip(*arrays, strict=True)):
        moment = begin + timedelta(seconds=step * units / second)
        time = moment.strftime("%Y-%m-%dT%H:%M:%S") + (
            f".{moment.microsecond // 1000:03d}Z" if second > 1 else "Z"
        )
        for label, *values in zip(labels, *rows, strict=True):
            out.write(
                ",".join([time, label, *(np.format_float_positional(v, trim="-") for v in values)]) + "\n"
            )
    write_atomic(path, out.getvalue().encode())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(mark in name for mark in ',"\n\r') else name
