"""The tail: steps since the last finished part, as an Arrow stream that a kill cannot make unreadable.

One record batch per flush and one row per step: ``step`` int32 and, for every stored signal, a list of float32
of fixed length, one per stored entity. A batch that was cut short by a kill is ignored when reading.
"""

import io
import os
from collections.abc import Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from twin.errors import StoreError
from twin.results.disk import store_errors, write_all
from twin.results.part import STEP, FloatArray

__all__ = ["TailWriter", "read_tail"]


class TailWriter:
    """Writes the tail of one strategy. The file appears with the first flush and goes with :meth:`reset`."""

    def __init__(self, path: Path, *, widths: Mapping[str, int]) -> None:
        """Prepare a tail.

        Args:
            path: the file.
            widths: number of stored entities by signal key, all at least 1.
        """
        self._path = path
        self._widths = widths
        fields = [pa.field(STEP, pa.int32())]
        fields += [pa.field(key, pa.list_(pa.float32(), width)) for key, width in widths.items()]
        self._schema = pa.schema(fields)
        self._file: FileIO | None = None
        self._size = 0
        self._spool = io.BytesIO()
        self._stream: Any = None

    def flush(self, first_step: int, arrays: Mapping[str, FloatArray]) -> None:
        """Append steps, shape (T, N) by signal key, and hand them to the operating system.

        Raises:
            StoreError: the file cannot be written or was deleted by someone else.
        """
        n_steps = len(next(iter(arrays.values())))
        columns = [pa.array(np.arange(first_step, first_step + n_steps, dtype=np.int32))]
        for key, width in self._widths.items():
            flat = pa.array(np.ascontiguousarray(arrays[key]).reshape(-1))
            columns.append(pa.FixedSizeListArray.from_arrays(flat, width))
        file = self._open()
        self._stream.write_batch(pa.record_batch(columns, schema=self._schema))
        data = self._spool.getvalue()
        with store_errors(self._path):
            try:
                write_all(file, data)
            except OSError:
                # without its torn end the file takes further batches; the spool keeps this one for then
                with suppress(OSError):
                    file.truncate(file.seek(self._size))
                raise
            deleted = os.fstat(file.fileno()).st_nlink == 0
        self._size += len(data)
        self._empty_spool()
        if deleted:
            raise StoreError(
                f"{self._path}: the file was deleted while the run was writing to it; "
                "leave the run folder alone until the run has ended"
            )

    def reset(self) -> None:
        """Delete the tail: its steps are in a finished part.

        Raises:
            StoreError: the file cannot be deleted.
        """
        if self._file is None:
            return
        self.close()
        with store_errors(self._path):
            self._path.unlink()

    def close(self) -> None:
        """Close the file and leave it where it is."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> FileIO:
        if self._file is None:
            with store_errors(self._path):
                self._file = FileIO(self._path, "w")
            self._size = 0
            self._empty_spool()
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            self._stream = pa.ipc.new_stream(self._spool, self._schema, options=options)
        return self._file

    def _empty_spool(self) -> None:
        self._spool.seek(0)
        self._spool.truncate()


def read_tail(path: Path) -> tuple[int, dict[str, FloatArray]]:
    """Return the first step of a tail and its values by signal key, shape (T, N) each.

    A missing, empty or cut file gives the steps that are whole, up to the first gap: none at all is ``(0, {})``.
    """
    batches = _whole_batches(path)
    if not batches:
        return 0, {}
    table = pa.Table.from_batches(batches)
    # an interrupt inside a flush makes the writer repeat it: each step counts once
    steps, rows = np.unique(table.column(STEP).to_numpy(), return_index=True)
    rows = rows[: np.append(np.flatnonzero(np.diff(steps) != 1) + 1, len(rows))[0]]
    arrays: dict[str, FloatArray] = {}
    for field in table.schema:
        if field.name != STEP:
            flat = np.concatenate([chunk.flatten().to_numpy() for chunk in table.column(field.name).chunks])
            arrays[field.name] = flat.reshape(table.num_rows, field.type.list_size)[rows]
    return int(steps[0]), arrays


def _whole_batches(path: Path) -> list[Any]:
    batches: list[Any] = []
    try:
        data = path.read_bytes()
        with pa.ipc.open_stream(data) as stream:
            while True:
                batches.append(stream.read_next_batch())
    except (FileNotFoundError, StopIteration):
        return batches
    except (pa.ArrowInvalid, OSError, EOFError):
        # the writer was killed inside its last write
        return batches
