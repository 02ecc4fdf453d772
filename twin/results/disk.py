"""Bytes to disk: atomic files, and operating system errors as store errors with a remedy."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path

from twin.errors import StoreError

__all__ = ["make_folder", "store_errors", "write_all", "write_atomic", "write_atomic_group"]

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free space or choose another folder with --out",
    errno.EDQUOT: "the disk quota is used up: free space or choose another folder with --out",
    errno.EFBIG: "the file is larger than the system allows here: raise the limit (ulimit -f) or choose --out",
    errno.EROFS: "the file system is read-only: choose another folder with --out",
    errno.EACCES: "no permission to write there: choose another folder with --out",
    errno.EPERM: "no permission to write there: choose another folder with --out",
    errno.ENOENT: "there is no such folder, or it was moved or deleted while the run wrote: choose another folder with --out",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another folder with --out",
    errno.EEXIST: "a file or folder of this name is there already: choose another folder with --out",
    errno.ENAMETOOLONG: "the path is too long: choose a shorter folder with --out",
}
_REMEDY = "check the disk and the folder, or choose another folder with --out"


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` inside the block into a ``StoreError`` that names ``path``, the cause and a remedy."""
    try:
        yield
    except OSError as exc:
        raise _store_error(path, exc) from exc


def _store_error(path: Path, exc: OSError) -> StoreError:
    remedy = _REMEDY if exc.errno is None else _REMEDIES.get(exc.errno, _REMEDY)
    reason = exc.strerror if exc.strerror is not None else str(exc)
    return StoreError(f"{path}: could not write results: {reason}; {remedy}")


def make_folder(path: Path) -> None:
    """Create a folder and its parents; an existing folder is fine.

    Raises:
        StoreError: the folder cannot be created.
    """
    with store_errors(path):
        path.mkdir(parents=True, exist_ok=True)


def write_all(file: FileIO, data: bytes | memoryview) -> None:
    """Write all of ``data`` to an unbuffered file, however many system calls that takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def write_atomic(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that readers see the old one or the whole of the other, even after a kill.

    Raises:
        StoreError: the file cannot be written; what was there before is untouched.
    """
    write_atomic_group({path: data})


def write_atomic_group(files: Mapping[Path, bytes | memoryview]) -> None:
    """Write files, each as :func:`write_atomic` does, in their order; none appears before all are on the disk.

    Syncing them one after the other, when all are written, takes half the time of finishing each on its own.

    Raises:
        StoreError: a file cannot be written; what was there before is untouched, but for the files that were in
            place when the renaming of another failed.
    """
    parts = {path: path.with_name(f"{path.name}.tmp") for path in files}
    current = Path()
    try:
        with ExitStack() as opened:
            handles: dict[Path, FileIO] = {}
            for current, data in files.items():
                handles[current] = opened.enter_context(FileIO(parts[current], "w"))
                write_all(handles[current], data)
            for current in files:
                os.fsync(handles[current].fileno())
        for current in files:
            parts[current].replace(current)
    except OSError as exc:
        for part in parts.values():
            with suppress(OSError):
                part.unlink()
        raise _store_error(current, exc) from exc
