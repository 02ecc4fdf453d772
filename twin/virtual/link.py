"""A run's end of the host process of its virtual devices: start it, tell it what surrounds the devices, end it."""

import contextlib
import json
import math
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from typing import IO, Final

from hil_adapters.virtual.amounts import is_amount
from twin.errors import RunError
from twin.virtual.config import HostConfig

__all__ = ["HostLink", "started_host"]

_START_S: Final = 60.0
"""Longest time from the start of the process to its ports [s]; an import on a loaded machine takes seconds."""
_END_S: Final = 5.0
_TOLD_LINES: Final = 8
"""Last lines of what the process wrote to its error output, shown where it fails."""


class HostLink:
    """A running host process; made by :func:`started_host`."""

    def __init__(self, process: subprocess.Popen[str], errors: IO[str], ports: Mapping[str, int]) -> None:
        self._process, self._errors, self._ports = process, errors, dict(ports)
        self._pending: dict[str, dict[str, float]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._writer = threading.Thread(target=self._write, name="world of virtual devices", daemon=True)
        self._writer.start()

    @property
    def ports(self) -> Mapping[str, int]:
        """TCP port by device."""
        return self._ports

    @property
    def pid(self) -> int:
        """Process id of the host."""
        return self._process.pid

    def world(self, values: Mapping[str, Mapping[str, float]]) -> None:
        """Say what surrounds the devices: values by device and name; never waits for the host.

        What the host has not taken yet is replaced by newer values of the same name; amounts (``..._kwh``) add up.

        Raises:
            RunError: the host has ended, a device is unknown, or a value is not finite.
        """
        for device, named in values.items():
            if device not in self._ports:
                raise RunError(
                    f"virtual device {device!r} is not in this host; it has {', '.join(self._ports)}"
                )
            for name, value in named.items():
                if not math.isfinite(value):
                    raise RunError(
                        f"virtual device {device!r}: {name} is {value:g}; check the series that feeds it"
                    )
        if self._process.poll() is not None:
            raise RunError(_ended(self._process, self._errors))
        with self._changed:
            for device, named in values.items():
                _merge(self._pending.setdefault(device, {}), named)
            self._changed.notify()

    def close(self) -> None:
        """End the host: its standard input ends, and where that does not help it is killed. May be called again."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify()
        self._writer.join(_END_S)
        if self._writer.is_alive():  # the host does not read: only its end frees the thread
            self._process.kill()
            self._writer.join()
        _end(self._process)

    def _write(self) -> None:
        stdin = self._process.stdin
        if stdin is None:
            return
        with contextlib.suppress(BrokenPipeError, ValueError):
            while (line := self._next_line()) is not None:
                stdin.write(line)
                stdin.flush()
        _close_quietly(stdin)

    def _next_line(self) -> str | None:
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closed)
            if self._closed:
                return None
            line = json.dumps(self._pending) + "\n"
            self._pending.clear()
            return line


@contextlib.contextmanager
def started_host(config: HostConfig) -> Iterator[HostLink]:
    """Start a host process in a session of its own and end it with the block.

    A Ctrl-C in the terminal does not reach it: devices stay there while the guardian gives them back.

    Raises:
        RunError: it does not start; the message holds what it said.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "twin.virtual.host_main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        try:
            link = HostLink(process, errors, _begin(process, errors, config))
            try:
                yield link
            finally:
                link.close()
        finally:
            _end(process)


def _begin(process: subprocess.Popen[str], errors: IO[str], config: HostConfig) -> dict[str, int]:
    """Hand over the configuration and return the ports."""
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise RunError("the host of virtual devices has no pipes; this is a mistake of the program")
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(_line(stdout)), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        stdin.write(config.model_dump_json() + "\n")
        stdin.flush()
    try:
        line = answers.get(timeout=_START_S)
    except queue.Empty:
        raise RunError(
            f"the host of virtual devices did not start within {_START_S:g} s; try again on a less busy machine"
        ) from None
    if not line:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
        raise RunError(_ended(process, errors))
    try:
        ports: dict[str, int] = json.loads(line)["ports"]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"the host of virtual devices said {line.strip()!r} where its ports are due; an FMU may have printed it"
        ) from error
    return ports


def _end(process: subprocess.Popen[str]) -> None:
    """Close its input, wait, and kill it where that does not help; does nothing to a process that has ended."""
    if process.stdin is not None:
        _close_quietly(process.stdin)
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        _close_quietly(process.stdout)


def _ended(process: subprocess.Popen[str], errors: IO[str]) -> str:
    errors.seek(0)
    told = errors.read().strip().splitlines()[-_TOLD_LINES:]
    return "\n".join(
        [f"the host of virtual devices has ended (exit status {process.poll()}); its last words:", *told]
    )


def _merge(pending: dict[str, float], named: Mapping[str, float]) -> None:
    for name, value in named.items():
        pending[name] = pending.get(name, 0.0) + value if is_amount(name) else value


def _line(stream: IO[str]) -> str:
    try:
        return stream.readline()
    except (OSError, ValueError):  # closed below the reader
        return ""


def _close_quietly(stream: IO[str]) -> None:
    with contextlib.suppress(OSError, ValueError):
        stream.close()
