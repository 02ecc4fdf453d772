"""Writes the steps of one strategy as they come: finished parts, a tail, events.

A kill at any time loses at most what came after the last flush: 500 steps, or what came in the last 2 seconds.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from twin.errors import StoreError
from twin.results import layout
from twin.results.clock import Clock, WallClock
from twin.results.disk import make_folder, write_atomic_group
from twin.results.documents import AxisHeader, StoreHeader, write_document
from twin.results.events import append_event
from twin.results.layout import Detail
from twin.results.part import FloatArray, IntArray, PartEncoder, quantise
from twin.results.tail import TailWriter
from twin.signals import RECORDED, Axis, Chunk, recorded_on

__all__ = ["FLUSH_S", "FLUSH_STEPS", "StrategyWriter"]

FLUSH_S = 2.0
"""A step waits at most this long, and until the next step, for its flush [s]."""
FLUSH_STEPS = 500
"""At most so many steps wait for a flush."""


_WALL_CLOCK = WallClock()


class StrategyWriter:
    """The store of one strategy of one run; a context manager.

    Leaving the block normally writes the last part. Leaving it with an exception flushes what there is to the
    tail and lets the exception through; ``on_chunk`` is then not called for the unfinished part.
    """

    def __init__(
        self,
        folder: Path,
        *,
        names: Mapping[Axis, tuple[str, ...]],
        detail: Detail,
        selected: Mapping[Axis, IntArray],
        steps_per_part: int,
        on_chunk: Callable[[Chunk], None],
        clock: Clock = _WALL_CLOCK,
    ) -> None:
        """Create the folder and prepare the buffers.

        Args:
            folder: folder of the strategy; must not hold results.
            names: names of the entities by axis, in the order of the values; an axis that is left out is not
                recorded, one without entities is recorded as empty.
            detail: how much is stored.
            selected: positions stored in addition to the feeder and the transformers, for ``Detail.SELECTED``.
            steps_per_part: steps in one part, usually one day.
            on_chunk: gets every recorded signal of each finished part, before rounding; the arrays are its own.
            clock: when to flush, and the time of an event.

        Raises:
            StoreError: the folder cannot be written or holds results already.
            ValueError: positions outside an axis, no steps in a part, or nothing to store.
        """
        if steps_per_part < 1:
            raise ValueError(f"steps_per_part must be at least 1, got {steps_per_part}")
        detail = Detail(detail)  # a plain "all" would compare as none of them
        self._folder = folder
        self._names = {axis: tuple(names[axis]) for axis in Axis if axis in names}
        self._stored = _stored_entities(self._names, detail, selected)
        self._steps_per_part = steps_per_part
        self._on_chunk = on_chunk
        self._clock = clock
        self._signals = tuple(signal for signal in RECORDED if signal.axis in self._names)
        self._keys = tuple(s.key for s in self._signals if self._names[s.axis])
        self._lengths = [len(self._names[s.axis]) for s in self._signals if self._names[s.axis]]
        ends = np.cumsum([0, *(len(self._names[s.axis]) for s in self._signals)]).tolist()
        self._columns = {s.key: slice(*ends[n : n + 2]) for n, s in enumerate(self._signals)}
        self._n_columns: int = ends[-1]
        self._encoders = {axis: PartEncoder(axis, entities) for axis, entities in self._stored.items()}
        self._spans = {
            axis: [self._columns[s.key] for s in self._signals if s.axis is axis] for axis in self._stored
        }
        self._known = frozenset(s.key for s in self._signals)
        self._rows = self._empty_rows()
        self._part = self._filled = self._flushed = 0
        self._closed = False
        self._prepare_folder(detail)
        widths = {s.key: len(self._stored[s.axis]) for s in self._signals if s.axis in self._stored}
        self._tail = TailWriter(folder / layout.TAIL, widths=widths)
        self._last_flush_s = clock.monotonic_s()

    @property
    def next_step(self) -> int:
        """The step that :meth:`append` expects, which is the number of steps taken so far."""
        return self._part * self._steps_per_part + self._filled

    def append(self, step: int, values: Mapping[str, NDArray[Any]]) -> None:
        """Take the values of one step by signal key, shape (N,) each; every signal of every axis with entities.

        Raises:
            StoreError: a step is missing or repeated, a signal is missing, unknown or of the wrong shape, a value
                is not finite, or the disk cannot be written.
        """
        if self._closed or step != self.next_step:
            raise self._step_error(step)
        row = self._rows[self._filled]
        try:
            arrays = [values[key] for key in self._keys]
        except KeyError as exc:
            raise StoreError(
                f"step {step}: no values for signal {exc}; append every recorded signal"
            ) from None
        try:
            if len(values) > len(arrays) or list(map(len, arrays)) != self._lengths:
                self._refuse_shapes(step, values)
            with np.errstate(over="ignore"):
                np.concatenate(arrays, out=row, casting="same_kind")
        except (TypeError, ValueError):
            # an array that is not one-dimensional has no length or does not fit into the row
            self._refuse_shapes(step, values)
            raise
        if not np.isfinite(row).all():
            raise self._value_error(step)
        self._filled += 1
        if self._filled == self._steps_per_part:
            self._finish_part()
        elif (
            self._filled - self._flushed >= FLUSH_STEPS
            or self._clock.monotonic_s() - self._last_flush_s >= FLUSH_S
        ):
            self.flush()

    def event(self, kind: str, step: int, **fields: Any) -> None:
        """Append one line to the events: kind, step, ``time_utc`` of writing and ``fields``; on disk on return.

        Raises:
            StoreError: the file cannot be written.
        """
        time_utc = self._clock.utc_now().isoformat(timespec="milliseconds")
        append_event(
            self._folder / layout.EVENTS, {"kind": kind, "step": step, "time_utc": time_utc, **fields}
        )

    def flush(self) -> None:
        """Write the steps since the last flush to the tail.

        Raises:
            StoreError: the tail cannot be written.
        """
        if self._filled > self._flushed:
            block = self._rows[self._flushed : self._filled]
            first = self.next_step - len(block)
            self._tail.flush(first, self._stored_arrays(block))
            self._flushed = self._filled
        self._last_flush_s = self._clock.monotonic_s()

    def close(self) -> None:
        """Write the last part, which may be short, and delete the tail. Closing twice is fine.

        Raises:
            StoreError: the part cannot be written; its steps up to the last flush are in the tail.
        """
        if self._closed:
            return
        try:
            if self._filled:
                self._finish_part()
        finally:
            self._closed = True
            self._tail.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if exc is None:
            self.close()
            return
        if self._closed:
            return
        self._closed = True
        try:
            self.flush()
        except StoreError as second:
            exc.add_note(f"the last steps could not be saved either: {second}")
        finally:
            self._tail.close()

    def _finish_part(self) -> None:
        """Write the rows as a part, empty the tail, hand the rows to ``on_chunk``.

        Only this method and the buffers it swaps have to change to write parts in a thread of their own.
        """
        rows, first_step = self._rows[: self._filled], self._part * self._steps_per_part
        self._write_part(rows, first_step)
        self._tail.reset()
        empty = self._empty_rows()
        # one assignment without a call in it, so that an interrupt finds the old state or the next one
        self._rows, self._part, self._filled, self._flushed = empty, self._part + 1, 0, 0
        self._last_flush_s = self._clock.monotonic_s()
        rows.flags.writeable = False
        self._on_chunk(Chunk(first_step=first_step, arrays=self._by_signal(rows)))

    def _write_part(self, rows: FloatArray, first_step: int) -> None:
        files = {}
        for axis, encoder in self._encoders.items():
            arrays = [_columns(rows[:, span], self._stored[axis]) for span in self._spans[axis]]
            files[layout.part_path(self._folder, axis, self._part)] = encoder.encode(first_step, arrays)
        write_atomic_group(files)

    def _by_signal(self, rows: FloatArray) -> dict[str, FloatArray]:
        return {key: rows[:, span] for key, span in self._columns.items()}

    def _stored_arrays(self, rows: FloatArray) -> dict[str, FloatArray]:
        """Return what the detail level keeps of some rows, rounded, by signal key."""
        arrays = self._by_signal(rows)
        return {
            s.key: quantise(_columns(arrays[s.key], self._stored[s.axis]), s.quantum)
            for s in self._signals
            if s.axis in self._stored
        }

    def _empty_rows(self) -> FloatArray:
        return np.empty((self._steps_per_part, self._n_columns), dtype=np.float32)

    def _prepare_folder(self, detail: Detail) -> None:
        path = self._folder / layout.AXES
        if path.exists():
            raise StoreError(f"{self._folder}: holds results already; give every run a folder of its own")
        make_folder(self._folder)
        for axis in self._stored:
            make_folder(self._folder / axis.value)
        axes = {
            axis: AxisHeader(
                names=names, stored=tuple(self._stored[axis].tolist()) if axis in self._stored else ()
            )
            for axis, names in self._names.items()
        }
        write_document(path, StoreHeader(detail=detail, steps_per_part=self._steps_per_part, axes=axes))

    def _step_error(self, step: int) -> StoreError:
        if self._closed:
            return StoreError(f"step {step}: the writer is closed; append inside the with block")
        return StoreError(f"step {step}: expected step {self.next_step}; append each step once and in order")

    def _refuse_shapes(self, step: int, values: Mapping[str, NDArray[Any]]) -> None:
        unknown = sorted(values.keys() - self._known)
        if unknown:
            raise StoreError(
                f"step {step}: {', '.join(unknown)}: not recorded here; "
                "append recorded signals of axes that were named, and nothing else"
            )
        for signal in self._signals:
            expected = (len(self._names[signal.axis]),)
            if signal.key in values and values[signal.key].shape != expected:
                raise StoreError(
                    f"step {step}: {signal.key}: shape {values[signal.key].shape}, expected {expected}: "
                    f"one value per {signal.axis.value}"
                )

    def _value_error(self, step: int) -> StoreError:
        for key, array in self._by_signal(self._rows[self._filled : self._filled + 1]).items():
            bad = np.flatnonzero(~np.isfinite(array[0]))
            if len(bad):
                axis = Axis(key.split(".", 1)[0])
                more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
                return StoreError(
                    f"step {step}: {key} of {self._names[axis][bad[0]]!r}{more} is {array[0, bad[0]]}; "
                    "only finite numbers are stored: look for the fault in what was computed in this step"
                )
        raise AssertionError("called without a value that is not finite")


def _stored_entities(
    names: Mapping[Axis, tuple[str, ...]], detail: Detail, selected: Mapping[Axis, IntArray]
) -> dict[Axis, IntArray]:
    """Return the positions each axis stores, ascending; axes that store nothing are left out."""
    stored: dict[Axis, IntArray] = {}
    for axis, entities in names.items():
        if detail is Detail.ALL or axis in layout.KPI_AXES:
            positions = np.arange(len(entities), dtype=np.int64)
        elif detail is Detail.SELECTED and axis in selected:
            positions = np.unique(np.asarray(selected[axis], dtype=np.int64))
            if len(positions) and not 0 <= positions[0] <= positions[-1] < len(entities):
                raise ValueError(f"selected positions of {axis.value} must lie in 0..{len(entities) - 1}")
        else:
            continue
        if len(positions) and recorded_on(axis):
            stored[axis] = positions
    if not stored:
        raise ValueError(f"nothing to store: no axis with entities at detail {detail.value!r}")
    return stored


def _columns(array: FloatArray, positions: IntArray) -> FloatArray:
    return array if len(positions) == array.shape[1] else array[:, positions]
