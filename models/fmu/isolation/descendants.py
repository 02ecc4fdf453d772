"""All that a process has started, in whatever process group or session: adopted, and ended. Only Linux can."""

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

__all__ = ["adopt_orphans", "end_descendants"]

_SET_CHILD_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of Linux's prctl(2)."""
_PATIENCE_S = 5.0
_PAUSE_S = 0.01


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends, also of those in another session."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants() -> None:
    """Kill all descendants: the children, those they leave behind, and so on until there are none.

    What cannot be killed (a program of another user) is left after some seconds.
    """
    if sys.platform != "linux":
        return
    last_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < last_s:
        for child in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(_PAUSE_S)


def _children() -> list[int]:
    """Return the children of this process."""
    own = str(os.getpid())
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # "pid (name) state parent ...", and the name may be anything
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if fields[1] == own:
                found.append(int(entry.name))
    return found
