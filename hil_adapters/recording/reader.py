"""Reads recordings, finished or cut off."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hil_adapters.errors import RecordingError
from hil_adapters.recording.tables import FRAMES, SAMPLES, SCHEMAS, SORTED_BY, Kind

__all__ = ["read_frames", "read_samples"]


def read_frames(folder: Path) -> pa.Table:
    """Return the frames in order of time: device, direction (sent, received), monotonic_ns, wall_ns, frame (bytes).

    Frames of a recording that was cut off are there up to the last half second.

    Raises:
        RecordingError: there is no recording, or a finished file is damaged.
    """
    return _read(folder, FRAMES)


def read_samples(folder: Path) -> pa.Table:
    """Return the samples in order of time.

    Columns: device, signal, value (null: not known), quality (see ``Quality``), received_s (monotonic), device_time_s
    (since 1970-01-01 UTC; null: not given), monotonic_ns and wall_ns when it was noted.

    Raises:
        RecordingError: there is no recording, or a finished file is damaged.
    """
    return _read(folder, SAMPLES)


def _read(folder: Path, kind: Kind) -> pa.Table:
    if not folder.is_dir():
        raise RecordingError(f"{folder}: there is no such folder; give the folder of a recording")
    finished = sorted(folder.glob(f"{kind}-*.parquet"))
    done = {file.stem for file in finished}
    # a stream beside its finished part was about to be deleted
    cut_off = sorted(file for file in folder.glob(f"{kind}-*.arrows") if file.stem not in done)
    tables = [SCHEMAS[kind].empty_table(), *map(_finished, finished), *map(_cut_off, cut_off)]
    # Arrow sorts stably: rows of the same instant stay as they were noted
    return pa.concat_tables(tables).sort_by(SORTED_BY)


def _finished(file: Path) -> pa.Table:
    try:
        return pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise RecordingError(
            f"{file}: is no readable part of a recording ({error}); restore it or take it away"
        ) from error


def _cut_off(file: Path) -> pa.Table:
    """Return the whole batches of a stream; the last may be torn where the process was killed."""
    schema = SCHEMAS[FRAMES if file.name.startswith(FRAMES) else SAMPLES]
    batches: list[pa.RecordBatch] = []
    with file.open("rb") as source:
        try:
            stream = pa.ipc.open_stream(source)
            while True:
                batches.append(stream.read_next_batch())
        except (StopIteration, OSError, pa.ArrowInvalid):
            return pa.Table.from_batches(batches, schema=schema)
