"""Writes one table of a recording: a short stream that grows and is made durable, turned into Parquet now and then."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hil_adapters.recording.tables import SCHEMAS, Kind, part_file, tail_file

__all__ = ["Parts"]


class Parts:
    """The files of one table. What :meth:`append` has returned from survives the death of the process and of the computer."""

    def __init__(self, folder: Path, kind: Kind, *, rows_per_part: int) -> None:
        """Continue behind the parts that the folder already holds."""
        self._folder = folder
        self._kind = kind
        self._schema = SCHEMAS[kind]
        self._rows_per_part = rows_per_part
        self._number = _next_number(folder, kind)
        self._batches: list[Any] = []
        self._rows = 0
        self._sink: Any = None
        self._stream: Any = None

    def append(self, rows: list[tuple[object, ...]]) -> None:
        """Write rows, in the order of the columns, and wait until they are on the disk.

        Raises:
            OSError: the disk is full, or gone.
        """
        if not rows:
            return
        columns = [
            pa.array(column, type=field.type)
            for column, field in zip(zip(*rows, strict=True), self._schema, strict=True)
        ]
        batch = pa.record_batch(columns, schema=self._schema)
        if self._stream is None:
            self._sink = tail_file(self._folder, self._kind, self._number).open("wb")
            self._stream = pa.ipc.new_stream(self._sink, self._schema)
        self._stream.write_batch(batch)
        self._sink.flush()
        os.fsync(self._sink.fileno())
        self._batches.append(batch)
        self._rows += len(rows)
        if self._rows >= self._rows_per_part:
            self.finish()

    def finish(self) -> None:
        """Turn the stream into a Parquet part; the next rows begin another.

        Raises:
            OSError: the disk is full, or gone; then the stream is kept.
        """
        if self._stream is None:
            return
        done = part_file(self._folder, self._kind, self._number)
        unfinished = done.with_suffix(".unfinished")
        table = pa.Table.from_batches(self._batches, schema=self._schema)
        with unfinished.open("wb") as sink:
            pq.write_table(table, sink, compression="zstd")
            sink.flush()
            os.fsync(sink.fileno())
        unfinished.replace(done)
        _sync_folder(self._folder)
        self._end_stream()
        tail_file(self._folder, self._kind, self._number).unlink()
        self._batches, self._rows = [], 0
        self._number += 1

    def abandon(self) -> None:
        """Let go of the stream after an error; what it holds can be read."""
        stream, sink, self._stream, self._sink = self._stream, self._sink, None, None
        try:
            if stream is not None:
                stream.close()
            if sink is not None:
                sink.close()
        except OSError:
            # the disk that failed before fails again; whole batches in the file stay readable
            return

    def _end_stream(self) -> None:
        self._stream.close()
        self._sink.close()
        self._stream = self._sink = None


def _next_number(folder: Path, kind: Kind) -> int:
    used = [
        int(file.stem.rpartition("-")[2])
        for file in folder.glob(f"{kind}-*")
        if file.suffix in {".parquet", ".arrows"}
    ]
    return max(used, default=-1) + 1


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; systems that cannot open a folder do it by themselves."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
