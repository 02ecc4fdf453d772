"""A run's end of its guardian: starts the process, exchanges set-points for images, and ends it safely.

No asyncio, no threads: every call waits for its answer, and ``exchange`` is answered from memory.
"""

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from hil_adapters.errors import GuardianError
from hil_adapters.guard.calling import ask, call, dial
from hil_adapters.guard.encoding import (
    config_to_json,
    image_from_json,
    report_from_json,
    set_points_to_json,
)
from hil_adapters.guard.messages import FinalReport, GuardianConfig, Image, SetPoints

__all__ = ["LOG_FILE", "GuardianLink", "started_guardian"]

LOG_FILE = "guardian.log"
"""In the folder of the configuration: what the guardian writes to standard error."""

_EXCHANGE_TIMEOUT_S = 2.0
_ARM_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 20.0
"""Twice what a guardian waits for the safe state of a device that does not answer [s]."""
_END_TIMEOUT_S = 10.0


class GuardianLink:
    """A guardian that runs; made by :func:`started_guardian`."""

    def __init__(self, process: subprocess.Popen[bytes], path: Path, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._lock = threading.Lock()
        self.socket_file = path
        self.report: FinalReport | None = None
        """What it said when it ended; None before."""
        self._feed = self._claim()

    @property
    def pid(self) -> int:
        """Process id of the guardian."""
        return self._process.pid

    def exchange(self, set_points: SetPoints | None) -> Image:
        """Hand over what a finished step asks for, if anything, and return what is known of the devices.

        Set-points with a step that was seen before are not taken and keep nothing alive. ``None`` only reads.

        Raises:
            GuardianError: the guardian has ended or does not answer.
        """
        message = {
            "kind": "exchange",
            "set_points": None
            if set_points is None
            else set_points_to_json(set_points, sent_s=time.monotonic()),
        }
        with self._lock:
            if self.report is not None:
                raise GuardianError(f"the guardian was stopped: {self.report.reason}")
            try:
                answer = ask(self._feed, message, timeout_s=_EXCHANGE_TIMEOUT_S)
            except GuardianError as error:
                # an answer that comes later would be taken for that of the next request
                self._feed.close()
                raise GuardianError(f"{error}{self._why_ended()}") from error
        return image_from_json(answer)

    def arm(self, device: str, confirmation: str) -> None:
        """Arm a device; a real one wants its name and serial number as a person typed them.

        Raises:
            GuardError: identity, acceptance report or confirmation do not allow it.
            GuardianError: the guardian has ended or does not answer.
        """
        self._control({"kind": "arm", "device": device, "confirmation": confirmation}, _ARM_TIMEOUT_S)

    def trip(self, reason: str) -> None:
        """Bring every device to its safe state and latch; returns when that is done. Callable from any thread.

        Raises:
            GuardError: they are tripped, but one did not confirm its safe state.
            GuardianError: the guardian has ended or does not answer.
        """
        self._control({"kind": "trip", "reason": reason}, _ARM_TIMEOUT_S)

    def reset(self, device: str) -> None:
        """Take a tripped device back to reading; only for a person to call. It is not armed by that."""
        self._control({"kind": "reset", "device": device}, _EXCHANGE_TIMEOUT_S)

    def stop(self, reason: str = "the run has ended") -> FinalReport:
        """Bring every device to its safe state, end the guardian and return its report; may be called again.

        Raises:
            GuardianError: the guardian had ended before or does not end; devices with a watchdog let go by themselves.
        """
        with self._lock:
            if self.report is not None:
                return self.report
            try:
                answer = call(self.socket_file, {"kind": "stop", "reason": reason}, timeout_s=_STOP_TIMEOUT_S)
                self.report = report_from_json(answer)
            except GuardianError as error:
                raise GuardianError(f"{error}{self._why_ended()}") from error
            finally:
                self._feed.close()
                self._end()
        return self.report

    def _claim(self) -> socket.socket:
        """Become the one who feeds this guardian."""
        connection = dial(self.socket_file, timeout_s=_EXCHANGE_TIMEOUT_S)
        try:
            ask(connection, {"kind": "feed", "pid": os.getpid()}, timeout_s=_EXCHANGE_TIMEOUT_S)
        except BaseException:
            connection.close()
            raise
        return connection

    def _control(self, message: dict[str, str], timeout_s: float) -> None:
        """Ask on a connection of its own, so that neither a lock nor a slow device stands before a trip."""
        try:
            call(self.socket_file, message, timeout_s=timeout_s)
        except GuardianError as error:
            raise GuardianError(f"{error}{self._why_ended()}") from error

    def _why_ended(self) -> str:
        code = self._process.poll()
        if code is None:
            return ""
        return f" (exit code {code}{_last_line(self._folder / LOG_FILE)})"

    def _end(self) -> None:
        """Wait for the process; one that hangs is killed, and its devices let go by their own watchdogs."""
        for end in (None, self._process.terminate, self._process.kill):
            if end is not None:
                end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_TIMEOUT_S)
                return


@contextlib.contextmanager
def started_guardian(config: GuardianConfig, *, start_timeout_s: float = 15.0) -> Iterator[GuardianLink]:
    """Start a guardian in a session of its own and stop it at the end, also after an exception.

    Its configuration and log lie in ``config.folder``. It connects to its devices after it has answered here: an image
    tells when they are there.

    Raises:
        GuardianError: it does not start within ``start_timeout_s`` [s], or had ended before it was stopped.
    """
    config.folder.mkdir(parents=True, exist_ok=True)
    file = config.folder / "guardian.json"
    file.write_text(json.dumps(config_to_json(config), indent=1), encoding="utf-8")
    with (config.folder / LOG_FILE).open("ab") as log:
        process = _spawn(file, log)
    try:
        path = _ready(process, config.folder, start_timeout_s)
        link = GuardianLink(process, path, config.folder)
    except BaseException:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_TIMEOUT_S)
        if process.poll() is None:
            process.kill()
            process.wait()
        raise
    try:
        yield link
    except BaseException as error:
        # the exception of the run is what its user must see; the guardian's own end is in its log and audit
        with contextlib.suppress(GuardianError):
            link.stop(_why_left(error))
        raise
    link.stop()


def _why_left(error: BaseException) -> str:
    """Return what ended a run, for the audit."""
    if isinstance(error, KeyboardInterrupt):
        return "the run was interrupted"
    return f"the run failed: {type(error).__name__}: {error}"


def _spawn(file: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "hil_adapters.guard.guardian", "--config", str(file)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        # Ctrl-C in the terminal goes to the run, which then asks for the safe state
        start_new_session=True,
    )


def _ready(process: subprocess.Popen[bytes], folder: Path, timeout_s: float) -> Path:
    """Return the socket that the guardian names on its standard output when it serves."""
    stream = process.stdout
    if stream is None:
        raise GuardianError("the guardian was started without an output")
    line = b""
    deadline_s = time.monotonic() + timeout_s
    with stream, selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline_s - time.monotonic())):
                raise GuardianError(
                    f"the guardian did not start within {timeout_s:g} s; see {folder / LOG_FILE}"
                )
            part = os.read(stream.fileno(), 4096)
            if not part:
                code = process.wait()
                told = _last_line(folder / LOG_FILE)
                raise GuardianError(f"the guardian did not start (exit code {code}{told})")
            line += part
    return Path(json.loads(line)["socket"])


def _last_line(log: Path) -> str:
    """Return the last line of a log, ready to be appended to a message."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f": {lines[-1]}" if lines else ""
