"""An EMS that a run starts beside itself and ends with itself."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from twin.errors import InputError

__all__ = ["command_words", "environment", "last_words", "started"]

_END_S: Final = 5.0
_TOLD_LINES: Final = 5


def command_words(command: str | Sequence[str]) -> tuple[str, ...]:
    """Return program and arguments; the word ``python`` is the interpreter of this program.

    Raises:
        ValueError: there is no program in it.
    """
    words = shlex.split(command) if isinstance(command, str) else [str(word) for word in command]
    if not words:
        raise ValueError("command: is empty; write the program and its arguments, or leave it out")
    return (sys.executable if words[0] == "python" else words[0], *words[1:])


def environment(
    addresses: Mapping[str, Mapping[str, object]], *, tick_s: float, addresses_file: Path
) -> dict[str, str]:
    """Return what a started EMS finds in its environment: ``TWIN_<DEVICE>_HOST``, ``..._PORT``, ``..._UNIT``, ``..._MAP``."""
    found = {"TWIN_TICK_S": f"{tick_s:g}", "TWIN_ADDRESSES": str(addresses_file.resolve())}
    for name, address in addresses.items():
        key = "".join(letter if letter.isalnum() else "_" for letter in name.upper())
        found |= {f"TWIN_{key}_{what.upper()}": str(value) for what, value in address.items()}
    return found


@contextmanager
def started(
    words: Sequence[str], *, cwd: Path, variables: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a session of its own within the block; what it prints goes to the file ``log``.

    A Ctrl-C in the terminal does not reach it; it is asked to end with the block, and killed where it does not.

    Raises:
        InputError: it cannot be started.
    """
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own scenario names the program
                list(words),
                cwd=cwd,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise InputError(
                f"command: {shlex.join(words)} cannot be started in {cwd} ({error.strerror}); correct it"
            ) from error
        try:
            yield process
        finally:
            _end(process)


def last_words(log: Path) -> str:
    """Return the last lines that a program has printed, in one line."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return " | ".join(lines[-_TOLD_LINES:])


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return
    _signal(process, signal.SIGTERM)
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
        process.wait()


def _signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    """Signal a program and those that it has started; where there are no groups, the program alone."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
    else:
        process.terminate()
