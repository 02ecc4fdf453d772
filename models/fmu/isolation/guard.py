"""Start of a process in which foreign FMUs run, and the guard over it.

On Linux and macOS the process forks before it has loaded anything: the child does the work, the parent only waits. It
kills the child, with all the child has started, once the process that uses it is gone or asks for it - even if that was
killed, and even if the FMU hangs in native code -, removes the temporary folder, and ends as the child ended. What the
child has started is its process group and, on Linux, every descendant, in whatever session. On Windows a thread of the
process itself does this.

The user asks for the end with a byte on the standard input. Where that is closed without it, the user has died, and
what it would have removed is removed here.
"""

import contextlib
import ctypes
import importlib
import os
import select
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from multiprocessing import connection
from types import FrameType
from typing import NoReturn

from models.fmu.folders import PREFIX
from models.fmu.isolation.descendants import adopt_orphans, end_descendants

__all__ = ["main"]

_SET_SIGNAL_OF_PARENTS_DEATH = 1
"""PR_SET_PDEATHSIG of Linux's prctl(2)."""


def main(module: str, channel: int, leftovers: Sequence[str] = ()) -> None:
    """Work until the user of this process closes its standard input or the channel, ends, or is killed.

    Args:
        module: what does the work: its function ``work(channel, folder)`` gets the connection and the folder for
            temporary files. It is loaded behind the fork: libraries with threads must not be there when the process forks.
        channel: file descriptor (Windows: handle) of the connection to the user.
        leftovers: folders of the user that are removed if it dies before it has closed this process.
    """
    folder = tempfile.mkdtemp(prefix=PREFIX)
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if sys.platform == "win32":
        threading.Thread(target=_watch, args=(lifeline, folder, leftovers), daemon=True).start()
        _work(module, channel, folder)
        shutil.rmtree(folder, ignore_errors=True)
    else:
        os.set_inheritable(channel, False)  # a program that the FMU starts must not hold it
        _fork(channel, lifeline=lifeline, folder=folder, leftovers=leftovers)
        _work(module, channel, folder)


def _work(module: str, channel: int, folder: str) -> None:
    """Do the work; temporary files, also those of the FMU, go into ``folder``."""
    tempfile.tempdir = folder
    os.environ.update(TMPDIR=folder, TEMP=folder, TMP=folder)
    if sys.platform == "win32":
        opened = connection.PipeConnection(channel)
    else:
        opened = connection.Connection(channel)
    with opened:
        importlib.import_module(module).work(opened, folder)


def _watch(lifeline: int, folder: str, leftovers: Sequence[str]) -> None:
    """End this process when the user asks for it or has died."""
    has_died = _has_died(lifeline)
    for place in (folder, *(leftovers if has_died else ())):
        shutil.rmtree(place, ignore_errors=True)
    os._exit(1)


def _has_died(lifeline: int) -> bool:
    """Wait until the user says something or has died; return which."""
    try:
        return not os.read(lifeline, 1)
    except OSError:
        return True


if sys.platform != "win32":
    import resource

    _ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def _fork(channel: int, *, lifeline: int, folder: str, leftovers: Sequence[str]) -> None:
        """Fork: the child returns, to work; the parent guards it and ends as it ends."""
        adopt_orphans()
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        for number in (signal.SIGCHLD, *_ENDING):
            signal.signal(number, _wake_up)
        signal.set_wakeup_fd(wake)
        guard, worker = os.getpid(), os.fork()
        if worker == 0:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, *_ENDING):
                signal.signal(number, signal.SIG_DFL)
            for descriptor in (woken, wake, lifeline):
                os.close(descriptor)
            os.setpgid(0, 0)
            _die_with(guard)
            return
        os.close(channel)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(worker, worker)  # here too: the group must exist before it may have to be killed
        status = _wait(worker, lifeline=lifeline, woken=woken)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(worker, signal.SIGKILL)
        if status is None:
            # it may have left its group; it is not reaped yet, so the number is its own
            os.kill(worker, signal.SIGKILL)
            status = os.waitpid(worker, 0)[1]
        end_descendants()
        told, _, _ = select.select([lifeline], [], [], 0)
        for place in (folder, *(leftovers if told and _has_died(lifeline) else ())):
            shutil.rmtree(place, ignore_errors=True)
        _end_as(status)

    def _wake_up(number: int, frame: FrameType | None) -> None:
        """Do nothing: that a signal came is read from the pipe of ``set_wakeup_fd``."""

    def _wait(worker: int, *, lifeline: int, woken: int) -> int | None:
        """Wait until the worker ends (returns its status) or is to be ended (None)."""
        while True:
            ready, _, _ = select.select([lifeline, woken], [], [])
            if lifeline in ready or set(os.read(woken, 4096)).intersection(_ENDING):
                return None
            ended = -1
            while ended:  # orphans of the worker are adopted: they are reaped on the way
                ended, status = os.waitpid(-1, os.WNOHANG)
                if ended == worker:
                    return status

    def _die_with(guard: int) -> None:
        """Have this process killed if the guard is; only Linux can."""
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_SET_SIGNAL_OF_PARENTS_DEATH, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(1)

    def _end_as(status: int) -> NoReturn:
        """End this process the way the worker ended, without a second core file."""
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            with contextlib.suppress(OSError):
                signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        os._exit(os.WEXITSTATUS(status))
