"""A process in which foreign FMUs run, from the outside: start it, ask it, see how it ended, end it."""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from enum import IntEnum
from multiprocessing import connection
from pathlib import Path
from typing import Any, NoReturn

from models.errors import FmuCrashError, FmuError
from models.fmu.isolation.protocol import read_answer, request

__all__ = ["ProcessLostError", "WorkerProcess"]

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from models.fmu.isolation.guard import main; main(sys.argv[2], int(sys.argv[3]), sys.argv[4:])"
)
_SHORTEST_S, _LONGEST_S = 1e-3, 1e6
"""Limits of what may be given for one answer; systems count it in whole milliseconds of 31 bits."""
_STARTUP_S = 120.0
"""For Python itself to start and load its libraries on a busy machine; the FMU is loaded after that."""
_ENDING_S = 10.0
_LAST_WORDS = 2000
"""Bytes of output kept for messages."""
_LINES_KEPT = 8
_LARGEST_EXIT_CODE = 0xFFFF
"""Above it, Windows says how a process crashed."""
_MEANINGS = {
    "SIGSEGV": "an access to memory that is not its own",
    "SIGBUS": "an access to memory that is not its own",
    "SIGABRT": "it gave up by itself",
    "SIGFPE": "an arithmetic error",
    "SIGILL": "an instruction that this processor does not have",
    "SIGKILL": "ended from outside, often because memory ran out",
}


class ProcessLostError(FmuCrashError):
    """The process is gone; the text says where, why and what helps."""

    def __init__(self, text: str, *, how: str, printed: tuple[str, ...]) -> None:
        """Keep what the text is made of.

        Args:
            text: of the error.
            how: how it ended, e.g. ``crashed with SIGSEGV``.
            printed: the last lines it printed.
        """
        self.how = how
        self.printed = printed
        super().__init__(text)


class WorkerProcess:
    """One process that works for this one. Close it on every path."""

    def __init__(self, label: str, *, module: str, timeout_s: float, leftover: Path | None = None) -> None:
        """Start the process and wait until it is ready to load an FMU.

        Args:
            label: for messages: the fleet and its file.
            module: what runs there, see ``isolation.guard``.
            timeout_s: how long one answer may take [s].
            leftover: folder of this process that is removed there if this process dies before it has closed it.

        Raises:
            FmuError: the process cannot be started, or the time makes no sense.
        """
        if not _SHORTEST_S <= timeout_s <= _LONGEST_S:
            raise FmuError(
                f"{label}: a timeout of {timeout_s:g} s makes no sense; give the seconds after which the FMU counts as "
                f"hung, from {_SHORTEST_S:g} to {_LONGEST_S:.0f}"
            )
        self._label = label
        self._timeout_s = timeout_s
        self._folder: str | None = None
        self._asked = 0
        leftovers = () if leftover is None else (str(leftover),)
        self._process, self._channel = _started(label, arguments=(module, leftovers), timeout_s=timeout_s)
        self._output = _LastWords(self._process)
        try:
            self._folder = self._awaited("while its process started", _STARTUP_S).decode()
        except BaseException:
            self.close()
            raise

    def ask(
        self, kind: IntEnum, content: bytes = b"", *, doing: str, timeout_s: float | None = None
    ) -> bytes:
        """Return the content of the answer to a request.

        Args:
            kind: what is asked.
            content: what belongs to it.
            doing: for messages, e.g. ``in the step from t = 60 s``.
            timeout_s: how long it may take, None for the time given at the start [s].

        Raises:
            ProcessLostError: the process crashed, ended, hung or ran out of memory; it is gone when this is raised.
            ModelError, ValueError, TypeError, OSError: what the request raised there.
        """
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        if self._channel.closed:
            raise FmuError(f"{self._label}: its process has ended; open the fleet again")
        self._asked += 1
        try:
            try:
                self._channel.send_bytes(request(kind, self._asked, content))
            except BlockingIOError:
                self.hung(doing, limit_s)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it is gone already: reading its answer tells how it ended
            return self._awaited(doing, limit_s)
        except KeyboardInterrupt:
            self.close()  # else its answer would be taken for that to the next request
            raise

    @property
    def has_ended(self) -> bool:
        """Whether nothing can be asked any more."""
        return bool(self._channel.closed)

    def close(self) -> None:
        """End the process with all it has started, and remove what it left; may be called again."""
        self._channel.close()
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(OSError):
                os.write(self._process.stdin.fileno(), b"\0")  # asked to end, so this process has not died
            self._process.stdin.close()
        self._wait()
        self._output.end()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def end(self) -> str:
        """Let the process come to its end by itself and return how it did; empty for exit code 0. It is closed then."""
        self._channel.close()
        try:
            code = self._process.wait(self._timeout_s)
        except subprocess.TimeoutExpired:
            return f"did not end within {self._timeout_s:g} s"
        finally:
            self.close()
        return "" if code == 0 else _how_it_ended(code)

    def hung(self, doing: str, limit_s: float) -> NoReturn:
        """End the process and raise that it did not answer."""
        raise self._lost(
            f"hung {doing}: no answer within {limit_s:g} s; its process was ended. If the FMU is only slow, give it more "
            "time (`timeout:`)",
            how=f"did not answer within {limit_s:g} s",
        )

    def damaged(self, doing: str, error: Exception) -> NoReturn:
        """End the process and raise that its answer makes no sense."""
        raise self._lost(
            f"its process gave a damaged answer {doing} ({error}); the FMU has probably written over memory or files that "
            "are not its own: ask its author",
            how="gave a damaged answer",
        ) from error

    def _awaited(self, doing: str, limit_s: float) -> bytes:
        """Return the content of the next answer."""
        if not self._has_spoken_or_ended(limit_s):
            self.hung(doing, limit_s)
        answer = self._received(doing, limit_s)
        try:
            content = read_answer(answer, number=self._asked)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            self.damaged(doing, error)
        if isinstance(content, FmuCrashError):
            raise self._lost(f"{content} {doing}", how=str(content))
        if isinstance(content, Exception):
            raise content
        return content

    def _has_spoken_or_ended(self, limit_s: float) -> bool:
        """Wait for the beginning of an answer or the end of the process, in time.

        The channel alone does not tell the end: what the FMU has started may hold its other end open.
        """
        lifeline = self._process.stdin
        if sys.platform == "win32" or lifeline is None:
            return bool(self._channel.poll(limit_s))
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLIN)
        poll.register(
            lifeline.fileno(), 0
        )  # only its guard holds the other end: an error says that it has ended
        return bool(poll.poll(limit_s * 1e3))

    def _received(self, doing: str, limit_s: float) -> bytes:
        answer: bytes | None = None
        try:
            if self._channel.poll(0):
                answer = self._channel.recv_bytes()
        except BlockingIOError:  # in the middle of an answer
            if self._process.poll() is None:
                self.hung(doing, limit_s)
        except (EOFError, OSError):
            pass  # it has ended
        if answer is not None:
            return answer
        how = _how_it_ended(self._wait())
        blame = (
            "this was before the FMU was touched: run the command again, or reinstall this program"
            if self._folder is None
            else "the fault is in the FMU or in what it needs (a file, a licence, memory): ask its author"
        )
        raise self._lost(f"{how} {doing}; {blame}", how=how)

    def _lost(self, text: str, *, how: str) -> ProcessLostError:
        """End what is left of the process and return the error."""
        self.close()
        printed = self._output.lines()
        quoted = ". The last it printed:\n  " + "\n  ".join(printed) if printed else ""
        return ProcessLostError(f"{self._label}: {text}{quoted}", how=how, printed=printed)

    def _wait(self) -> int:
        """Return the exit code; a process that does not end by itself is killed."""
        try:
            return self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _started(
    label: str, *, arguments: tuple[str, tuple[str, ...]], timeout_s: float
) -> tuple["subprocess.Popen[bytes]", Any]:
    """Return the process, given its module and the folders of this one, and this end of the channel."""
    module, leftovers = arguments
    options: dict[str, Any]
    if sys.platform == "win32":
        mine, theirs = connection.Pipe()
        number = theirs.fileno()
        os.set_handle_inheritable(number, True)
        options = {"startupinfo": subprocess.STARTUPINFO(lpAttributeList={"handle_list": [number]})}
        options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
    else:
        ends = socket.socketpair()
        # a process that stops in the middle of a message is as hung as one that does not answer
        whole_s = int(timeout_s)
        limit = struct.pack("@ll", whole_s, int((timeout_s - whole_s) * 1e6))
        for way in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            ends[0].setsockopt(socket.SOL_SOCKET, way, limit)
        mine, theirs = (connection.Connection(end.detach()) for end in ends)
        number = theirs.fileno()
        options = {"pass_fds": (number,), "start_new_session": True}
    try:
        process = subprocess.Popen(  # noqa: S603 - this Python, with a text of our own
            [
                sys.executable,
                "-P",
                "-c",
                _START,
                json.dumps([entry for entry in sys.path if isinstance(entry, str)]),
                module,
                str(number),
                *leftovers,
            ],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **options,
        )
    except OSError as error:
        mine.close()
        raise FmuError(
            f"{label}: the process for it cannot be started with {sys.executable!r} ({error}); free some memory or "
            "processes, or set `trusted: true` to run the FMU in this process"
        ) from error
    finally:
        theirs.close()
    return process, mine


def _how_it_ended(code: int) -> str:
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        meaning = f" ({_MEANINGS[name]})" if name in _MEANINGS else ""
        return f"crashed with {name}{meaning}"
    if code > _LARGEST_EXIT_CODE:
        return f"crashed with Windows status {code:#010x}"
    return f"ended its process with exit code {code}"


class _LastWords:
    """Takes what a process prints, and keeps the end of it."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._kept = b""
        output = process.stdout
        if output is None:
            raise ValueError("the process was started without a pipe for its output")
        self._descriptor = os.dup(output.fileno())
        output.close()
        # a daemon, and the owner of the descriptor: what the FMU has started may keep the other end open
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while chunk := os.read(self._descriptor, 65536):
                self._kept = (self._kept + chunk)[-_LAST_WORDS:]
        finally:
            os.close(self._descriptor)

    def end(self) -> None:
        """Wait until everything is read; the process has ended."""
        self._thread.join(1.0)

    def lines(self) -> tuple[str, ...]:
        """Return the last lines; none where nothing was printed."""
        return tuple(self._kept.decode(errors="replace").strip().splitlines()[-_LINES_KEPT:])
