"""Start of a process in which foreign FMUs run, and the guard over it.

On Linux and macOS the process forks before it has loaded anything: the child does the work, the parent only waits. It
kills the child, with all the child has started, once the process that uses it is gone or asks for it - even if that was
killed, and even if the FMU hangs in native code -, removes the temporary folder, and ends as the child ended. On Windows
a thread of the process itself does this.
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
from multiprocessing import connection
from types import FrameType
from typing import NoReturn

from models.fmu.folders import PREFIX

__all__ = ["main"]

_SET_SIGNAL_OF_PARENTS_DEATH = 1
"""PR_SET_PDEATHSIG of Linux's prctl(2)."""


def main(module: str, channel: int) -> None:
    """Work until the user of this process closes its standard input or the channel, ends, or is killed.

    Args:
        module: what does the work: its function ``work(channel, folder)`` gets the connection and the folder for
            temporary files. It is loaded behind the fork: libraries with threads must not be there when the process forks.
        channel: file descriptor (Windows: handle) of the connection to the user.
    """
    folder = tempfile.mkdtemp(prefix=PREFIX)
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if sys.platform == "win32":
        threading.Thread(target=_watch, args=(lifeline, folder), daemon=True).start()
        _work(module, channel, folder)
        shutil.rmtree(folder, ignore_errors=True)
    else:
        _fork(channel, lifeline, folder)
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


def _watch(lifeline: int, folder: str) -> None:
    """End this process when the other end of the lifeline is closed."""
    with contextlib.suppress(OSError):
        os.read(lifeline, 1)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if sys.platform != "win32":
    import resource

    _ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def _fork(channel: int, lifeline: int, folder: str) -> None:
        """Fork: the child returns, to work; the parent guards it and ends as it ends."""
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
            status = os.waitpid(worker, 0)[1]
        shutil.rmtree(folder, ignore_errors=True)
        _end_as(status)

    def _wake_up(number: int, frame: FrameType | None) -> None:
        """Do nothing: that a signal came is read from the pipe of ``set_wakeup_fd``."""

    def _wait(worker: int, *, lifeline: int, woken: int) -> int | None:
        """Wait until the worker ends (returns its status) or is to be ended (None)."""
        while True:
            ready, _, _ = select.select([lifeline, woken], [], [])
            if lifeline in ready or set(os.read(woken, 4096)).intersection(_ENDING):
                return None
            ended, status = os.waitpid(worker, os.WNOHANG)
            if ended:
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
