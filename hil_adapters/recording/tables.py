"""Columns of a recording, and the names of its files."""

from pathlib import Path
from typing import Literal

import pyarrow as pa

__all__ = ["FRAMES", "SAMPLES", "SCHEMAS", "SORTED_BY", "Kind", "part_file", "tail_file"]

Kind = Literal["frames", "samples"]
FRAMES: Kind = "frames"
SAMPLES: Kind = "samples"

SCHEMAS: dict[Kind, pa.Schema] = {
    FRAMES: pa.schema(
        [
            pa.field("device", pa.string(), nullable=False),
            pa.field("direction", pa.string(), nullable=False),
            pa.field("monotonic_ns", pa.int64(), nullable=False),
            pa.field("wall_ns", pa.int64(), nullable=False),
            pa.field("frame", pa.binary(), nullable=False),
        ]
    ),
    SAMPLES: pa.schema(
        [
            pa.field("device", pa.string(), nullable=False),
            pa.field("signal", pa.string(), nullable=False),
            pa.field("value", pa.float64()),
            pa.field("quality", pa.int8(), nullable=False),
            pa.field("received_s", pa.float64()),
            pa.field("device_time_s", pa.float64()),
            pa.field("monotonic_ns", pa.int64(), nullable=False),
            pa.field("wall_ns", pa.int64(), nullable=False),
        ]
    ),
}
"""``frame`` is the whole ADU as on the wire; ``wall_ns`` counts from 1970-01-01 UTC; ``value`` is in the unit of the signal.
What is not known (NaN in a ``Sample``) is null. ``monotonic_ns``: of a frame when it passed, of a sample when it was noted."""

SORTED_BY = "monotonic_ns"


def part_file(folder: Path, kind: Kind, number: int) -> Path:
    """Return the file of a finished part."""
    return folder / f"{kind}-{number:06d}.parquet"


def tail_file(folder: Path, kind: Kind, number: int) -> Path:
    """Return the stream of a part that is being written: whole batches, readable up to the last one."""
    return folder / f"{kind}-{number:06d}.arrows"
