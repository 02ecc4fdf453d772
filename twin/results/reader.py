"""Reads a stored run: finished parts and the tail as one series.

A run that was killed reads like a shorter one: up to the last step that every stored axis has.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from twin.errors import RunFolderError
from twin.results import layout
from twin.results.documents import StoreHeader, read_document
from twin.results.events import read_events
from twin.results.layout import Detail
from twin.results.manifest import Manifest, RunStatus, read_manifest
from twin.results.part import FloatArray, IntArray, axis_table, decode_part
from twin.results.tables import read_columns, read_rows, read_table
from twin.results.tail import read_tail
from twin.signals import RECORDED, Axis, Chunk, Signal, recorded_on

__all__ = ["RunReader", "StrategyReader"]


class RunReader:
    """One stored run."""

    def __init__(self, folder: Path) -> None:
        """Open a run.

        Raises:
            RunFolderError: not a run, or written by a later version.
        """
        self.folder = folder
        self.manifest: Manifest = read_manifest(folder)

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of the strategies, in the order of the manifest."""
        return tuple(self.manifest.strategies)

    def strategy(self, name: str) -> "StrategyReader":
        """Return the data of one strategy.

        Raises:
            RunFolderError: no such strategy, or it was never started.
        """
        if name not in self.manifest.strategies:
            raise RunFolderError(
                f"{self.folder}: no strategy {name!r}; the run has {', '.join(self.strategies) or 'none'}"
            )
        reader = StrategyReader(self.folder / name)
        state = self.manifest.strategies[name]
        if state.status is RunStatus.FINISHED and state.steps_done != reader.last_step + 1:
            raise RunFolderError(
                f"{reader.folder}: {reader.last_step + 1} steps are there, {state.steps_done} were stored; "
                "parts were deleted: restore them or run again"
            )
        return reader


class StrategyReader:
    """The stored data of one strategy; T steps, N stored entities of an axis."""

    def __init__(self, folder: Path) -> None:
        """Open the folder of a strategy.

        Raises:
            RunFolderError: there is nothing stored, or by a later version.
        """
        self.folder = folder
        header = _header(folder)
        self.detail = header.detail
        self.steps_per_part = header.steps_per_part
        self._names = {axis: entry.names for axis, entry in header.axes.items()}
        self._entities: dict[Axis, IntArray] = {
            axis: np.asarray(entry.stored, dtype=np.int64) for axis, entry in header.axes.items()
        }
        self._parts, self._tail_first = self._find_parts()
        self._tail = self._read_tail()
        self.last_step: int = self._tail_first + len(next(iter(self._tail.values()), ())) - 1
        """Last step that can be read; -1 if there is none."""

    def names(self, axis: Axis) -> tuple[str, ...]:
        """Return the names of the stored entities of an axis, in the order of :meth:`series`."""
        if axis not in self._names:
            return ()
        return tuple(self._names[axis][position] for position in self._entities[axis])

    def all_names(self, axis: Axis) -> tuple[str, ...]:
        """Return the names of all entities of an axis, stored or not."""
        return self._names.get(axis, ())

    def has(self, key: str) -> bool:
        """Return whether there are series of a signal for at least one entity."""
        return any(s.key == key and len(self._entities.get(s.axis, ())) > 0 for s in RECORDED)

    def series(self, key: str, entities: Sequence[int] | IntArray | None = None) -> FloatArray:
        """Return a signal over the whole run.

        Args:
            key: e.g. ``bus.vm_pu``.
            entities: positions in :meth:`names`; None for all.

        Returns:
            Shape (T, N) or (T, len(entities)); (T, 0) for an axis without entities.

        Raises:
            RunFolderError: the run does not store the signal, or a file is damaged.
        """
        signal = self._signal(key)
        chosen = slice(None) if entities is None else np.asarray(entities, dtype=np.int64)
        if signal.axis not in self._parts:
            return np.empty((self.last_step + 1, 0), dtype=np.float32)[:, chosen]
        blocks = [
            _read_part(path, [signal], len(self._entities[signal.axis]))[signal.name][:, chosen]
            for path in self._parts[signal.axis]
        ]
        if key in self._tail:
            blocks.append(self._tail[key][:, chosen])
        if not blocks:
            return np.empty((0, len(self._entities[signal.axis])), dtype=np.float32)[:, chosen]
        return np.concatenate(blocks)

    def chunks(self) -> Iterator[Chunk]:
        """Return all signals part by part, as ``on_chunk`` of the writer saw them but rounded.

        Raises:
            RunFolderError: the run does not store everything.
        """
        if self.detail is not Detail.ALL:
            raise RunFolderError(
                f"{self.folder}: stored with detail {self.detail.value!r}, which leaves entities out; "
                "run again with output.detail: all"
            )
        return self._chunks()

    def part_files(self, axis: Axis) -> tuple[Path, ...]:
        """Return the Parquet files of an axis, in order of time."""
        return tuple(self._parts.get(axis, ()))

    def tail_table(self, axis: Axis) -> Any:
        """Return the steps of an axis that are in no part yet, in the columns of a part; None if there are none."""
        if not self._tail or self._tail_first > self.last_step or axis not in self._parts:
            return None
        return axis_table(axis, self._tail_first, entities=self._entities[axis], arrays=self._tail)

    def has_kpis(self) -> bool:
        """Return whether the strategy was evaluated to its end."""
        return (self.folder / layout.KPI).exists()

    def kpis(self) -> list[dict[str, Any]]:
        """Return the key figures, one dictionary each.

        Raises:
            RunFolderError: the strategy was not evaluated, or the file is damaged.
        """
        return read_rows(self.folder / layout.KPI)

    def elements(self) -> dict[str, list[Any]]:
        """Return the table of the elements by column.

        Raises:
            RunFolderError: the strategy was not evaluated, or the file is damaged.
        """
        return read_columns(self.folder / layout.ELEMENTS)

    def events(self) -> list[dict[str, Any]]:
        """Return the events in the order they happened; a line cut by a kill is left out.

        Raises:
            RunFolderError: the file is damaged.
        """
        return read_events(self.folder / layout.EVENTS)

    def _find_parts(self) -> tuple[dict[Axis, list[Path]], int]:
        """Return the parts that every stored axis has, and the number of steps in them."""
        stored = [axis for axis, entities in self._entities.items() if len(entities)]
        parts = {axis: _part_files(self.folder, axis) for axis in stored}
        # a kill between the files of one part leaves it on some axes only: then its steps are still in the tail
        n_parts = min((len(paths) for paths in parts.values()), default=0)
        if any(len(paths) > n_parts + 1 for paths in parts.values()):
            raise RunFolderError(f"{self.folder}: parts are missing on some axes; restore them or run again")
        common = {axis: paths[:n_parts] for axis, paths in parts.items()}
        if n_parts == 0:
            return common, 0
        last_rows = _n_rows(common[stored[0]][-1])
        return common, (n_parts - 1) * self.steps_per_part + last_rows // len(self._entities[stored[0]])

    def _read_tail(self) -> dict[str, FloatArray]:
        """Return the steps after the last common part by signal key."""
        first, tail = read_tail(self.folder / layout.TAIL)
        if tail and first > self._tail_first:
            raise RunFolderError(
                f"{self.folder}: steps {self._tail_first} to {first - 1} are missing before {layout.TAIL}; "
                "a part was deleted: restore it or run again"
            )
        # a kill between a finished part and the deletion of the tail leaves steps in both
        return {key: values[self._tail_first - first :] for key, values in tail.items()}

    def _chunks(self) -> Iterator[Chunk]:
        n_parts = min((len(paths) for paths in self._parts.values()), default=0)
        for number in range(n_parts):
            arrays: dict[str, FloatArray] = {}
            for axis, paths in self._parts.items():
                part = _read_part(paths[number], recorded_on(axis), len(self._entities[axis]))
                arrays |= {f"{axis.value}.{name}": values for name, values in part.items()}
            yield self._chunk(number * self.steps_per_part, arrays)
        if self._tail_first <= self.last_step:
            yield self._chunk(self._tail_first, self._tail)

    def _chunk(self, first_step: int, arrays: Mapping[str, FloatArray]) -> Chunk:
        """Return a chunk in the order of the vocabulary, with axes that have no entities."""
        empty = np.empty((len(next(iter(arrays.values()))), 0), dtype=np.float32)
        keys = [s.key for s in RECORDED if s.axis in self._names]
        return Chunk(first_step=first_step, arrays={key: arrays.get(key, empty) for key in keys})

    def _signal(self, key: str) -> Signal:
        for signal in RECORDED:
            if signal.key == key and (signal.axis in self._parts or self._names.get(signal.axis) == ()):
                return signal
        raise RunFolderError(
            f"{self.folder}: no series of {key!r}; stored with detail {self.detail.value!r}: "
            f"{', '.join(s.key for s in RECORDED if s.axis in self._parts)}"
        )


def _header(folder: Path) -> StoreHeader:
    missing = f"{folder}: nothing stored: the strategy was not started or its folder was deleted; run again"
    return read_document(folder / layout.AXES, StoreHeader, missing=missing)


def _part_files(folder: Path, axis: Axis) -> list[Path]:
    paths = layout.part_paths(folder, axis)
    if len(list((folder / axis.value).glob("part-*.parquet"))) > len(paths):
        raise RunFolderError(
            f"{layout.part_path(folder, axis, len(paths))}: missing, but later parts are there; "
            "restore the file or run again"
        )
    return paths


def _n_rows(path: Path) -> int:
    try:
        rows: int = pq.read_metadata(path).num_rows
    except (pa.ArrowInvalid, OSError) as exc:
        raise RunFolderError(
            f"{path}: not readable as Parquet: {exc}; restore the file or run again"
        ) from exc
    return rows


def _read_part(path: Path, signals: Sequence[Signal], n_entities: int) -> dict[str, FloatArray]:
    table = read_table(path, [signal.name for signal in signals])
    try:
        return decode_part(table, n_entities)
    except ValueError as exc:
        raise RunFolderError(f"{path}: {exc}; restore the file or run again") from exc
