"""The audit of a guardian: one line of JSON for everything it writes, refuses or decides, on the disk before it happens."""

import contextlib
import datetime as dt
import errno
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hil_adapters.errors import RecordingError

__all__ = ["AUDIT_FILE", "Audit", "Field"]

AUDIT_FILE = "audit.jsonl"
_RESERVE_BYTES = 256 * 1024
_MODE = 0o640

Field = float | str | list[int] | None
"""What a line may say."""


class Audit:
    """Appends lines to ``audit.jsonl``; each is flushed to the disk (fsync) before :meth:`record` returns.

    A reserve on the disk is kept for :meth:`record_safe_state`: devices are brought to their safe state on a full disk, too.
    """

    def __init__(self, folder: Path, *, wall_clock: Callable[[], float] = time.time) -> None:
        """Open the audit in ``folder``; ``RecordingError`` where nothing can be written there."""
        self._wall_clock = wall_clock
        self._path = folder / AUDIT_FILE
        self._reserve = folder / ".audit.reserve"
        self._number = 0
        self.broken = False
        """Whether a line could not be written; from then on nothing but the safe state may go to a device."""
        self.lost: list[str] = []
        """Lines that reached standard error only."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
        except OSError as error:
            raise RecordingError(_cannot(self._path, error)) from error
        try:
            self._keep_reserve()
        except OSError as error:
            os.close(self._file)
            raise RecordingError(_cannot(self._reserve, error)) from error

    def record(self, event: str, **fields: Field) -> int:
        """Write one line and return its number, counted from 1.

        Raises:
            RecordingError: it did not reach the disk; the caller must not do what it would have told of.
        """
        line = self._line(event, fields)
        if self.broken:
            raise RecordingError(f"{self._path}: an earlier line could not be written; nothing more is done")
        try:
            self._append(line)
        except OSError as error:
            self.broken = True
            raise RecordingError(_cannot(self._path, error)) from error
        return self._number

    def record_safe_state(self, event: str, **fields: Field) -> int:
        """Write one line of a safe state, if need be into the reserve, and at last to standard error.

        Never raises: a device that is left at a set-point is worse than a line in another place.
        """
        line = self._line(event, fields)
        try:
            try:
                self._append(line)
            except OSError:
                self.broken = True
                self._reserve.unlink(missing_ok=True)
                self._append(line)
        except OSError as error:
            self.lost.append(line)
            with contextlib.suppress(OSError):
                # it may lie on the same disk
                sys.stderr.write(f"audit ({error}): {line}\n")
                sys.stderr.flush()
        return self._number

    def close(self) -> None:
        """Close; may be called again."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            with contextlib.suppress(OSError):
                self._reserve.unlink(missing_ok=True)

    def _line(self, event: str, fields: dict[str, Field]) -> str:
        self._number += 1
        stamp = dt.datetime.fromtimestamp(self._wall_clock(), dt.UTC).isoformat(timespec="microseconds")
        about = {"n": self._number, "utc": stamp, "monotonic_ns": time.monotonic_ns(), "event": event}
        return json.dumps(about | {name: _plain(value) for name, value in fields.items()}, ensure_ascii=False)

    def _append(self, line: str) -> None:
        # a reason may hold what came as bytes from a shell; the escape is one of JSON, too
        data = f"{line}\n".encode(errors="backslashreplace")
        about = os.fstat(self._file)
        if not about.st_nlink:
            raise FileNotFoundError(errno.ENOENT, "the file was removed while it was in use")
        before = about.st_size
        try:
            written = os.write(self._file, data)
            if written < len(data):
                # a file system that runs full takes a part; asking for the rest tells the cause
                os.write(self._file, data[written:])
            os.fsync(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                # half a line would make the file unreadable
                os.ftruncate(self._file, before)
            raise

    def _keep_reserve(self) -> None:
        with self._reserve.open("wb") as reserve:
            reserve.write(bytes(_RESERVE_BYTES))
            reserve.flush()
            os.fsync(reserve.fileno())


def _plain(value: Field) -> Field:
    """Return a value as JSON can say it; what is no number is told as a word, not as null, to be seen."""
    if isinstance(value, float) and value - value != 0.0:
        return str(value)
    return value


def _cannot(path: Path, error: OSError) -> str:
    return f"{path}: the audit cannot be written ({error}); free the disk or choose another folder"
