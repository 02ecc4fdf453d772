"""Start of the process of a fleet, and the guard over it.

On Linux and macOS the process forks before it has loaded anything: the child runs the fleet, the parent only waits. It
kills the child, with all the child has started, once the process that uses the fleet is gone or asks for it - even if
that was killed, and even if the FMU hangs in native code -, removes the temporary folder, and ends as the child ended.
On Windows a thread of the process itself does this.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import sys
import tempfile
import threading
from types import FrameType

__all__ = ["FOLDER_PREFIX", "main"]

FOLDER_PREFIX = "gemello-fmu-"
_SET_SIGNAL_OF_PARENTS_DEATH = 1
"""PR_SET_PDEATHSIG of Linux's prctl(2)."""


def main(channel: int) -> None:
    """Run a fleet until its user closes the standard input of this process, ends, or has it closed.

    Args:
        channel: file descriptor (Windows: handle) of the connection to the user of the fleet.
    """
    folder = tempfile.mkdtemp(prefix=FOLDER_PREFIX)
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if sys.platform == "win32":
        threading.Thread(target=_watch, args=(lifeline, folder), daemon=True).start()
        _work(channel, folder)
        shutil.rmtree(folder, ignore_errors=True)
    else:
        _guard(channel, lifeline, folder)


def _work(channel: int, folder: str) -> None:
    """Run the fleet; its temporary files, and those of the FMU, go into ``folder``."""
    tempfile.tempdir = folder
    os.environ.update(TMPDIR=folder, TEMP=folder, TMP=folder)
    # loaded here, because libraries with threads must not be there when the process forks
    from multiprocessing import connection  # noqa: PLC0415 - see above

    from models.fmu.fleet import FmuFleet  # noqa: PLC0415 - see above
    from models.fmu.isolation.worker import serve  # noqa: PLC0415 - see above

    if sys.platform == "win32":
        opened = connection.PipeConnection(channel)
    else:
        opened = connection.Connection(channel)
    with opened:
        serve(opened, FmuFleet, folder=folder)


def _watch(lifeline: int, folder: str) -> None:
    """End this process when the other end of the lifeline is closed."""
    with contextlib.suppress(OSError):
        os.read(lifeline, 1)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if sys.platform != "win32":
    import resource

    _ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def _guard(channel: int, lifeline: int, folder: str) -> None:
        """Fork: work in the child, and guard it in the parent, which does not return."""
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
            _work(channel, folder)
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

    def _end_as(status: int) -> None:
        """End this process the way the worker ended, without a second core file."""
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            with contextlib.suppress(OSError):
                signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        os._exit(os.WEXITSTATUS(status))
