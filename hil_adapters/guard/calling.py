"""One request to a guardian, waited for: the client's end of its socket, without asyncio."""

import contextlib
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hil_adapters import errors
from hil_adapters.errors import GuardError, GuardianError
from hil_adapters.guard.encoding import HEADER_BYTES, Message, body_length, pack, unpack

__all__ = ["ask", "call", "dial"]


def dial(path: Path, *, timeout_s: float) -> socket.socket:
    """Connect to the socket of a guardian; the caller closes it.

    Raises:
        GuardianError: nobody listens there.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise GuardianError(f"{path}: no guardian answers there: {error}") from error
    return connection


def ask(connection: socket.socket, message: Mapping[str, Any], *, timeout_s: float) -> Message:
    """Send a request on an open connection and return its answer.

    Raises:
        GuardianError: the guardian has ended, or does not answer in ``timeout_s`` [s]; the connection is of no more use.
        GuardError, TrippedError: it refuses.
    """
    deadline_s = time.monotonic() + timeout_s
    try:
        connection.settimeout(timeout_s)
        connection.sendall(pack(message))
        body = _exactly(connection, body_length(_exactly(connection, HEADER_BYTES, deadline_s)), deadline_s)
    except TimeoutError as error:
        msg = f"the guardian did not answer {message['kind']!r} within {timeout_s:g} s; see guardian.log in its folder"
        raise GuardianError(msg) from error
    except OSError as error:
        raise GuardianError(f"the guardian has ended: {error}; see guardian.log in its folder") from error
    return _answer(unpack(body))


def call(path: Path, message: Mapping[str, Any], *, timeout_s: float) -> Message:
    """Ask once on a connection of its own."""
    with contextlib.closing(dial(path, timeout_s=timeout_s)) as connection:
        return ask(connection, message, timeout_s=timeout_s)


def _exactly(connection: socket.socket, length: int, deadline_s: float) -> bytes:
    """Read ``length`` bytes before ``deadline_s`` on the monotonic clock [s]."""
    parts: list[bytes] = []
    missing = length
    while missing:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        part = connection.recv(min(missing, 1 << 20))
        if not part:
            raise ConnectionResetError("it closed the connection")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _answer(message: Message) -> Message:
    text = message.get("error")
    if text is None:
        return message
    kind = getattr(errors, str(message.get("class")), GuardianError)
    refusal: type[Exception] = (
        kind
        if isinstance(kind, type) and issubclass(kind, GuardError | errors.IdentityError)
        else GuardianError
    )
    raise refusal(str(text))
