"""Records frames and samples beside a running session without ever holding it up.

Callers append to lists in memory; a thread writes them every half second. Nothing here waits for the disk, and the library
that writes is imported by the thread, so that a process that records starts as fast as one that does not.
"""

import math
import threading
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hil_adapters.errors import RecordingError
from hil_adapters.samples import Sample
from hil_adapters.wire.base import Direction, FrameObserver

__all__ = ["Recorder"]

_FLUSH_S = 0.5
"""At most so much is lost when the process is killed [s]."""
_ROWS_PER_PART = 200_000
_CAPACITY = 500_000
"""Rows that may wait for a slow disk; about 100 MB."""
_CLOSE_S = 10.0


class Recorder:
    """Writes ``frames-*.parquet`` and ``samples-*.parquet`` into a folder; use it in a ``with`` statement.

    The methods may be called from any thread. When the disk fails or cannot follow, recording ends for good: what was
    written stays readable, :meth:`take_error` tells it once, and the calls go on without effect.
    """

    def __init__(
        self,
        folder: Path,
        *,
        flush_s: float = _FLUSH_S,
        rows_per_part: int = _ROWS_PER_PART,
        capacity: int = _CAPACITY,
    ) -> None:
        """Prepare a recording.

        Args:
            folder: made where it does not exist; parts that it holds already are kept.
            flush_s: how often is written [s].
            rows_per_part: rows after which a Parquet file is finished.
            capacity: rows of a table that may wait to be written.

        Raises:
            RecordingError: the folder cannot be made.
        """
        self._folder = folder
        self._flush_s = flush_s
        self._rows_per_part = rows_per_part
        self._capacity = capacity
        self._lock = threading.Lock()
        self._frames: list[tuple[object, ...]] = []
        self._samples: list[tuple[object, ...]] = []
        self._error: RecordingError | None = None
        self._failed = False
        self._told = False
        self._stop = threading.Event()
        self._written = threading.Condition(self._lock)
        self._n_noted = self._n_written = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordingError(f"{folder}: cannot be made ({error}); choose another folder") from error
        self._thread = threading.Thread(target=self._write_all, name="recorder", daemon=True)
        self._thread.start()

    @property
    def is_recording(self) -> bool:
        """Whether what is noted will be written."""
        return not self._failed and not self._stop.is_set()

    def observer(self, device: str) -> FrameObserver:
        """Return what records the frames of a device; give it to its session."""

        def observe(direction: Direction, frame: bytes, monotonic_ns: int) -> None:
            row = (device, direction.value, monotonic_ns, time.time_ns(), frame)
            with self._lock:
                self._note(self._frames, [row])

        return observe

    def sample(self, device: str, signal: str, sample: Sample) -> None:
        """Record one sample."""
        self.samples(device, {signal: sample})

    def samples(self, device: str, samples: Mapping[str, Sample]) -> None:
        """Record samples by signal."""
        monotonic_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        rows: list[tuple[object, ...]] = [
            (
                device,
                signal,
                _known(sample.value),
                int(sample.quality),
                _known(sample.received_s),
                _known(sample.device_time_s),
                monotonic_ns,
                wall_ns,
            )
            for signal, sample in samples.items()
        ]
        with self._lock:
            self._note(self._samples, rows)

    def take_error(self) -> RecordingError | None:
        """Return what ended the recording, once; None where nothing did, or it was told."""
        with self._lock:
            if self._error is None or self._told:
                return None
            self._told = True
            return self._error

    def flush(self, *, timeout_s: float = _CLOSE_S) -> bool:
        """Wait until everything noted so far is on the disk [s]; return whether it is. Not for an event loop."""
        with self._written:
            upto = self._n_noted
            return (
                self._written.wait_for(lambda: self._failed or self._n_written >= upto, timeout=timeout_s)
                and not self._failed
            )

    def close(self) -> None:
        """Write what is left and finish the Parquet files; may be called again.

        Raises:
            RecordingError: the recording has ended early and nobody was told yet, or the disk does not answer.
        """
        self._stop.set()
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            raise RecordingError(
                f"{self._folder}: the disk has not taken the last of the recording for {_CLOSE_S:g} s; check the disk"
            )
        error = self.take_error()
        if error is not None:
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except RecordingError:
            # an error that is under way counts more
            if error is None:
                raise

    def _note(self, rows: list[tuple[object, ...]], more: list[tuple[object, ...]]) -> None:
        """Append under the lock."""
        if self._failed or self._stop.is_set():
            return
        if len(rows) + len(more) > self._capacity:
            self._fail(
                f"{self._folder}: {len(rows)} rows wait to be written and the disk does not follow; "
                "recording has ended, use a faster disk or record less"
            )
            return
        rows.extend(more)
        self._n_noted += len(more)

    def _fail(self, text: str, cause: Exception | None = None) -> None:
        """Under the lock."""
        self._failed = True
        self._error = RecordingError(text)
        self._error.__cause__ = cause
        self._frames.clear()
        self._samples.clear()
        self._written.notify_all()

    def _write_all(self) -> None:
        """Write until the recorder is closed or fails; in the thread."""
        module = import_module("hil_adapters.recording.parts")
        parts = {
            kind: module.Parts(self._folder, kind, rows_per_part=self._rows_per_part)
            for kind in ("frames", "samples")
        }
        try:
            stopping = False
            while not stopping and not self._failed:
                stopping = self._stop.wait(self._flush_s)
                self._write(parts)
            for part in parts.values():
                part.finish()
        except OSError as error:
            with self._lock:
                self._fail(
                    f"{self._folder}: cannot be written ({error.strerror or error}); recording has ended, "
                    "free the disk or choose another folder",
                    error,
                )
        finally:
            for part in parts.values():
                part.abandon()

    def _write(self, parts: Mapping[str, Any]) -> None:
        with self._lock:
            frames, self._frames = self._frames, []
            samples, self._samples = self._samples, []
        parts["frames"].append(frames)
        parts["samples"].append(samples)
        with self._written:
            self._n_written += len(frames) + len(samples)
            self._written.notify_all()


def _known(number: float) -> float | None:
    """Return a number, or None for one that is not known; a recording holds no NaN."""
    return None if math.isnan(number) else number
