"""The last messages of each instance, for the text of errors.

FMI 2.0 messages come through FMPy's C proxy, which knows one Python function for the whole process: ``route`` finds the
instance by its environment pointer, or by its name where a tool hands over something else. FMI 3.0 calls back for each
instance by itself.
"""

import ctypes
import functools
import importlib
import itertools
from collections import deque
from dataclasses import dataclass
from typing import Any

__all__ = [
    "STATUS_NAMES",
    "Message",
    "MessageLog",
    "callback_structure",
    "forget",
    "logger_of",
    "status_name",
]

STATUS_NAMES = ("OK", "warning", "discard", "error", "fatal", "pending")
"""By the numbers of FMI 2.0 and 3.0."""
_KEPT = 20
_LONGEST = 500
_keys = itertools.count(1)
_logs: dict[int, tuple[str, "MessageLog"]] = {}
"""FMI 2.0: environment of a live instance -> its name and log."""


def status_name(status: int) -> str:
    """Return the word for a status, its number where the standard knows none."""
    return (
        STATUS_NAMES[status] if 0 <= status < len(STATUS_NAMES) else f"status {status}, not of the standard"
    )


@dataclass(frozen=True, slots=True)
class Message:
    """One message of an FMU."""

    status: int
    category: str
    text: str

    def __str__(self) -> str:
        category = f" ({self.category})" if self.category else ""
        return f"[{status_name(self.status)}]{category} {self.text}"


class MessageLog:
    """The last messages of one instance, and how many warnings there were."""

    __slots__ = ("messages", "warnings")

    def __init__(self) -> None:
        self.messages: deque[Message] = deque(maxlen=_KEPT)
        self.warnings = 0
        """Calls that were answered with a warning."""

    def add(self, status: int, *, category: bytes | None, text: bytes | None) -> None:
        """Keep a message; bytes that are not UTF-8 are replaced, a very long one is cut."""
        self.messages.append(Message(status, _decoded(category), _decoded(text)[:_LONGEST]))

    def tail(self, count: int = 3) -> str:
        """Return the last messages as one sentence for an error text, oldest first."""
        if not self.messages:
            return "the FMU gave no message"
        last = list(self.messages)[-count:]
        return "the FMU says: " + " | ".join(str(message) for message in last)


def _decoded(text: bytes | None) -> str:
    return "" if text is None else text.decode("utf-8", errors="replace").strip()


def _route(
    environment: int | None, name: bytes | None, status: int, category: bytes | None, text: bytes | None
) -> None:
    """Give a message of FMI 2.0 to the log of the instance it is of; drop it where that cannot be told."""
    entry = _logs.get(environment) if environment is not None else None
    if entry is None:
        spelled = _decoded(name)
        entry = next((known for known in tuple(_logs.values()) if known[0] == spelled), None)
    if entry is not None:
        entry[1].add(status, category=category, text=text)


@functools.cache
def _shared_callbacks() -> tuple[Any, Any, Any]:
    """Return the process-wide logger and the C library's own calloc and free, as FMI 2.0 wants them.

    The addresses of calloc and free are taken as they are: made through Python, each allocation of an FMU would wait
    for the interpreter.
    """
    fmi2 = importlib.import_module("fmpy.fmi2")
    fmpy = importlib.import_module("fmpy")
    return (
        fmi2.fmi2CallbackLoggerTYPE(_route),
        ctypes.cast(fmpy.calloc, fmi2.fmi2CallbackAllocateMemoryTYPE),
        ctypes.cast(fmpy.free, fmi2.fmi2CallbackFreeMemoryTYPE),
    )


@functools.cache
def _proxy() -> Any:
    """Return FMPy's C function that formats messages, None where FMPy ships none (ARM): texts stay templates there."""
    try:
        return importlib.import_module("fmpy.logging").addLoggerProxy
    except OSError:
        return None


def callback_structure(name: str, log: MessageLog) -> tuple[Any, int]:
    """Return the callbacks of one FMI 2.0 instance and the key that :func:`forget` takes."""
    fmi2 = importlib.import_module("fmpy.fmi2")
    logger, allocate, release = _shared_callbacks()
    key = next(_keys)
    callbacks = fmi2.fmi2CallbackFunctions(
        logger=logger,
        allocateMemory=allocate,
        freeMemory=release,
        componentEnvironment=key,
    )
    proxy = _proxy()
    if proxy is not None:
        proxy(ctypes.byref(callbacks))
    _logs[key] = (name, log)
    return callbacks, key


def forget(key: int) -> None:
    """Route no more messages to the instance of that key."""
    _logs.pop(key, None)


def logger_of(log: MessageLog) -> Any:
    """Return the function that FMI 3.0 calls with the messages of one instance."""

    def keep(_environment: int | None, status: int, category: bytes | None, text: bytes | None) -> None:
        log.add(status, category=category, text=text)

    return keep
