"""One master per device: a lock per serial number, held by the kernel for as long as its process lives."""

import contextlib
import fcntl
import hashlib
import os
from types import TracebackType
from typing import Self

from hil_adapters.errors import GuardError, GuardianError
from hil_adapters.guard.places import lock_folder

__all__ = ["DeviceLock"]


class DeviceLock:
    """The right to command one device. Given back by :meth:`release`, or by the end of the process, however it ends."""

    def __init__(self, key: str) -> None:
        """Take the lock of the device that ``key`` (its serial number, or where it answers) names.

        Raises:
            GuardError: another guardian holds it.
            GuardianError: there is no place for locks.
        """
        self._key = key
        self._file = _open(key)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 64, 0).decode(errors="replace").strip()
            os.close(self._file)
            msg = f"{key}: another guardian commands this device (process {holder}); end it first"
            raise GuardError(msg) from error
        with contextlib.suppress(OSError):
            # only a hint for the message above
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Give it back; may be called again."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _open(key: str) -> int:
    # a lock file is never removed: whoever holds an unlinked one would not keep out the next
    path = lock_folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.lock"
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        try:
            return os.open(path, flags)
        except FileNotFoundError:
            file = os.open(path, flags | os.O_CREAT, 0o666)
            with contextlib.suppress(OSError):
                # whatever the mask of this user is, others must be able to see that the device is taken
                os.fchmod(file, 0o666)
            return file
    except OSError as error:
        raise GuardianError(f"{path}: the lock of {key} cannot be opened: {error}") from error
