"""What an FMU in this process prints goes to stderr."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["printed_to_stderr"]

_STDOUT, _STDERR = 1, 2


@contextmanager
def printed_to_stderr() -> Iterator[None]:
    """Send what Python and native code write to stdout to stderr until the block ends."""
    sys.stdout.flush()
    kept = os.dup(_STDOUT)
    try:
        os.dup2(_STDERR, _STDOUT)
        yield
    finally:
        _flush()
        os.dup2(kept, _STDOUT)
        os.close(kept)


def _flush() -> None:
    """Write out what Python and the C library hold back."""
    sys.stdout.flush()
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)
